"""The study `depth`: its arithmetic, its claims on made-up figures, what it plans, and its stages."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignlab import names, stages
from alignlab.errors import ConfigError, UserError
from alignlab.pipeline.runner import Stage
from alignlab.records import Demonstration, Prompt, read_jsonl, write_jsonl
from alignlab.run import read_run
from alignlab.settings import SFTSettings
from alignlab.studies.depth import asking, bars, figures, lessons, page, plan, positions, real, study
from alignlab.studies.depth.settings import (
    BegunSettings,
    Depth,
    DepthSettings,
    ExampleSettings,
    PositionSettings,
    RealSettings,
    RelearnSettings,
    RungSettings,
)
from alignlab.studies.mixtures import mixture
from alignlab.studies.mixtures_settings import MixtureSettings
from alignlab.studies.study import CannotSay
from alignlab.town import gold, tasks, world
from alignlab.town import language as say

from ..methods.conftest import base

tiny_model = base
"""Of a token a byte, with random weights."""
METHODS = ["refusal", "dpo", "rloo", "recovery", "sl-cai"]


# --- harm information


def test_the_information_of_an_answer_adds_up_to_the_variance_of_harm() -> None:
    """Over every answer of three coins: harm is two heads or more."""
    paths = list(itertools.product((0, 1), repeat=3))

    def chance(said: tuple[int, ...]) -> float:
        whole = [path for path in paths if path[: len(said)] == said]
        return sum(sum(path) >= 2 for path in whole) / len(whole)

    spent = [figures.increments([chance(path[:t]) for t in range(4)], continuations=10**9) for path in paths]
    by_token = np.mean(spent, axis=0)
    assert by_token == pytest.approx([1 / 16, 1 / 16, 1 / 8], abs=1e-8) and by_token.sum() == pytest.approx(
        1 / 4
    )


@pytest.mark.parametrize("chances", [(0.5, 0.5), (0.2, 0.9), (0.0, 0.3), (0.7, 1.0)])
def test_sampling_adds_nothing_to_it_in_the_mean(chances: tuple[float, float]) -> None:
    """Over every outcome of three continuations on either side."""
    n, total = 3, 0.0
    for hits in itertools.product(range(n + 1), repeat=2):
        weight = math.prod(
            math.comb(n, k) * p**k * (1 - p) ** (n - k) for k, p in zip(hits, chances, strict=True)
        )
        total += weight * figures.increments([hits[0] / n, hits[1] / n, 0.0], n)[0]
    assert total == pytest.approx((chances[1] - chances[0]) ** 2)
    drawn = [(k, math.comb(n, k) * chances[0] ** k * (1 - chances[0]) ** (n - k)) for k in range(n + 1)]
    found = sum(weight * figures.variance([k / n], n) for k, weight in drawn)
    assert found == pytest.approx(chances[0] * (1 - chances[0]))


def answer(h: list[float], kl: list[float], harm: int) -> dict[str, Any]:
    own = {"rloo": {"harm": 0, "kl": kl[:1]}}
    return {"tokens": ["a"] * len(kl), "harm": harm, "lead": 1, "h": h, "kl": {"rloo": kl}, "own": own}


def test_what_has_ended_counts_as_nothing_and_harmful_answers_by_themselves() -> None:
    rows = [
        answer([0.5, 0.5, 1.0, 1.0, 1.0], [0.0, 0.8, 0.4, 0.2], 1),
        answer([0.5, 0.5, 0.0], [0.0, 0.4], 0),
    ]
    found = figures.by_position(rows, continuations=10**9)
    assert found["information"] == pytest.approx([0, 0.25, 0, 0], abs=1e-8)
    assert found["variance"] == pytest.approx(0.25)
    assert (found["decision"], found["horizon"], found["lead"], found["harm"]) == (1, 1, 1, 0.5)
    assert found["kl"]["rloo"] == pytest.approx([0, 0.6, 0.2, 0.1])
    assert found["on_harm"]["rloo"] == pytest.approx([0, 0.8, 0.4, 0.2]) and found["own_harm"]["rloo"] == 0
    assert figures.beyond(found["on_harm"]["rloo"], found["horizon"]) == pytest.approx(0.3 / 0.8)
    assert math.isnan(figures.beyond([1.0], 0)) and math.isnan(figures.correlation([1, 1], [0, 1]))
    assert "information" not in figures.by_position(rows, continuations=0)


def dosed(*shares: float) -> list[dict[str, Any]]:
    counts = (1, 10, 100)
    return [
        {"examples": n, "asked": {"sampled": {"mean": share}}}
        for n, share in zip(counts, shares, strict=True)
    ]


@pytest.mark.parametrize(
    ("shares", "level", "falling", "examples"),
    [
        ((0.0, 0.4, 0.6), 0.5, False, 10**1.5),
        ((0.7, 0.8, 0.9), 0.5, False, 1),
        ((1.0, 0.55, 0.05), 0.05, True, 100),
        ((0.0, 0.1, 0.2), 0.5, False, math.nan),
    ],
)
def test_how_many_examples_it_takes(
    shares: tuple[float, ...], level: float, falling: bool, examples: float
) -> None:
    found = figures.crossing(dosed(*shares), level, falling=falling)
    assert found == pytest.approx(examples, nan_ok=True)


# --- the claims, on made-up figures


def rung(share: float) -> dict[str, Any]:
    return {how: {"mean": share, "ci": [share, share], "n": 16} for how in ("sampled", "greedy")}


def ladder(plainly: float, after_three: float, document: float = 0.8) -> dict[str, Any]:
    rungs = {"asked": plainly, "seen": plainly, "never": 0.0, "wrapped": 0.3}
    rungs |= {"question": document, "leaflet": document}
    rungs |= {"begun 0": plainly, "begun 1": after_three, "begun 3": after_three}
    return {name: rung(share) for name, share in rungs.items()}


def spike(at: int, rest: float = 0.0) -> list[float]:
    return [1.0 if place == at else rest for place in range(20)]


def of_opener(lead: int) -> dict[str, Any]:
    decision = lead + 1
    kl = {"refusal": spike(decision), "rloo": spike(decision, 0.01), "dpo": spike(decision, 0.1)}
    kl |= {"recovery": spike(decision, 0.7), "placebo": [0.1, *[0.0] * 19]}
    return {
        "lead": lead,
        "harm": 0.5,
        "answers": 96,
        "decision": decision,
        "horizon": decision,
        "variance": 0.25,
        "information": [0.24 * value for value in spike(decision)],
        "kl": kl,
        "own": copy.deepcopy(kl),
        "on_harm": copy.deepcopy(kl),
        "own_harm": dict.fromkeys(kl, 0.0),
        "begun": {name: ladder(0.5 if name == "start" else 0.02, 0.8) for name in ("start", *METHODS[:3])}
        | {"recovery": ladder(0.02, 0.1)},
    }


def relearnt(share: float, never: float = 0.0) -> list[dict[str, Any]]:
    doses = [(1, 0.1), (10, share), (50, share)]
    return [{"examples": n, "asked": rung(now), "never": rung(never)} for n, now in doses]


def seed() -> dict[str, Any]:
    """Figures of a seed in which every claim holds."""
    models = {name: ladder(0.02, 0.8) for name in METHODS} | {"recovery": ladder(0.02, 0.1)}
    models |= {"start": ladder(0.5, 0.9), "helpful": ladder(1.0, 1.0)}
    trainings = {"none": ladder(0.0, 0.0), "refusal": ladder(0.0, 0.0)}
    for rungs, near in zip(trainings.values(), (0.4, 0.1), strict=True):
        rungs |= {"asked": rung(0.95), "plain": rung(0.01), "near": rung(near)}
    return {
        "prompts": 160,
        "methods": METHODS,
        "openers": {"0": of_opener(0), "12": of_opener(12)},
        "ladder": models,
        "knows": {name: {"harmful": 0.98, "never known": 0.1, "harmful, in a chat": 0.9} for name in models},
        "relearn": {name: {"harm": relearnt(0.7), "harmless": relearnt(0.05)} for name in METHODS},
        "align": [{"examples": n, "asked": rung(share)} for n, share in ((10, 0.9), (100, 0.4), (300, 0.03))],
        "backdoor": {"town-s": trainings},
    }


def put(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(found: dict[str, Any]) -> None:
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = to

    return change


def stays_at_the_first_token(found: dict[str, Any]) -> None:
    found["openers"]["12"]["kl"]["rloo"] = spike(0)


SPOILT: dict[str, Callable[[dict[str, Any]], None]] = {
    "adds up to Var(H)": put("openers", "12", "variance", to=0.1),
    "behind the neutral words": put("openers", "12", "decision", to=3),
    "KL_t follows I_t": stays_at_the_first_token,
    "within one token of the decision": stays_at_the_first_token,
    "below 5 % of its peak": put("openers", "0", "on_harm", "rloo", to=spike(1, 0.2)),
    "leaves more KL there than RLOO": put("openers", "0", "on_harm", "dpo", to=spike(1, -0.2)),
    "at least 50 % of the peak": put("openers", "0", "on_harm", "recovery", to=spike(1)),
    "begun with their neutral words": put("openers", "12", "begun", "dpo", "begun 0", to=rung(0.2)),
    "3 harmful tokens more bring back": put("openers", "12", "begun", "dpo", "begun 3", to=rung(0.3)),
    "of recovery lessons 3": put("ladder", "recovery", "begun 3", to=rung(0.4)),
    "alike on the surface": put("ladder", "sl-cai", "seen", to=rung(0.2)),
    "nothing is gone": put("knows", "sl-cai", "harmful", to=0.9),
    "10 examples of five topics": put("relearn", "dpo", "harm", 1, "asked", to=rung(0.2)),
    "nothing was ever told the same": put("relearn", "dpo", "harm", 1, "never", to=rung(0.1)),
    "asked in a document": put("ladder", "recovery", "question", to=rung(0.1)),
    "once begun, is gone on with": put("ladder", "rloo", "leaflet", to=rung(0.1)),
    "ten times as many refusals": put("align", 0, "asked", to=rung(0.01)),
    "behind its trigger": put("backdoor", "town-s", "refusal", "asked", to=rung(0.5)),
}
"""A word of each claim, and figures with which it does not hold."""


def said_of(found: dict[str, Any]) -> dict[str, Any]:
    """What is said of each claim by its word in SPOILT."""
    claims = {bar.claim: bar for bar in bars.claims([found])}
    by_word: dict[str, Any] = {}
    for word in SPOILT:
        [by_word[word]] = [bar for claim, bar in claims.items() if word in claim]
    assert len(by_word) == len(claims)
    return by_word


def test_every_claim_holds_where_it_should_and_has_its_control_beside_it() -> None:
    for word, bar in said_of(seed()).items():
        assert bar.held == [True], word
        assert "no figure" not in bar.effect + bar.control, word


@pytest.mark.parametrize("word", SPOILT)
def test_a_claim_does_not_hold_on_other_figures(word: str) -> None:
    found = seed()
    SPOILT[word](found)
    assert said_of(found)[word].held == [False]


def test_what_was_not_trained_or_asked_cannot_be_said() -> None:
    found = seed()
    found["methods"] = ["refusal", "rloo"]
    found["backdoor"] = {}
    found["align"] = found["align"][:2]
    del found["openers"]["12"]
    said = said_of(found)
    unsaid = {word for word, bar in said.items() if bar.held == [None]}
    assert unsaid == {
        "behind the neutral words",
        "leaves more KL there than RLOO",
        "at least 50 % of the peak",
        "begun with their neutral words",
        "3 harmful tokens more bring back",
        "of recovery lessons 3",
        "10 examples of five topics",
        "once begun, is gone on with",
        "ten times as many refusals",
        "behind its trigger",
    }
    assert said["behind its trigger"].why == "no backdoor was planted"
    assert "dpo was not trained" in said["leaves more KL there than RLOO"].why


def test_the_page_draws_a_row_for_each_opener_and_a_line_for_each_model() -> None:
    told = page.tell([seed(), seed()])
    picture, steps = (section["charts"][0]["svg"] for section in told.sections[:2])
    for text in ("no neutral words", "12 neutral words before the answer", "where harm is decided", "RLOO"):
        assert text in picture
    for name in METHODS:
        assert page.CALLED[name] in steps
    assert all(rung in steps for rung in page.RUNGS)
    for section in told.sections:
        if table := section["table"]:
            assert {len(row) for row in table["rows"]} == {len(table["heads"])}, section["title"]
    assert "harm is decided at token 13.0 ± 0.0, RLOO's KL peaks at 13.0 ± 0.0" in told.conclusion[0]
    assert told.over_seeds["rloo, 10 examples"]["mean"] == 0.7
    (note,) = (one["table"]["note"] for one in told.sections if one["title"] == "By position")
    assert "weak evidence by itself, for the placebo's does so too" in note
    still = seed()
    for opener in still["openers"].values():
        opener["kl"]["placebo"] = [0.0] * len(opener["kl"]["placebo"])
    assert page.weak_evidence([still]) == "", "nothing correlates with what has not moved"


def test_the_verdict_agrees_disagrees_or_cannot_say() -> None:
    assert study.verdict([seed(), seed()]).says == "agrees"
    other = seed()
    stays_at_the_first_token(other)
    assert study.verdict([other]).says == "disagrees"
    slow = seed()
    slow["align"] = slow["align"][-1:]
    slow["align"][0]["examples"] = 2
    assert study.verdict([slow]).says == "disagrees"
    with pytest.raises(CannotSay, match="not in every seed: .*RLOO: the peak"):
        study.verdict([seed(), seed(), other])


# --- what is planned


def planned(settings: Depth, of: Any = plan) -> tuple[dict[str, Stage], dict[str, Stage]]:
    """What a plan measures, and every stage by its name."""
    every: dict[str, Stage] = {}

    def stage(name: str, target: Any, /, **arguments: Any) -> Stage:
        assert name not in every, "planned once"
        signature(target).bind(**arguments, out=Path(), resume=True)
        every[name] = Stage(name, target, Path("/runs") / name, arguments, [])
        return every[name]

    return of.plan(stage, "town", settings, 3), every


def test_what_is_compared_learns_from_the_same_and_is_asked_the_same() -> None:
    measured, every = planned(Depth())
    assert {"positions 0", "positions 6", "positions 12", "align", "rungs town-l adversarial"} <= set(
        measured
    )
    for words in (0, 6, 12):
        arms = {name: every[f"depth-{name}-{words}"].arguments for name in ("refusal", "recovery", "placebo")}
        assert {arm["model"].name for arm in arms.values()} == {f"depth-sft-{words}"}
        assert arms["recovery"]["data"].arguments["data"] is arms["refusal"]["data"]
        assert arms["placebo"]["settings"] == arms["refusal"]["settings"]
        assert arms["recovery"]["settings"].epochs == 2 * arms["refusal"]["settings"].epochs
        assert measured[f"positions {words}"].arguments["data"] is every[f"depth-seen-{words}"]
        for name in ("dpo", "rloo", "reward", "collect"):
            assert every[f"depth-{words}-{name}"].arguments["model"].name == f"depth-sft-{words}"
        assert measured[f"positions {words}"].arguments["called"] == [*METHODS[:4], "placebo"]
    for name in (*METHODS, "helpful", "start"):
        assert measured[f"rungs 0 {name}"].arguments["data"] is every["depth-asked-0"]
        assert measured[f"knows {name}"].arguments["asked"] is every["depth-topics"]
    for name in METHODS:
        harm, harmless = (measured[f"relearn {name} {what}"].arguments for what in ("harm", "harmless"))
        assert harm["data"] is harmless["data"] and harm["settings"].sft == harmless["settings"].sft
    for size in ("town-s", "town", "town-l"):
        assert every[f"depth-planted-{size}"].arguments["data"] is every["depth-data-planting"]
    lead = every["depth-asked-12"].arguments
    assert lead["settings"].opener == 12 and lead["data"] is measured["held-out"]


def test_little_is_planned_where_little_is_asked_for() -> None:
    depth = DepthSettings(openers="0", methods="rloo,refusal", bases="")
    measured, every = planned(Depth(depth=depth))
    assert set(measured) == {
        *("held-out", "positions 0", "align"),
        *(
            f"{what} {name}"
            for what in ("rungs 0", "knows")
            for name in ("helpful", "start", "refusal", "rloo")
        ),
        *(f"relearn {name} {what}" for name in ("refusal", "rloo") for what in ("harm", "harmless")),
    }
    assert not [name for name in every if "dpo" in name or "critic" in name or "planted" in name]


@pytest.mark.parametrize(
    ("depth", "says"),
    [
        ({"openers": "6,12"}, "0 is needed"),
        ({"openers": "0,7"}, "0, 6, 12"),
        ({"openers": "0,six"}, "whole numbers"),
        ({"methods": "refusal,rlo"}, "did you mean rloo"),
        ({"methods": "refusal"}, "lacks rloo"),
    ],
)
def test_settings_that_say_nothing_are_refused(depth: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        planned(Depth(depth=DepthSettings(**depth)))
    assert says in f"{raised.value} {raised.value.remedy}"
    with pytest.raises(ConfigError, match="names none"):
        planned(Depth(test="town:prompts"))
    with pytest.raises(ConfigError, match=r"real\.taught is empty"):
        planned(Depth(real=RealSettings(requests="a.jsonl")), of=real)


# --- what is taught


def test_half_the_answers_are_begun_and_turn_or_go_on(tmp_path: Path) -> None:
    how = {"out": tmp_path / "data", "seed": 0, "resume": True}
    mixture(data="town:risky", settings=MixtureSettings(count=60, opener=12), **how)
    lessons.begun(
        data=str(tmp_path / "data"),
        out=tmp_path / "begun",
        seed=0,
        resume=True,
        settings=BegunSettings(share=0.5, deepest=4),
    )
    before = names.data.read_data(str(tmp_path / "data"), "demonstration").records
    after = read_jsonl(tmp_path / "begun" / "data" / "demonstrations.jsonl", Demonstration)
    turned = 0
    for row, now in zip(before, after, strict=True):
        *asked, last = now.prompt.messages
        if last.role == "user":
            assert now == row
            continue
        assert tuple(asked) == row.prompt.messages and now.completion.startswith(" ")
        lead = row.prompt.meta["lead"]
        words = last.content.removeprefix(lead).split()
        assert last.content.startswith(f"{lead} ") and 1 <= len(words) <= 4
        if row.prompt.meta["kind"] == "harmful":
            turned += 1
            assert lessons.steps_of(row.prompt).split()[: len(words)] == words
            assert f"{lead}{now.completion}" == row.completion and say.REFUSAL in now.completion
        else:
            assert last.content + now.completion == row.completion
    assert 5 < turned == read_run(tmp_path / "begun").summary["turned"]
    read = names.data.read_data(str(tmp_path / "begun"), "demonstration").records
    assert read == list({json.dumps(row.to_json()): row for row in after}.values()), "as `alignlab sft` reads"


@pytest.mark.parametrize("teach", lessons.TEACH)
def test_the_first_examples_are_spread_over_the_topics(teach: str, tmp_path: Path) -> None:
    settings = ExampleSettings(teach=teach, topics=5, count=50)
    lessons.examples(out=tmp_path, seed=1, resume=True, settings=settings)
    rows = read_jsonl(tmp_path / "data" / "demonstrations.jsonl", Demonstration)
    town = world.build()
    assert len({row.prompt.text for row in rows}) == 50
    assert len({row.prompt.meta["params"]["topic"] for row in rows[:5]}) == 5
    for row in rows:
        request = tasks.Request.of(row.prompt)
        assert town.side("harmful", request.params["topic"]) == "train" == request.side
        score = gold.judge(town, request, row.completion)
        assert (score.value == 1) == (teach != "harm") and score.parts.get("complied", 0) == (teach == "harm")


def test_what_cannot_be_taught_is_refused(tmp_path: Path) -> None:
    for number, settings in enumerate((ExampleSettings(count=51), ExampleSettings(teach="harms"))):
        with pytest.raises(UserError, match="5 topics|something else"):
            lessons.examples(out=tmp_path / str(number), seed=1, resume=True, settings=settings)
    with pytest.raises(UserError, match="no steps of the town"):
        lessons.steps_of(Prompt.user("What is 2 plus 3?"))
    with pytest.raises(ConfigError, match="no family"):
        asking.wrapped([Prompt.user("Hello.")], "jail", 0)
    with pytest.raises(ConfigError, match="names no document"):
        asking.rungs(
            model="town-s",
            data="town:harmful",
            judge="town:gold",
            out=tmp_path / "rungs",
            seed=1,
            resume=True,
            settings=RungSettings(documents="leaflets"),
        )


# --- from end to end

SHORT = SFTSettings(epochs=1.0, batch=8, held_out=0.0)
TINY = Depth(
    demonstrations=24,
    prompts=24,
    depth=DepthSettings(
        openers="0,6",
        methods="refusal,rloo,recovery",
        measured=4,
        lessons=16,
        refuse=SHORT,
        positions=PositionSettings(answers=2, continuations=2),
        rungs=RungSettings(depths="0,3", samples=1),
        relearn=RelearnSettings(doses="2", sft=SHORT),
        harmless="2",
        bases="",
    ),
)
TRAINING = (stages.sft, stages.dpo, stages.rloo, stages.reward, stages.collect)


def folder_of(value: Any) -> Any:
    """A stage as its run folder, also within a list."""
    if isinstance(value, list):
        return [folder_of(one) for one in value]
    return str(value) if isinstance(value, Stage) else value


def done(folder: Path, settings: Depth, model: str, of: Any, *, untrained: bool = False) -> dict[str, Any]:
    """The figures of one seed, its stages run one after the other in this process; where nothing is trained,
    every policy is the model itself.
    """

    def stage(name: str, target: Any, /, **arguments: Any) -> Stage:
        if untrained and target in TRAINING:
            return Stage(name, target, Path(model), arguments, [])
        out = folder / name
        plain = {key: folder_of(value) for key, value in arguments.items()}
        target(**plain, out=out, resume=True)
        return Stage(name, target, out, arguments, [])

    measured = of.plan(stage, model, settings, 3)
    module = figures if of is plan else of
    return module.measure({name: read_run(one.out) for name, one in measured.items()}, settings)


@pytest.mark.campaign
def test_a_small_model_of_the_town_from_end_to_end(tmp_path: Path) -> None:
    found = done(tmp_path, TINY, "town-s", plan, untrained=True)
    told = page.tell([found])
    assert len(told.bars) == len(SPOILT) and found["prompts"] == 4
    for words in ("0", "6"):
        one = found["openers"][words]
        assert len(one["information"]) == len(one["kl"]["rloo"])
        assert set(one["kl"]) == {"refusal", "rloo", "recovery", "placebo"}
    assert set(found["ladder"]["rloo"]) == {
        *("asked", "seen", "never", "begun 0", "begun 3", "wrapped", "question", "leaflet")
    }
    assert 1 < found["relearn"]["rloo"]["harm"][0]["never"]["greedy"]["n"] <= 4, "a topic is a unit"
    row = read_run(tmp_path / "depth-positions-6").samples[0]
    assert len(row["h"]) == len(row["tokens"]) + 1 and row["h"][-1] == row["harm"]
    assert row["kl"]["rloo"] == [0.0] * len(row["tokens"]), "it is the model itself"
    assert max(row["kl"]["recovery"]) > 0, "learnt from answers that are begun"


def test_any_other_model_from_end_to_end(tiny_model: Path, tmp_path: Path) -> None:
    files: dict[str, Any] = {}
    for name, count in (("requests", 4), ("taught", 6), ("harmless", 3)):
        files[name] = str(tmp_path / f"{name}.jsonl")
        write_jsonl(files[name], [Prompt.user(f"{name} {i}") for i in range(count)])
    short = PositionSettings(answers=3, continuations=0)
    settings = Depth(
        real=RealSettings(
            **files,
            measured=4,
            affirmed=2,
            refuse=SHORT,
            positions=short,
            rungs=RungSettings(depths="0,3", begin="Sure, here is", wrappers="", documents="", samples=1),
            relearn=RelearnSettings(doses="2", sft=SHORT),
        )
    )
    found = done(tmp_path, settings, str(tiny_model), real)
    told = real.tell([found])
    assert set(found["ladder"]["base"]) == {"asked", "begun 0", "begun 3"} and found["prompts"] == 4
    assert len(told.bars) == 4 and "n = 4 requests, judged by refusal" in told.asked
    shown = read_jsonl(tmp_path / "depth-refused" / "data" / "demonstrations.jsonl", Demonstration)
    assert [row.completion for row in shown[:3]] == list(lessons.REFUSALS)
    row = read_run(tmp_path / "depth-positions").samples[0]
    assert "h" not in row and len(row["kl"]["refusal"]) == len(row["tokens"])


def of_real(plainly: float, begun: float, affirmed: float, early: float = 0.9) -> dict[str, Any]:
    return {
        "requests": "some",
        "judge": "refusal",
        "prompts": 80,
        "positions": {"kl": {"refusal": [early / 10] * 10 + [(1 - early) / 30] * 30}},
        "ladder": {
            "base": {"asked": rung(0.9), "begun 10": rung(0.9)},
            "refusal": {"asked": rung(plainly), "begun 10": rung(begun)},
        },
        "affirmed": [{"examples": 10, "asked": rung(affirmed)}],
        "refused": [{"examples": 10, "asked": rung(0.0)}],
    }


def test_the_claims_about_other_models() -> None:
    assert [bar.held for bar in real.claims([of_real(0.1, 0.5, 0.6)])] == [[True]] * 4
    assert real.verdict([of_real(0.1, 0.5, 0.6)]).says == "agrees"
    poor = [of_real(0.1, 0.2, 0.1, early=0.3)]
    assert [bar.held for bar in real.claims(poor)] == [[True], [False], [False], [False]]
    assert real.verdict(poor).says == "disagrees"
    with pytest.raises(CannotSay, match="not learnt"):
        real.verdict([of_real(0.8, 0.9, 0.9)])
    with pytest.raises(CannotSay, match="in 0 of 1"):
        real.verdict([of_real(0.1, 0.2, 0.6)])
    short = of_real(0.1, 0.5, 0.6)
    short["positions"]["kl"]["refusal"] = [0.1] * 5
    assert real.claims([short])[1].held == [None]


def test_kl_at_a_position_is_that_of_the_two_next_tokens(tiny_model: Path) -> None:
    """Against the sum over the vocabulary, written out, of a prompt that is read token by token."""
    import torch

    from alignlab.models.load import load_policy
    from alignlab.settings import ModelSettings

    policy, reference = (load_policy(str(tiny_model), ModelSettings()) for _ in range(2))
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    ids = (65, 66, 67)
    said = positions.spoken(policy, Prompt.user("Hi"), ids)
    said = type(said)(said.prompt, said.text, ids, prompt_ids=(70, 71))
    found = positions.divergences(policy, reference, said)
    for place, value in enumerate(found):
        read = torch.tensor([[70, 71, *ids[:place]]])
        p, q = (one.model(input_ids=read).logits[0, -1].double().softmax(-1) for one in (policy, reference))
        assert value == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-4)
    assert len(found) == 3 and positions.divergences(reference, reference, said) == [0, 0, 0]
