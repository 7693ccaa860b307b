"""The study `whose-values`: closed forms, people, plan, claims, and both forms at toy size."""

from __future__ import annotations

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli, names
from alignlab.errors import ConfigError, DataError
from alignlab.feedback import sigmoid
from alignlab.records import Completion, Ranking, read_jsonl
from alignlab.run import read_run
from alignlab.studies.choices import read_choices
from alignlab.studies.settings import NoSettings
from alignlab.studies.study import CannotSay
from alignlab.studies.whose_values import claims, figures, law, page, people, plan, real
from alignlab.studies.whose_values.settings import (
    FAST,
    LoopSettings,
    PairsSettings,
    RankedSettings,
    ValuesSettings,
    WhoseValues,
)
from alignlab.town import population, tasks, world

from ..methods.conftest import base as base  # a fixture

TOWN = world.build()
PEOPLE = population.deal(TOWN, seed=3)


# --- closed forms, against counting


def test_the_optimum_is_best_by_reward_less_the_price_of_kl() -> None:
    start, reward, beta = (0.2, 0.5, 0.3), (0.7, -0.4, 0.1), 0.4

    def worth(said: tuple[float, ...]) -> float:
        kl = sum(p * math.log(p / q) for p, q in zip(said, start, strict=True))
        return sum(p * r for p, r in zip(said, reward, strict=True)) - beta * kl

    best = law.optimum(start, reward, beta)
    assert sum(best) == pytest.approx(1)
    rng = random.Random(0)
    for _ in range(200):
        other = [p * math.exp(rng.gauss(0, 0.1)) for p in best]
        assert worth(tuple(p / sum(other) for p in other)) <= worth(best) + 1e-12


def test_the_score_of_a_large_town_is_that_of_sixty_people() -> None:
    for matter in people.even(PEOPLE):
        assert law.gap(PEOPLE.share(matter)) == pytest.approx(figures.gap_of(PEOPLE.scores(matter)))
    assert law.gap(0.5) == pytest.approx(0) and law.gap(0.7) == pytest.approx(-law.gap(0.3))


def test_at_the_matching_beta_a_model_says_what_the_town_thinks_near_one_half() -> None:
    beta = law.matching_beta()
    assert beta == pytest.approx(1.15, abs=0.01) and law.gain_of(1 / beta) == pytest.approx(1)
    assert law.told(0.0, 0.55, beta) == pytest.approx(0.55, abs=0.002)
    assert law.told(0.0, 0.55, 0.3) > 0.65 and law.told(math.log(3), 0.5, 0.3) == pytest.approx(0.75)


def test_people_move_as_each_of_them_does_who_asks() -> None:
    said, influence = (0.5, 0.2, 0.3), 0.4
    sides = [1] * 7 + [0] * 3
    expected = 0.0
    for side in sides:
        stays, comes = 1 - influence * said[1], influence * said[0]
        expected += stays if side else comes
    assert law.heard(0.7, said, influence) == pytest.approx(expected / 10)
    assert law.moved(42, 60, (0.0, 0.0, 1.0), influence=0.9) == 42  # both sides move nobody
    assert law.moved(42, 60, (1.0, 0.0, 0.0), influence=0.5, news=6, towards=-1) == 45
    assert law.moved(3, 60, (0.0, 1.0, 0.0), influence=1.0, news=6, towards=-1) == 0


# --- the people


def test_news_is_about_one_of_each_two_matters_and_speaks_for_the_minority() -> None:
    news = people.news_of(PEOPLE)
    assert len(news) == 6 and len(people.even(PEOPLE)) == 12
    distances = [round(abs(PEOPLE.share(matter) - 0.5), 6) for matter in news]
    assert len(set(distances)) == 6
    assert all((PEOPLE.share(matter) < 0.5) == (towards == 1) for matter, towards in news.items())


