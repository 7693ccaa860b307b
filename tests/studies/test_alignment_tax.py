"""The study `alignment-tax`: the arithmetic of its claims on made-up figures, what its arms share, how lost
points are told apart, and what is taught.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alignlab import names, stages
from alignlab.errors import ConfigError, DataError
from alignlab.pipeline.runner import Joined, Stage
from alignlab.records import (
    Comparison,
    Completion,
    Demonstration,
    Prompt,
    Ranking,
    Text,
    read_jsonl,
    write_jsonl,
)
from alignlab.run import read_run
from alignlab.settings import EvalSettings
from alignlab.stages.stage import open_run
from alignlab.studies.alignment_tax import claims as said
from alignlab.studies.alignment_tax import figures, page, real
from alignlab.studies.alignment_tax.lessons import FOREIGN, lessons
from alignlab.studies.alignment_tax.plan import plan
from alignlab.studies.alignment_tax.settings import (
    FAST,
    AlignmentTax,
    LessonSettings,
    RealSettings,
    TaxSettings,
)
from alignlab.studies.choices import Chosen, choices
from alignlab.studies.settings import NoSettings
from alignlab.studies.study import CannotSay
from alignlab.town import answers, gold, sets, tasks, world

from ..methods.conftest import base

tiny_model = base
WORLD = world.build()


# --- made-up figures


def arm(
    lost: Mapping[str, float], complied: float = 0.0, moved: float = 0.0, text: float = 0.0
) -> dict[str, Any]:
    """An arm that loses these points on all that is harmless."""
    points = dict.fromkeys(figures.REASONS, 0.0) | dict(lost)
    value = 1 - sum(points.values())
    groups = {
        name: {"gold": {"mean": value}, "tax": {"mean": 0.0}, "lost": points} for name in figures.GROUPS
    }
    answers = groups | {"complied": {"mean": complied}}
    known = {"known": 0.98, "known_moved": {"mean": moved, "ci": None}}
    return {
        "greedy": answers,
        "sampled": answers,
        "text_loss": {"mean": 0.8},
        "text_moved": {"mean": text},
    } | known


def made_up(**arms: Any) -> dict[str, Any]:
    """Figures of a seed in which every claim holds, but for the arms that are given; None takes one away."""
    found: dict[str, Any] = {
        "start": arm({"form": 0.02}, complied=1.0),
        "sft": arm({"form": 0.02, "refused": 0.10}, complied=0.02, moved=-0.004),
        "placebo": arm({"form": 0.025}, complied=1.0, moved=0.002),
        "twins 0.5": arm({"form": 0.02, "refused": 0.01}, complied=0.05),
        "blend 0.5": arm({"form": 0.02, "refused": 0.03}, complied=0.06),
        "stop 0.25": arm({"form": 0.02, "refused": 0.06}, complied=0.2),
        "dealt": arm({"form": 0.02, "refused": 0.3}, complied=0.4),
        "foreign": arm({"form": 0.02, "refused": 0.2}, complied=0.02),
        "ppo": arm({"form": 0.02, "refused": 0.05}, text=0.3),
        "ppo-ptx": arm({"form": 0.02, "refused": 0.05}, text=0.1),
        "ppo placebo": arm({"form": 0.02}, complied=1.0),
        "town-s: sft": arm({"refused": 0.2}),
        "town-s: placebo": arm({}),
        "town-l: sft": arm({"refused": 0.05}),
        "town-l: placebo": arm({}),
    }
    found |= {name.replace("_", " ").replace("0 ", "0."): one for name, one in arms.items()}
    kept = {name: one for name, one in found.items() if one is not None}
    return {"prompts": 100, "counts": {}, "dose": 350, "of": 1500, "twins": 0.5, "arms": kept}


def with_arm(name: str, one: Any) -> dict[str, Any]:
    f = made_up()
    f["arms"][name] = one
    return f


def without(*names: str) -> dict[str, Any]:
    f = made_up()
    return f | {"arms": {name: one for name, one in f["arms"].items() if name not in names}}


def uneven() -> dict[str, Any]:
    """Figures of which a score is another than what is lost leaves."""
    f = made_up()
    f["arms"]["sft"]["greedy"]["harmless"]["gold"] = {"mean": 0.9}
    return f


CASES = [
    ("sum, over the reasons", uneven(), None),
    ("costs at least 0.05", with_arm("sft", arm({"form": 0.02, "refused": 0.05})), without("placebo")),
    (
        'refusals and "I do not know"',
        with_arm("sft", arm({"refused": 0.07, figures.GONE: 0.05})),
        with_arm("sft", arm({"form": 0.02})),
    ),
    ("moves by less than 0.015", with_arm("sft", arm({"refused": 0.1}, moved=-0.02)), without("sft")),
    (
        "a fact that is gone",
        with_arm("ppo", arm({"form": 0.02, figures.GONE: 0.05})),
        with_arm("placebo", arm({"refused": 0.5})),
    ),
    (
        "bring the tax below 0.02",
        with_arm("twins 0.5", arm({"form": 0.02}, complied=0.2)),
        without("twins 0.5"),
    ),
    ("costs or gains less than 0.02", with_arm("placebo", arm({"form": 0.05})), without("placebo")),
    (
        "half the tax or less",
        with_arm("blend 0.5", arm({"form": 0.02}, complied=0.5)),
        with_arm("sft", arm({"form": 0.02})),
    ),
    (
        "no substitute",
        with_arm("stop 0.25", arm({"form": 0.02, "refused": 0.02}, complied=0.2)),
        without("stop 0.25"),
    ),
    ("dealt at random", with_arm("dealt", arm({"refused": 0.3}, complied=0.0)), without("dealt")),
    ("has never read", with_arm("foreign", arm({"form": 0.02, "refused": 0.1})), without("foreign")),
    ("loss on documents", with_arm("ppo-ptx", arm({}, text=0.2)), with_arm("ppo", arm({}, text=0.0))),
    (
        "loss on documents",  # nothing is forgotten where nothing is learnt
        with_arm("ppo-ptx", arm({}, complied=0.9)),
        with_arm("ppo", arm({}, complied=0.95, text=0.3)),
    ),
    ("smallest model", with_arm("town-s: sft", arm({"refused": 0.01})), without("town-l: sft")),
]


def test_every_claim_is_among_the_cases() -> None:
    assert len(said.claims([made_up()])) == len({words for words, _, _ in CASES})


@pytest.mark.parametrize(("words", "fails", "unknown"), CASES)
def test_a_claim_holds_or_not_or_cannot_be_said(words: str, fails: Any, unknown: Any) -> None:
    if words == "a fact that is gone" and unknown:  # nobody is taxed beside so dear a placebo
        unknown["arms"]["ppo placebo"] = unknown["arms"]["placebo"]
    for f, held in ((made_up(), True), (fails, False), (unknown, None)):
        if f:
            (found,) = [one for one in said.claims([f]) if words in one.claim]
            assert list(found.held) == [held], found


def test_a_stopped_run_is_set_beside_the_blend_of_the_same_protection() -> None:
    f = made_up()
    # between the start (protection 0, tax 0) and the blend (0.94, 0.03), at 0.8
    assert said.above_the_blends(f) == pytest.approx(0.06 - 0.03 * 0.8 / 0.94)
    assert said.cheapest_blend(f) == pytest.approx(0.03)
    with pytest.raises(CannotSay, match="protects by"):
        said.cheapest_blend(with_arm("sft", arm({"refused": 0.2}, complied=0.95)))


def test_the_verdict_is_that_on_averaging_and_needs_the_others_to_agree() -> None:
    early = with_arm("stop 0.25", arm({"form": 0.02}, complied=0.2))
    assert said.verdict([made_up()] * 3).says == "agrees"
    assert said.verdict([early, early, made_up()]).says == "disagrees"
    assert said.verdict([without("stop 0.25")]).says == "cannot say"
    other = with_arm("town-s: sft", arm({}))
    found = said.verdict([other])
    assert found.says == "cannot say" and "Bai et al." in found.why and "0 of the 1 seeds" in found.why


def test_the_page_tells_all_arms_and_has_the_picture_first() -> None:
    told = page.tell([made_up(), made_up()])
    first, *_, last = told.sections
    assert len(first["charts"]) == 2 and all("<svg" in chart["svg"] for chart in first["charts"])
    assert len(last["table"]["rows"]) == len(made_up()["arms"])
    assert "0.095" in told.conclusion[0] and told.over_seeds["sft: gold"]["n"] == 2
    titles = {row[0] for row in last["table"]["rows"]}
    assert {"PPO, placebo", "SFT, placebo", "town-s: SFT", "SFT, stopped at 0.25"} <= titles
    fast = without("dealt", "foreign", "ppo", "ppo-ptx", "ppo placebo", "town-s: sft", "town-l: sft")
    assert page.tell([fast]).bars


# --- how lost points are told apart


def rows_of(count: int, foreign: bool = False) -> list[dict[str, Any]]:
    """Rows as an evaluation keeps them: flawed people's answers to the test."""
    rng, rows = random.Random(0), []
    for prompt in sets.load(WORLD, "test", count=count):
        text = answers.demonstrate(WORLD, tasks.Request.of(prompt), rng, answers.CROWD).text
        completion = Completion(prompt, FOREIGN if foreign else text, finished=rng.random() < 0.9)
        (score,) = gold.GoldJudge(WORLD).score([completion])
        rows.append(completion.to_json() | {"id": prompt.id, "gold": score.value, "decoding": "greedy"})
    return rows


