"""Judges made of judges: ensembles by hand, what a name says of them, the price of a cost, and pools of
annotators.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab import names
from alignlab.errors import UserError
from alignlab.feedback import RuleJudge, part_means
from alignlab.feedback.annotators import PoolAnnotator, SimulatedAnnotator
from alignlab.feedback.ensemble import Ensemble, EnsembleJudge, Remembering, parse
from alignlab.feedback.lagrange import LagrangeJudge
from alignlab.records import Completion, Prompt, Ranking, Score

ONE = [Completion(Prompt.user("?"), "a")]


def fixed(values: list[float]) -> list[RuleJudge]:
    return [RuleJudge(f"member {i}", lambda _, value=value: value) for i, value in enumerate(values)]


@given(values=st.lists(st.floats(-9, 9), min_size=1, max_size=6), weight=st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_aggregations_by_hand(values: list[float], weight: float) -> None:
    expected = {
        "mean": statistics.fmean(values),
        "worst": min(values),
        "uncertainty": statistics.fmean(values) - weight * statistics.pstdev(values),
    }
    for how, value in expected.items():
        (score,) = EnsembleJudge(fixed(values), aggregation=how, weight=weight).score(ONE)  # type: ignore[arg-type]
        assert score.value == pytest.approx(value, abs=1e-9)
        assert score.parts["spread"] == pytest.approx(statistics.pstdev(values), abs=1e-7)
        assert [score.parts[f"member_{i}"] for i in range(len(values))] == values


def test_an_ensemble_of_one_is_that_one_and_its_spread_is_logged() -> None:
    judge = EnsembleJudge(fixed([1.5]), aggregation="worst")
    scores = judge.score(ONE * 3)
    assert (
        [score.value for score in scores] == [1.5] * 3
        and part_means(judge, scores) == {"judge/spread": 0.0}
        and judge.score([]) == []
    )
    assert judge.compare(ONE, ONE) == [0.5]


def test_what_members_overrate_by_turns_is_not_paid_for_by_the_cautious() -> None:
    """Each member has a blind spot of its own; the mean pays a third of it, the worst nothing."""
    members = [
        RuleJudge(f"m{i}", lambda c, i=i: 3.0 if c.text == f"trick {i}" else 1.0 if c.text == "good" else 0.0)
        for i in range(3)
    ]
    texts = ["good", "trick 0", "trick 1", "trick 2"]
    scores = {
        how: [
            s.value
            for s in EnsembleJudge(members, aggregation=how).score(
                [Completion(ONE[0].prompt, t) for t in texts]
            )
        ]
        for how in ("mean", "worst", "uncertainty")
    }
    assert scores["mean"] == pytest.approx([1, 1, 1, 1])
    assert (
        max(scores["worst"][1:]) == 0 < scores["worst"][0]
        and max(scores["uncertainty"][1:]) < scores["uncertainty"][0]
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("runs/a", Ensemble(("runs/a",))),
        ("ensemble:a,b", Ensemble(("a", "b"))),
        ("ensemble:worst:a,b", Ensemble(("a", "b"), "worst")),
        ("ensemble:uncertainty=0.5:a", Ensemble(("a",), "uncertainty", 0.5)),
        ("ensemble:worst,allow-missing:a,b", Ensemble(("a", "b"), "worst", 1.0, True)),
        ("ensemble:allow-missing:a:b", Ensemble(("a:b",), allow_missing=True)),
        ("ensemble:C:/a,b", Ensemble(("C:/a", "b"))),
    ],
)
def test_names_of_ensembles(name: str, found: Ensemble) -> None:
    assert parse(name) == found


@pytest.mark.parametrize(
    "name", ["ensemble:", "ensemble:worst:", "ensemble:mean,median:a", "ensemble:uncertainty=much:a"]
)
def test_names_of_no_ensemble(name: str) -> None:
    with pytest.raises(UserError):
        parse(name)


def constraint(**more: object) -> LagrangeJudge:
    judge = {"limit": 0.1, "kind": "score", "start": 2.0, "lr": 0.5} | more
    return LagrangeJudge(
        RuleJudge("reward", lambda _: Score(3.0, {"raw": 9.0})),
        RuleJudge("safe", lambda c: -float(len(c.text))),
        **judge,
    )  # type: ignore[arg-type]


def test_the_score_under_a_constraint_by_hand() -> None:
    (score,) = constraint().score(ONE)  # cost 1, lambda 2
    assert score.value == pytest.approx((3 - 2 * 1) / 3) and score.parts == {
        "raw": 9.0,
        "reward": 3.0,
        "cost": 1.0,
    }
    (score,) = constraint(kind="chance").score(ONE)
    assert score.parts["cost"] == pytest.approx(1 / (1 + math.exp(-1)))


def test_the_price_takes_one_step_of_its_equation_and_stops_at_its_maximum() -> None:
    judge = constraint()
    said = judge.update(judge.score(ONE * 4))
    assert said == {"safety/lambda": pytest.approx(2.0), "safety/cost": 1.0, "safety/limit": 0.1}
    assert judge.log_lambda == pytest.approx(math.log(2) + 0.5 * 2 * (1 - 0.1))
    for _ in range(50):
        judge.update(judge.score(ONE))
    assert judge.multiplier == pytest.approx(10)


def test_the_price_falls_while_the_cost_is_below_its_limit() -> None:
    judge = constraint(limit=5.0)
    prices = [judge.update(judge.score(ONE))["safety/lambda"] for _ in range(30)]
    assert prices == sorted(prices, reverse=True) and 0 < prices[-1] < 0.05


def test_a_pool_shares_the_work_and_signs_it() -> None:
    length = RuleJudge("length", lambda c: float(len(c.text)))
    people = [
        SimulatedAnnotator(name, length, weights={"value": sign}, temperature=0.0)
        for name, sign in (("ann", 1.0), ("eve", -1.0))
    ]
    pool = PoolAnnotator("pool", people, seed=3)
    rankings = [pool.rank(i, [Completion(Prompt.user(str(i)), t) for t in ("a", "bb")]) for i in range(200)]
    again = [pool.rank(i, [Completion(Prompt.user(str(i)), t) for t in ("a", "bb")]) for i in range(200)]
    assert rankings == again and 70 < Counter(r.annotator for r in rankings)["ann"] < 130
    assert all(r.ranks == ((2, 1) if r.annotator == "ann" else (1, 2)) for r in rankings)
    assert (
        pool.ceiling(rankings) == 1.0
        and Ranking.from_json(rankings[0].to_json()).annotator == rankings[0].annotator
    )


def test_pools_by_name() -> None:
    pool = names.people.annotator("pool:town:fair*2,town:contrary", seed=0).load()
    assert [person.name for person in pool.people] == ["town:fair-0", "town:fair-1", "town:contrary"]
    assert len({person.seed for person in pool.people}) == 3
    assert Counter(
        person.name.rpartition("-")[0] for person in names.people.annotator("town:pool", seed=0).load().people
    ) == {"town:fair": 6, "town:careless": 2, "town:contrary": 2}
    for wrong in ("pool:", "pool:town:fair*many", "pool:pool:town:fair", "pool:town:nobody"):
        with pytest.raises(UserError):
            names.people.annotator(wrong, seed=0).load()


def test_who_remembers_is_asked_once_about_each_completion() -> None:
    asked: list[str] = []

    def rule(c: Completion) -> Score:
        asked.append(c.text)
        return Score(float(len(c.text)), {"cut": float(not c.finished)})

    judge = Remembering(RuleJudge("length", rule))
    a, b, cut = (
        Completion(Prompt.user("x"), "a"),
        Completion(Prompt.user("x"), "bbb"),
        Completion(Prompt.user("x"), "a", finished=False),
    )
    other = Completion(Prompt.user("y"), "a")
    assert (
        judge.name == "length"
        and [s.value for s in judge.score([a, b, a])] == [1, 3, 1]
        and asked == ["a", "bbb"]
    )
    again = judge.score([b, cut, other, a])
    assert (
        [s.value for s in again] == [3, 1, 1, 1]
        and [s.parts["cut"] for s in again] == [0, 1, 0, 0]
        and asked == ["a", "bbb", "a", "a"]
    )
    assert judge.score([]) == [] and judge.compare([b], [a]) == RuleJudge("length", rule).compare([b], [a])