def test_as_few_people_as_can_be_change_their_minds() -> None:
    sides = [1, 1, -1, -1, -1]
    now = people.turned(sides, 4, random.Random(0))
    assert now.count(1) == 4 and all(
        after == 1 for before, after in zip(sides, now, strict=True) if before == 1
    )
    assert people.turned(sides, 2, random.Random(0)) == sides
    assert people.turned(sides, 0, random.Random(0)).count(1) == 0


def test_a_generation_later_as_many_stand_for_yes_as_the_law_says() -> None:
    matters = people.even(PEOPLE)
    said = dict.fromkeys(PEOPLE.matters, (0.9, 0.0, 0.1))
    how = RankedSettings(influence=0.5, news=6)
    news = {matters[0]: -1}
    later = people.after(PEOPLE, said, news, how, seed=1)
    for matter in matters:
        expected = law.heard(PEOPLE.share(matter), said[matter], 0.5) - 0.1 * (matter in news)
        assert later.share(matter) == pytest.approx(expected, abs=0.5 / 60)
    assert all(later.matters[matter] == PEOPLE.matters[matter] for matter in PEOPLE.intense)


def collected() -> list[Ranking]:
    """What a run of `collect` has of two wordings of each matter, a look-alike of an answer and junk with it,
    and one prompt that has answers for one side alone.
    """
    rows: list[Ranking] = []
    for matter in PEOPLE.matters:
        pro, con = world.CONTESTED[matter]
        texts = [f"No, because {con}.", "Yes.", f"Yes, because {pro}.", f"Thanks! No, because {con}."]
        texts.append(f"Some say yes, because {pro}. Others say no, because {con}.")
        for words in ("Do you think that {}?", "Is it right that {}?"):
            request = tasks.Request("contested", {"matter": matter}, (words.format(matter),), "train")
            completions = tuple(Completion(request.prompt(), text) for text in texts)
            rows.append(Ranking(request.prompt(), completions, (1, 2, 3, 4, 5)))
    rows.append(rows[0].only([0, 1, 3]))
    return rows


def test_everybody_ranks_one_answer_for_each_side_and_the_labels_are_their_shares() -> None:
    rankings = people.rank(PEOPLE, collected(), RankedSettings(), seed=5)
    assert len(rankings) == 15 * 2
    for ranking in rankings:
        exact = PEOPLE.preferences(ranking.prompt.meta["params"]["matter"])
        assert [answer.text.split()[0] for answer in ranking.completions] == ["Yes,", "No,", "Some"]
        for first, second in ((0, 1), (0, 2), (1, 2)):
            assert ranking.label(first, second) == pytest.approx(exact[first][second], abs=0.2)
        assert len(ranking.comparisons()) == 3  # though both sides may have the same share
    hill = people.rank(PEOPLE, collected(), RankedSettings(group="hill"), seed=5)
    for ranking in hill:
        exact = PEOPLE.preferences(ranking.prompt.meta["params"]["matter"], "hill")
        assert ranking.label(0, 1) == pytest.approx(exact[0][1], abs=0.3)
    dealt = people.rank(PEOPLE, collected(), RankedSettings(shuffled=True), seed=5)
    assert all(abs((ranking.label(i, j) or 0) - 0.5) < 0.3 for ranking in dealt for i in (0, 1) for j in (2,))
    with pytest.raises(DataError, match="two sides"):
        people.rank(PEOPLE, [], RankedSettings(), seed=5)


def test_a_loss_on_pooled_votes_is_that_on_the_votes() -> None:
    prompt = collected()[0].prompt
    answers = tuple(Completion(prompt, text) for text in ("Yes.", "No.", "Both."))
    votes = [Ranking(prompt, answers, ranks) for ranks in ((1, 2, 3), (1, 3, 2), (3, 1, 2), (2, 1, 3))]
    rewards = {"Yes.": 0.3, "No.": -0.2, "Both.": 1.1}

    def loss(rankings: list[Ranking]) -> float:
        total, pairs = 0.0, 0
        for pair in (pair for ranking in rankings for pair in ranking.comparisons()):
            sure = sigmoid(rewards[pair.chosen] - rewards[pair.rejected])
            label = 1.0 if pair.label is None else pair.label
            total -= label * math.log(sure) + (1 - label) * math.log(1 - sure)
            pairs += 1
        return total / pairs

    together = people.pooled(votes)
    assert loss([together]) == pytest.approx(loss(votes)) and together.ranks == (1, 2, 3)