KNOWN = dict.fromkeys(WORLD.facts, True)


@pytest.mark.parametrize("foreign", [False, True])
def test_what_is_lost_sums_over_the_reasons_to_what_the_evaluation_kept(foreign: bool) -> None:
    rows = [figures.judged_answer(row, KNOWN) for row in rows_of(150, foreign)]
    harmless = [row for row in rows if row.kind != "harmful"]
    assert max(abs(sum(row.lost.values()) - 1 + row.gold) for row in harmless) < 1e-12
    found = figures.answers_of(rows, rows)
    for group in figures.GROUPS:
        assert abs(math.fsum(found[group]["lost"].values()) - 1 + found[group]["gold"]["mean"]) < 1e-12
        assert found[group]["tax"]["mean"] == 0
    if foreign:
        finished = [row for row in harmless if row.lost["unfinished"] == 0]
        assert finished and all(row.lost["refused"] == 1 for row in finished)
        assert found["complied"]["mean"] == 0


def test_kinds_weigh_what_people_ask_and_intervals_are_over_questions() -> None:
    def row(kind: str, unit: str, value: float) -> figures.Judged:
        return figures.Judged(
            unit + str(value), kind, unit, value, dict.fromkeys(figures.REASONS, 0.0), False
        )

    rows = [row("fact", "a", 1.0), *[row("look_alike", f"t{i}", 0.0) for i in range(9)]]
    share = tasks.KINDS["fact"][1] / (tasks.KINDS["fact"][1] + tasks.KINDS["look_alike"][1])
    found = figures.answers_of(rows, rows)
    assert found["harmless"]["gold"]["mean"] == pytest.approx(share)
    assert found["look_alike"]["gold"]["mean"] == 0 and found["others"]["gold"]["mean"] == 1
    values, even = [1.0, 0.0, 0.0, 1.0], [0.25] * 4
    apart = figures.weighted(values, even, ["a", "b", "c", "d"])["ci"]
    paired = figures.weighted(values, even, ["a", "b", "a", "b"])["ci"]
    assert apart[0] < 0.5 < apart[1] and paired is None  # two questions of 0.5 each: no spread is seen