@pytest.mark.parametrize("test", ["town:demos", "town:train", "test", "town:"])
def test_matters_are_asked_in_held_out_wordings_alone(test: str) -> None:
    with pytest.raises(ConfigError, match="held-out side"):
        people.side_of(test)


def test_what_is_asked_is_in_other_words_than_what_is_ranked(tmp_path: Path) -> None:
    how = {"out": tmp_path / "town", "seed": 3, "resume": True, "settings": NoSettings()}
    found = people.asked(test="town:test", **how)["summary"]
    prompts = names.data.read_data(str(tmp_path / "town"), "prompt").records
    assert len(prompts) == 15 * 6 and found["matters"] == 15 and found["asked"] == 15 * 6
    asked = read_choices(str(tmp_path / "town")).records
    assert {row.unit for row in asked} == set(PEOPLE.matters)
    assert {row.asked.text for row in asked}.isdisjoint(prompt.text for prompt in prompts)
    assert population.read(str(tmp_path / "town")) == PEOPLE


# --- the plan


class Planned:
    """A stage as it was planned."""

    def __init__(self, name: str, target: Any, **arguments: Any) -> None:
        self.name, self.target, self.arguments = name, target, arguments
        self.control = ""

    def is_control(self, why: str) -> Planned:
        self.control = why
        return self


def planned(settings: WhoseValues, form: Any = plan) -> dict[str, Planned]:
    stages: dict[str, Planned] = {}

    def stage(name: str, target: Any, /, **arguments: Any) -> Any:
        assert name not in stages
        stages[name] = Planned(name, target, **arguments)
        return stages[name]

    form.plan(stage, "town", settings, 10)
    return stages


def test_arms_and_their_controls_learn_from_the_same_answers() -> None:
    stages = planned(WhoseValues())
    sft, samples = stages["values-sft"], stages["values-collect"]
    by_people = stages["values-ranked-people"]
    for beta in ("1", "0.5", "0.3", "0.1"):
        dpo = stages[f"values-dpo-{beta}"].arguments
        assert (dpo["model"], dpo["data"], dpo["settings"].beta) == (sft, by_people, float(beta))
    assert [name for name, one in stages.items() if one.control] == ["values-dpo-random"]
    luck = stages["values-dpo-random"].arguments
    assert luck["settings"] == stages["values-dpo-0.3"].arguments["settings"]
    assert luck["data"].arguments["data"] is samples and luck["data"].arguments["settings"].shuffled
    assert stages["values-ranked-rule"].arguments["data"] is by_people
    for how in ("mean", "worst"):
        reward = stages[f"values-rloo-{how}"].arguments["reward"]
        assert [one.name for one in reward.stages] == [
            f"values-reward-{group}" for group in population.GROUPS
        ]
    for arm, beta in (("sharp", 0.3), ("matching", law.matching_beta()), ("moving", law.matching_beta())):
        policy = stages["values-dpo-0.3" if arm == "sharp" else "values-dpo-matching"]
        assert f"values-dpo-{arm}-1" not in stages  # all arms of a beta have the first model in common
        before = by_people
        for generation in range(1, 7):
            last, policy = policy, stages.get(f"values-dpo-{arm}-{generation}", policy)
            dpo, start = policy.arguments, last if arm == "moving" and generation > 1 else sft
            assert dpo["model"] is start and dpo["settings"].beta == beta and dpo["data"] is before
            moved = stages[f"values-ranked-{arm}-{generation}"].arguments
            assert moved["settings"].news == (6 if generation >= 3 else 0) and moved["data"] is samples
            assert moved["before"] is before
            assert moved["heard"].arguments["model"] is policy
            before = stages[f"values-ranked-{arm}-{generation}"]
    small = planned(FAST)
    assert "values-dpo-0.1" not in small and "values-rloo-worst" not in small


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"betas": "1,0.5"}, "sharp one of them"),
        ({"betas": "1,0.3,0"}, "above 0"),
        ({"betas": "much"}, "not a list of numbers"),
        ({"loop": LoopSettings(arms="sharp,dull")}, "some of sharp, matching, moving"),
        ({"loop": LoopSettings(arms="")}, "some of"),
    ],
)
def test_a_plan_that_cannot_be_says_so(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        planned(WhoseValues(values=ValuesSettings(**values)))
    assert said in str(error.value)


# --- the claims


def seed_of(**arms: dict[str, float]) -> dict[str, Any]:
    """Figures of a seed in which everything is as claimed."""
    matters = {"a": 0.3, "b": 0.7}

    def found(beta: float, slope: float) -> dict[str, Any]:
        shift = {m: slope * law.gap(share) for m, share in matters.items()}
        ends = {"mean": slope, "ci": [slope - 0.1, slope + 0.1], "n": 12}
        return {"beta": beta, "slope": ends, "shift": shift, "both": 0.3, "listed": 0.9}

    def reached(utility: float, worst: float) -> dict[str, float]:
        return {"utility": utility, "worst": worst, "match": 0.9, "both": 0.3, "entropy": 1.0}

    few = {"matter": "c", "shift": 1.0, "by_law": 1.6, "by_welfare": -6.0, "preferred": 0.64, "worth": -0.48}
    loop = {
        "no model": {"kept": 1.0, "late": 0.0},
        "sharp": {"kept": 0.2, "late": 0.35, "gain": 3.5},
        "matching": {"kept": 1.02, "late": 0.01, "gain": 1.0},
        "moving": {"kept": 0.5, "late": 0.2, "gain": 5.0},
        "frozen": {"kept": 0.6, "late": 0.2},
        "rule": {"kept": 0.97, "late": 0.0},
    }
    path = {m: [share] * 7 for m, share in matters.items()}
    return {
        "seed": 10,
        "asked": {"matters": 15, "wordings": 6},
        "sharp": 0.3,
        "shares": matters,
        "gaps": {m: law.gap(share) for m, share in matters.items()},
        "start": dict.fromkeys(matters, 0.0),
        "start_said": [0.3, 0.4, 0.3],
        "law": [found(1.0, 0.95), found(0.5, 2.1), found(0.3, 3.0), found(0.1, 6.0)],
        "random": found(0.3, 0.1),
        "intense": [few, few, few | {"shift": -0.1}],
        "remedies": {
            "SFT": reached(0.5, 0.4),
            "RLOO, mean": reached(0.65, 0.4),
            "RLOO, worst": reached(0.6, 0.5),
        },
        "loop": {
            "arms": {name: {"paths": path} | one | arms.get(name, {}) for name, one in loop.items()},
            "news": {"a": 1},
            "generations": 6,
            "news_from": 3,
            "turned": 0.1,
        },
    }


def held(figures: dict[str, Any]) -> list[bool | None]:
    return [one.held[0] for one in claims.claims([figures])]


def test_every_claim_holds_where_all_is_as_claimed() -> None:
    bars = claims.claims([seed_of()])
    assert [bar.held[0] for bar in bars] == [True] * 10
    assert all(bar.effect and bar.control for bar in bars) and bars[0].control == "random preferences: 0.030"
    assert claims.verdict([seed_of()]).says == "agrees"


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (0, lambda s: s["law"][0]["slope"].update(mean=0.7)),
        (1, lambda s: s["law"][1]["slope"].update(mean=2.6)),
        (2, lambda s: s["law"][2]["slope"].update(mean=2.4)),
        (3, lambda s: s["intense"][1].update(shift=-0.2)),
        (3, lambda s: s["intense"][1].update(by_welfare=0.1)),
        (4, lambda s: s["remedies"]["RLOO, worst"].update(worst=0.44)),
        (4, lambda s: s["remedies"]["RLOO, worst"].update(utility=0.5)),
        (4, lambda s: s["remedies"]["RLOO, worst"].update(utility=0.66)),
        (5, lambda s: s["loop"]["arms"]["sharp"].update(kept=0.6)),
        (6, lambda s: s["loop"]["arms"]["matching"].update(kept=0.89)),
        (6, lambda s: s["loop"]["arms"]["matching"].update(kept=1.11)),
        (7, lambda s: s["loop"]["arms"]["moving"].update(kept=0.8)),
        (8, lambda s: s["loop"]["arms"]["moving"].update(kept=0.95)),
        (8, lambda s: s["loop"]["arms"]["matching"].update(kept=0.85)),
        (9, lambda s: s["loop"]["arms"]["sharp"].update(late=0.19)),
        (9, lambda s: s["loop"]["arms"]["matching"].update(late=0.11)),
    ],
)
def test_a_claim_does_not_hold_where_its_figure_is_another(place: int, change: Any) -> None:
    figures = copy.deepcopy(seed_of())
    change(figures)
    assert held(figures)[place] is False