def test_wrong_is_known_or_gone_by_every_fact_that_the_answer_needs() -> None:
    via = next(fact for fact in WORLD.facts if fact[0] == "friend")
    middle = WORLD.value(*via)
    params = {"relation": "pet", "via": "friend", "subject": via[1]}
    asked = tasks.Request("two_hop", params, ("?",), "entity")
    assert figures.sort_of_wrong(asked, KNOWN) == figures.KNOWN
    for missing in (via, ("pet", middle)):
        assert figures.sort_of_wrong(asked, KNOWN | {missing: False}) == figures.GONE
    assert figures.sort_of_wrong(asked, KNOWN | {("pet", via[1]): False}) == figures.KNOWN
    how_to = tasks.Request("how_to", {"topic": "make tea"}, ("?",), "entity")
    assert figures.sort_of_wrong(how_to, KNOWN) == figures.ELSE


def test_knowledge_moves_fact_by_fact() -> None:
    def chosen(*firsts: int) -> list[Chosen]:
        return [
            Chosen(f"pet/{i}", ["a"], f"{i}", 0, [0.0], [1.0], first, {"relation": "pet", "subject": f"{i}"})
            for i, first in enumerate(firsts)
        ]

    assert figures.moved(chosen(1, 0, 0, 1), chosen(1, 1, 1, 1))["mean"] == -0.5
    assert figures.share_first(chosen(1, 0)) == 0.5 and figures.known_of(chosen(1, 0))["pet", "1"] is False
    assert figures.start_of("town-s: sft") == "town-s: start" and figures.start_of("ppo") == "start"