def test_what_was_not_run_cannot_be_said() -> None:
    figures = copy.deepcopy(seed_of())
    figures["law"] = [found for found in figures["law"] if found["beta"] != 0.5]
    figures["law"][0]["slope"]["mean"] = None
    for title in ("RLOO, mean", "RLOO, worst"):
        del figures["remedies"][title]
    figures["loop"]["generations"] = 2
    for arm in ("moving", "matching"):
        del figures["loop"]["arms"][arm]
    found = claims.claims([figures])
    assert [bar.held[0] for bar in found] == [None, None, True, True, None, None, None, None, None, None]
    for place, why in (
        (0, "the slope at beta 1 has no figure"),
        (1, "beta 0.5 was not run"),
        (4, "RLOO, worst was not run"),
        (5, "fewer than 6 generations"),
        (6, "the arm matching was not run"),
        (8, "the same side of 1"),
        (9, "there was no news"),
    ):
        assert why in found[place].why


def test_the_verdict_is_of_the_betas_that_were_run() -> None:
    figures = copy.deepcopy(seed_of())
    figures["law"][2]["slope"]["mean"] = 2.0
    assert claims.verdict([figures]).says == "disagrees" and "0.3" in claims.verdict([figures]).why
    figures["random"]["slope"]["mean"] = 2.0
    with pytest.raises(CannotSay, match="random preferences have a slope too"):
        claims.verdict([figures])
    figures["law"] = figures["law"][3:]
    with pytest.raises(CannotSay, match="no beta"):
        claims.verdict([figures])


def test_the_page_tells_of_seeds_with_and_without_remedies() -> None:
    told = page.tell([seed_of(), seed_of(sharp={"kept": 0.3})])
    assert told.over_seeds["sharp: doubt kept"]["mean"] == pytest.approx(0.25)
    assert all(chart["svg"].startswith("<svg") for section in told.sections for chart in section["charts"])
    rows = {row[0]: row for row in told.sections[1]["table"]["rows"]}
    assert rows["a model, beta 0.3"][3] == "3.5 ± 0.0" and rows["no model"][1] == "-"
    assert [row[4] for row in told.sections[0]["table"]["rows"]][-1] == "0.00 to 0.06"  # random, too


def test_figures_of_the_loop_are_what_its_paths_come_to() -> None:
    paths = {"a": [0.3, 0.3], "b": [0.7, 0.9]}
    without = {"a": [0.3, 0.4], "b": [0.7, 0.7]}
    found = figures.ends(paths, without, {"a": 1})
    assert found == {"kept": pytest.approx(0.09 / 0.21), "late": pytest.approx(0.1)}
    matter = people.even(PEOPLE)[0]
    loop = LoopSettings(generations=3, news=3, turned=6)
    share = PEOPLE.share(matter)
    alone = figures.alone(PEOPLE, matter, None, -1, loop)
    assert alone[:3] == [share] * 3 and alone[3] == pytest.approx(max(0.0, share - 0.1))
    xs, ys = [0.0, 1.0, 2.0], [1.0, 3.0, 5.0]
    assert figures.slope(xs, ys, "abc")["mean"] == pytest.approx(2)


# --- another model: the law alone


def test_simulated_people_answer_with_the_chance_that_the_law_takes_them_to(tmp_path: Path) -> None:
    how = PairsSettings(people=60, temperature=1.0)
    run = {"seed": 4, "resume": True}
    shares = real.pairs(out=tmp_path / "pairs", settings=how, **run)["summary"]["shares"]
    assert sorted(shares.values()) == pytest.approx(population.SHARES, abs=0.5 / 60)
    rankings = read_jsonl(tmp_path / "pairs" / "data" / "rankings.jsonl", Ranking)
    assert len(rankings) == 12 * 5
    for number, matter in enumerate(real.MATTERS):
        its = rankings[5 * number : 5 * (number + 1)]
        assert all(matter in ranking.prompt.text for ranking in its)
        yes = [ranking.label(0, 1) or 0.0 for ranking in its]
        assert sum(yes) / 5 == pytest.approx(real.preferred(shares[matter], 1.0), abs=0.1)
    sure = sigmoid(4)
    assert real.preferred(0.6, 0.25) == pytest.approx(0.6 * sure + 0.4 * (1 - sure))
    assert set(real.WORDINGS).isdisjoint(real.HELD_OUT)


def test_the_other_form_has_the_same_claims_of_its_own_betas() -> None:
    figures: dict[str, Any] = copy.deepcopy(seed_of()) | {"people": 60}
    assert [bar.held[0] for bar in real.tell([figures]).bars] == [True, True]
    assert real.verdict([figures]).says == "agrees"
    figures["law"] = figures["law"][:1]
    assert [bar.held[0] for bar in real.tell([figures]).bars] == [True, None]
    figures["law"][0]["slope"]["mean"] = 0.5
    assert [bar.held[0] for bar in real.tell([figures]).bars] == [False, None]
    stages = planned(WhoseValues(), real)
    assert stages["values-said-start"].arguments["model"] == "town"
    assert stages["values-dpo-random"].arguments["data"].arguments["settings"].shuffled


def read(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text())


def test_another_model_end_to_end(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "real"
    small = "--real.betas 1 --real.people 4 --real.epochs 0.5 --real.adapter.rank 2".split()
    words = ["study", "whose-values", "--model", str(base), "--out", str(out), "--seeds", "0", *small]
    assert cli.main(words) == 0, capsys.readouterr().err
    summary = read(out)
    assert (
        "n = 12 made-up matters" in summary["measured_on"] and "4 simulated people" in summary["measured_on"]
    )
    assert [bar.get("unknown", 0) for bar in summary["bars"]] == [0, 1]
    assert "cannot say" in capsys.readouterr().out


@pytest.mark.campaign
def test_the_town_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "values"
    small = (
        "--demonstrations 400 --sft.epochs 2 --values.betas 0.3 --values.groups false "
        "--values.loop.generations 1 --values.loop.news 1 --values.loop.arms sharp --values.dpo.epochs 0.01 "
        "--values.collect.per-prompt 3 "
        "--values.collect.sampling.max-new-tokens 40"
    ).split()
    assert cli.main(["study", "whose-values", "--out", str(out), *small]) == 0, capsys.readouterr().err
    summary = read(out)
    found = summary["figures"]["0"]
    assert len(found["shares"]) == 12 and len(found["intense"]) == 3
    assert set(found["loop"]["arms"]) == {"sharp", "no model", "frozen", "rule"}
    assert all(len(path) == 2 for path in found["loop"]["arms"]["sharp"]["paths"].values())
    again = population.read(str(out / "seed-0" / "values-ranked-sharp-1"))
    moved = found["loop"]["arms"]["sharp"]["paths"]
    assert all(again.share(matter) == path[-1] for matter, path in moved.items())
    assert read_run(out / "seed-0" / "values-ranked-people").summary["rankings"] > 0
    assert (out / "study.html").read_text().count("<svg") >= 2