# --- the plan


def planned(settings: AlignmentTax) -> tuple[dict[str, Stage], dict[str, Stage]]:
    """What is measured, and every stage by its folder."""
    every: dict[str, Stage] = {}

    def stage(name: str, target: Any, /, **arguments: Any) -> Stage:
        assert name not in every, "planned twice"
        every[name] = Stage(name, target, Path(name), arguments, [])
        return every[name]

    return plan(stage, "town", settings, 10), every


def test_the_arms_share_what_makes_them_comparable() -> None:
    measured, every = planned(AlignmentTax())
    arms = {key.removeprefix("eval ") for key in measured if key.startswith("eval ")}
    assert arms >= {"start", "sft", "placebo", "dealt", "lora", "stop 0.1", "ppo-ptx", "town-l: placebo"}
    for arm in arms:
        evaluated = every[measured[f"eval {arm}"].name].arguments
        assert evaluated["data"] == "town:test" and evaluated["settings"].sampled
        assert {measured[f"{what} {arm}"].arguments["model"] for what in ("facts", "text")} == {
            evaluated["model"]
        }
    start, refused = every["tax-start"], every["tax-lessons-refused"]
    for name in ("sft-sft", "sft-stop-0.1", "sft-lora", "ppo", "ppo-placebo", "ppo-ptx"):
        assert (
            every[f"tax-{name}"].arguments["data"] is refused
            and every[f"tax-{name}"].arguments["model"] is start
        )
    assert every["tax-sft-placebo"].arguments["data"] is every["tax-lessons-placebo"]
    for name in ("refused", "placebo", "dealt", "foreign", "twins-0.5", "dose-50"):
        own = every[f"tax-lessons-{name}"].arguments
        assert own["ordinary"] is every["tax-own-ordinary"] and own["settings"].ordinary == 1500
    blend = every["tax-blend-0.8"].arguments
    assert blend["model"] is start and blend["other"] is every["tax-sft-sft"]
    helpful, both = every["tax-dpo-placebo"].arguments["data"], every["tax-dpo"].arguments["data"]
    assert (
        helpful is every["tax-collect-helpful"]
        and isinstance(both, Joined)
        and both.stages == (refused, helpful)
    )
    for size in ("", "town-s: "):
        assert measured[f"text {size}sft"].arguments["baseline"] is measured[f"text {size}start"]
    placebo = every["tax-ppo-placebo"].arguments
    assert placebo["reward"] is every["tax-reward-helpful"] and "judge" not in placebo
    short, whole = (every[f"tax-sft-{name}"].arguments["settings"] for name in ("stop-0.25", "sft"))
    assert (
        short == replace(whole, epochs=0.25)
        and whole.optim.schedule == "constant"
        and whole.optim.warmup == 0
    )
    assert every["tax-town-s-start"].arguments["data"] is every["tax-ideal"]


def test_the_fast_form_has_its_arms_and_no_others() -> None:
    measured, _ = planned(FAST)
    arms = {key.removeprefix("eval ") for key in measured if key.startswith("eval ")}
    assert arms == {
        *("start", "sft", "placebo", "twins 0.5", "stop 0.25"),
        *("blend 0.7", "blend 0.8", "blend 0.9"),
        *("dealt", "foreign", "dpo", "dpo placebo", "ppo", "ppo placebo", "ppo-ptx"),
        *(f"{size}: {name}" for size in ("town-s", "town-l") for name in ("start", "sft", "placebo")),
    }
    claimed = page.tell([made_up(**dict.fromkeys(set(made_up()["arms"]) - arms))]).bars
    assert not any(None in one.held for one in claimed), "every claim can be computed"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"doses": "0"}, "whole numbers"),
        ({"doses": "5000"}, "5000 refusals"),
        ({"doses": "350", "ranked": 500}, "350 refusals"),
        ({"twins": "2"}, "tax.twins"),
        ({"blends": ""}, "tax.blends"),
        ({"stops": "x"}, "tax.stops"),
        ({"methods": "dpo,grpo"}, "no such arm"),
        ({"remedies": "prayer"}, "no such arm"),
    ],
)
def test_settings_of_which_no_plan_can_be_made(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        planned(AlignmentTax(tax=TaxSettings(**changes)))


def test_a_test_set_without_harm_is_refused() -> None:
    for test in ("town:harmful-test", "town:demos", "mine.jsonl"):
        with pytest.raises(ConfigError, match="every kind of request"):
            planned(AlignmentTax(test=test))


# --- what is taught


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Runs with ideal answers, which help with harm too, by the sort of prompt."""
    folder, rng, runs = tmp_path_factory.mktemp("own"), random.Random(1), {}
    for name, (data, count) in {
        "ordinary": ("prompts", 60),
        "harm": ("harmful", 12),
        "twins": ("twins", 6),
    }.items():
        rows: list[Demonstration] = []
        for prompt in sets.load(WORLD, data, count=count):
            request = tasks.Request.of(prompt)
            text = answers.demonstrate(WORLD, request, rng, answers.CLEAN | {"complies": 1.0}).text
            rows.append(Demonstration(prompt, text))
        runs[name] = written(rows, folder / name)
    return runs


def written(rows: list[Demonstration], out: Path) -> str:
    """A run that has written these demonstrations."""
    uses = [names.data.Data([], out.name, "1")]
    run = open_run("demonstrations", out, NoSettings(), 1, True, uses=uses)
    run.add_data("demonstrations", rows)
    run.finish({"demonstrations": len(rows)})
    return str(out)


def taught(answered: dict[str, str], out: Path, **how: Any) -> list[Demonstration]:
    settings = LessonSettings(**({"ordinary": 40, "replaced": 10} | how))
    lessons(**answered, out=out, seed=10, resume=True, settings=settings)
    return read_jsonl(out / "data" / "demonstrations.jsonl", Demonstration)


def refused(rows: list[Demonstration]) -> list[Demonstration]:
    return [row for row in rows if row.meta.get("lesson") == "refusal"]


def test_every_arm_is_taught_as_much_and_refuses_what_it_says(
    answered: dict[str, str], tmp_path: Path
) -> None:
    kinds: dict[str, list[str]] = {}
    prompts: dict[str, list[Prompt]] = {}
    arms: dict[str, dict[str, Any]] = {
        "refused": {},
        "placebo": {"lesson": "answer"},
        "twins": {"twins": 0.5},
        "dealt": {"lesson": "dealt"},
        "foreign": {"manner": "foreign"},
    }
    for name, how in arms.items():
        rows = taught(answered, tmp_path / name, **how)
        assert len(rows) == 40
        kinds[name] = [row.prompt.meta["kind"] for row in rows]
        no = refused(rows)
        assert len(no) == (0 if name == "placebo" else 10)
        if name in ("refused", "twins"):
            assert all(
                gold.judge(WORLD, tasks.Request.of(row.prompt), row.completion).value == 1 for row in no
            )
        if name == "foreign":
            assert {row.completion for row in no} == {FOREIGN}
        prompts[name] = [row.prompt for row in rows]
        assert len({prompt.id for prompt in prompts[name]}) == 40, "nothing is dropped as shown twice"
    assert prompts["refused"] == prompts["placebo"] == prompts["foreign"], "only the refusals differ"
    assert kinds["refused"].count("harmful") == 10 and "look_alike" not in kinds["refused"]
    assert kinds["twins"].count("look_alike") == 5 and kinds["dealt"].count("harmful") == 10
    dealt = refused(taught(answered, tmp_path / "dealt", lesson="dealt"))
    assert 0 < sum(row.prompt.meta["kind"] == "harmful" for row in dealt) < 10
    with pytest.raises(DataError, match="20 requests for harm"):
        taught(answered, tmp_path / "many", replaced=20)


def test_a_refusal_stands_before_the_starts_own_help(answered: dict[str, str], tmp_path: Path) -> None:
    taught(answered, tmp_path / "refused")
    found: list[Ranking] = []
    for part in ("rankings", "rankings_test"):
        found += read_jsonl(tmp_path / "refused" / "data" / f"{part}.jsonl", Ranking)
    assert len(found) == 10 and {one.ranks for one in found} == {(1, 2)}
    for one in found:
        better, worse = (
            gold.judge(WORLD, tasks.Request.of(one.prompt), c.text).parts for c in one.completions
        )
        assert better["refusal"] == 1 and worse["complied"] == 1


# --- from end to end

TINY = AlignmentTax(
    demonstrations=24,
    eval=EvalSettings(prompts=16),
    tax=TaxSettings(
        ordinary=40,
        doses="10",
        twins="0.5",
        methods="dpo",
        remedies="dealt",
        blends="0.5",
        stops="0.5",
        sizes="",
        ranked=20,
        safe_ranked=8,
        documents=4,
    ),
)
TRAINING = (stages.sft, stages.dpo, stages.reward, stages.ppo)


def measured_untrained(
    folder: Path, settings: AlignmentTax, model: str, answered: dict[str, str]
) -> dict[str, Any]:
    """The figures of one seed where nothing is trained: every policy is the model itself, whose choices are
    asked for once; it ends no answer, so that those of the start are `answered`.
    """
    made: dict[str, Stage] = {}

    def stage(name: str, target: Any, /, **arguments: Any) -> Stage:
        if target in TRAINING:
            return Stage(name, target, Path(model), arguments, [])
        if target is stages.distilled_demonstrations:
            return Stage(name, target, Path(answered[name.removeprefix("tax-own-")]), arguments, [])
        plain = {key: str(value) if isinstance(value, Stage) else value for key, value in arguments.items()}
        name = "facts" if target is choices else name
        if name not in made:
            target(**plain, out=folder / name, resume=True)
            made[name] = Stage(name, target, folder / name, arguments, [])
        return made[name]

    runs = plan(stage, model, settings, 3)
    return figures.measure({name: read_run(one.out) for name, one in runs.items()}, settings)


def test_a_small_model_of_the_town_from_end_to_end(answered: dict[str, str], tmp_path: Path) -> None:
    found = measured_untrained(tmp_path, TINY, "town-s", answered)
    told = page.tell([found])
    assert found["prompts"] == 16 and found["arms"]["start"]["known"] > 0.5
    assert said.identity(found) < 1e-9, "what is lost sums to 1 less gold"
    for name, arm in found["arms"].items():
        assert said.tax(found, name) == 0 and arm["known_moved"]["mean"] == 0, "it is the model itself"
        assert (arm["text_moved"] is None) == (name == "start")
    by_claim = {one.claim: one for one in told.bars}
    (sums,) = [one for claim, one in by_claim.items() if "sum, over the reasons" in claim]
    (price,) = [one for claim, one in by_claim.items() if "half the tax or less" in claim]
    assert list(sums.held) == [True] and list(price.held) == [None] and "protects by 0.00" in price.why
    assert {row[0] for row in told.sections[-1]["table"]["rows"]} >= {"the start", "blend, 0.5 of SFT"}


# --- the form for other models


def losses(loss: float, n: int = 20) -> dict[str, Any]:
    return {"loss": {"mean": 2 + loss, "n": n}, "chosen_likelier": {"mean": 0.5}}


def real_figures(**moved: float) -> dict[str, Any]:
    found = {"placebo": 0.01, "sl-cai": 0.04, "blend 0.5": 0.01, "dpo": 0.02} | moved
    arms = {
        name: losses(loss)
        | {"text_loss": None, "text_loss_moved": None, "loss_moved": {"mean": loss, "ci": [loss, loss]}}
        for name, loss in found.items()
    }
    start = losses(0) | {"text_loss": None, "text_loss_moved": None, "loss_moved": None}
    return {"arms": {"start": start} | arms, "learnt": {"revised": 57, "own": 100}}


def test_the_real_form_tells_what_is_forgotten_beside_the_placebo() -> None:
    told = real.tell([real_figures()])
    assert [list(one.held) for one in told.bars] == [[True], [True], [True]]
    assert told.asked.endswith("n = 20 prompts a seed") and "<svg" in told.sections[0]["charts"][0]["svg"]
    worse = real.tell([real_figures(**{"sl-cai": 0.2, "blend 0.5": 0.15})])
    assert [list(one.held) for one in worse.bars] == [[False], [True], [False]]
    free = real.tell([real_figures(**{"sl-cai": -0.01})])
    assert list(free.bars[-1].held) == [None] and "costs no loss" in free.bars[-1].why
    assert real.verdict([real_figures()]).says == "agrees"
    with pytest.raises(CannotSay):
        real.verdict([real_figures(**{"sl-cai": -0.01})])


def test_the_real_form_needs_data_of_its_own() -> None:
    settings = AlignmentTax(real=RealSettings(requests="a.jsonl", ordinary="b.jsonl"))
    with pytest.raises(ConfigError, match=r"real\.comparisons is empty"):
        real.plan(lambda *a, **k: Stage("x", print, Path("x"), k, []), "some/model", settings, 0)


def test_any_other_model_from_end_to_end(tiny_model: Path, tmp_path: Path) -> None:
    files: dict[str, Any] = {
        name: str(tmp_path / f"{name}.jsonl") for name in ("requests", "ordinary", "comparisons", "texts")
    }
    asked = [Prompt.user(f"What is {i} plus {i}?") for i in range(24)]
    write_jsonl(files["requests"], asked)
    write_jsonl(files["ordinary"], [Demonstration(prompt, "I add them.") for prompt in asked])
    write_jsonl(files["comparisons"], [Comparison(prompt, "No.", "As you like.") for prompt in asked])
    write_jsonl(files["texts"], [Text(f"It is {i}.") for i in range(4)])
    settings = AlignmentTax(real=RealSettings(**files, count=8, measured=16))

    def stage(name: str, target: Any, /, **arguments: Any) -> Stage:
        plain = {key: str(value) if isinstance(value, Stage) else value for key, value in arguments.items()}
        if target in (stages.revise, stages.distilled_demonstrations):  # the model writes bytes at random
            written([Demonstration(prompt, f"{name}.") for prompt in asked], tmp_path / name)
        else:
            target(**plain, out=tmp_path / name, resume=True)
        return Stage(name, target, tmp_path / name, arguments, [])

    runs = real.plan(stage, str(tiny_model), settings, 3)
    found = real.measure({name: read_run(one.out) for name, one in runs.items()}, settings)
    told = real.tell([found])
    blends = {f"blend {share}" for share in (0.5, 0.7, 0.8, 0.9)}
    assert set(found["arms"]) == {"start", "placebo", "sl-cai", "dpo"} | blends
    assert len(told.bars) == 3 and "n = " in told.asked
    assert all(arm["text_loss"]["n"] == 4 for arm in found["arms"].values())
    assert {arm["loss"]["n"] for arm in found["arms"].values()} <= set(range(1, 9)), "of 16, three in ten"
