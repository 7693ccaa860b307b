"""How sure figures are, and what more votes would add: against closed forms and simulation."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from alignlab.evals.statistics import Z
from alignlab.votes.figures import Said
from alignlab.votes.learning import FIRST, PRIOR, Curve, fit, learning, logistic
from alignlab.votes.power import FEWEST, better_next, power, spread, votes_for

from .asking import new_id, ranking


def said(item: int, by: int, strength: int, *, why: str = "random") -> Said:
    given = {"strength": strength, "order": [0, 1], "ms": 1000}
    return Said(new_id(), 0, f"item-{item}", f"p{by}", given, why, False, ranking(item), "train", None)


def coins(generator: np.random.Generator, items: int, votes: int, alike: float) -> list[list[float]]:
    """Shares of 1/2 in all, of which two votes on an item have the correlation `alike` (beta-binomial)."""
    spare = (1 / alike - 1) / 2
    chance = generator.beta(spare, spare, items)[:, None]
    return (generator.random((items, votes)) < chance).astype(float).tolist()


# --- closed forms


def test_votes_on_items_of_their_own_are_independent() -> None:
    found = spread([[1.0], [0.0]] * 50)
    assert (found.items, found.votes, found.overlap, found.correlation) == (100, 100, 1.0, None)
    assert found.design_effect == found.fresh == 1
    same, apart = votes_for(found, 0.03)
    assert same == apart == np.ceil(Z**2 * found.variance / 0.03**2 - 100)
    assert abs(same + 100 - 1067 * 100 / 99) < 2, "z^2 / 4 / h^2, the number that everybody knows"


def test_votes_that_repeat_each_other_tell_as_much_as_one() -> None:
    found = spread([[1.0] * 4, [0.0] * 4] * 20)
    assert found.correlation == 1 and found.design_effect == pytest.approx(4) and found.overlap == 4
    assert found.fresh > 100, "one more on the same item tells nothing"
    same, apart = votes_for(found, 0.1)
    assert same + 160 == pytest.approx(4 * (apart + 40), abs=4)


def test_the_analysis_of_variance_is_that_of_the_books() -> None:
    """Of unequal groups, term by term."""
    groups = [[1.0, 0.0, 1.0], [0.0, 0.0], [1.0, 1.0, 1.0]]
    found = spread(groups)
    sizes, everything = [3, 2, 3], [x for group in groups for x in group]
    mean = sum(everything) / 8
    between = sum(n * (np.mean(group) - mean) ** 2 for n, group in zip(sizes, groups, strict=True)) / 2
    within = sum(((np.array(group) - np.mean(group)) ** 2).sum() for group in groups) / 5
    overlap = (8 - sum(n * n for n in sizes) / 8) / 2
    assert found.overlap == pytest.approx(overlap)
    assert found.correlation == pytest.approx((between - within) / (between + (overlap - 1) * within))


def test_a_new_item_against_one_more_vote_is_the_ratio_of_the_slopes() -> None:
    found = spread(coins(np.random.default_rng(1), 4000, 3, 0.4))
    r, n, items = found.correlation or 0.0, found.votes, found.items

    def variance(votes: float, of: float) -> float:
        return found.variance * (1 + (votes / of - 1) * r) / votes

    m, step = n / items, 1.0
    item = variance(n, items) - variance(n + step, items + step / m)
    vote = variance(n, items) - variance(n + step, items)
    assert found.fresh == pytest.approx(item / vote, rel=1e-3)


@pytest.mark.parametrize("few", [[], [[1.0]], [[1.0, 0.0]]])
def test_nothing_is_said_of_next_to_nothing(few: Sequence[Sequence[float]]) -> None:
    found = spread(few)
    assert found.correlation is None and np.isfinite(found.design_effect)


# --- simulation


@pytest.mark.parametrize(("votes", "alike"), [(1, 0.5), (3, 0.1), (5, 0.5)])
def test_intervals_cover_and_promised_votes_keep_the_promise(votes: int, alike: float) -> None:
    """Of 400 tasks of 60 items, 93 to 97.5 % of intervals hold the true share; and as many votes as were said
    to be missing for half the width give half the width.
    """
    generator = np.random.default_rng(7)
    covered, kept = 0, []
    for _ in range(400):
        values = coins(generator, 60, votes, alike)
        pool = [
            said(item, by, -1 if value else 1)
            for item, row in enumerate(values)
            for by, value in enumerate(row)
        ]
        share = power(pool)["share"] if len(kept) < 20 else None
        means = np.array([np.mean(row) for row in values])
        half = Z * means.std(ddof=1) / np.sqrt(60)
        if share:
            low, high = share["now"]["ci"]
            assert share["half"] == pytest.approx((high - low) / 2)
            assert share["half"] == pytest.approx(half, rel=0.1)
            covered += low <= 0.5 <= high
            more, _ = votes_for(spread(values), half / 2)
            again = coins(generator, 60 + more // votes, votes, alike)
            kept.append(Z * np.std([np.mean(row) for row in again], ddof=1) / np.sqrt(len(again)) / half)
        else:
            covered += abs(means.mean() - 0.5) <= half * 2.0010 / Z  # as Student has it, 59 degrees
    assert 0.93 <= covered / 400 <= 0.975
    assert np.mean(kept) == pytest.approx(0.5, abs=0.03)


def test_the_correlation_of_people_is_found_again() -> None:
    generator = np.random.default_rng(3)
    for alike in (0.1, 0.3, 0.7):
        found = spread(coins(generator, 2000, 4, alike))
        assert found.correlation == pytest.approx(alike, abs=0.04)


def test_one_more_vote_until_agreement_is_measured_then_one_more_item() -> None:
    once = [said(n, 0, 1) for n in range(200)]
    assert better_next([]) == "item" and better_next(once) == "vote"
    twice = once + [said(n, 1, 1 if n % 3 else -1) for n in range(FEWEST)]
    assert better_next(twice) == "item"
    found = power(twice)
    assert found["agreement"]["now"]["n"] == FEWEST
    assert found["agreement"]["now"]["mean"] == pytest.approx(2 / 3)
    half = found["agreement"]["half"]
    [row] = [row for row in found["agreement"]["needed"] if row["points"] == 5]
    assert row["same"] == pytest.approx(2 * FEWEST * ((half / 0.05) ** 2 - 1), abs=1)


def test_what_was_selected_says_nothing_of_all() -> None:
    pool = [said(n, by, 1) for n in range(10) for by in range(2)]
    chosen = [said(50 + n, by, -1, why="uncertain") for n in range(10) for by in range(2)]
    by_chance = [said(80, by, 1, why="power") for by in range(2)]
    assert power(pool + chosen) == power(pool)
    assert power(pool + by_chance)["share"]["votes"] == 22


# --- the curve


def test_a_curve_is_found_again() -> None:
    true = Curve(0.85, 0.9, 0.5)
    sizes = [10, 14, 20, 28, 40, 57, 80, 113]
    found = fit([(n, true.at(n)) for n in sizes])
    assert isinstance(found, Curve)
    assert (found.a, found.b, found.c) == pytest.approx((0.85, 0.9, 0.5), abs=1e-6)
    draw = random.Random(1)
    noisy = fit([(n, true.at(n) + draw.gauss(0, 0.01)) for n in sizes])
    assert isinstance(noisy, Curve) and noisy.at(226) == pytest.approx(true.at(226), abs=0.03)


@pytest.mark.parametrize(
    ("right", "why"),
    [
        ([0.5, 0.6, 0.7], "four points"),
        ([0.7, 0.65, 0.6, 0.55, 0.5], "does not rise"),
        ([0.5, 0.7, 0.45, 0.72, 0.5, 0.61, 0.44, 0.66], "scatter"),
    ],
)
def test_a_curve_that_cannot_be_fitted_says_why(right: Sequence[float], why: str) -> None:
    found = fit([(10 * 2**n, value) for n, value in enumerate(right)])
    assert isinstance(found, str) and why in found


def test_a_curve_ends_at_what_can_be_right_at_most() -> None:
    found = fit([(10, 0.6), (20, 0.8), (40, 0.95), (80, 0.999), (160, 0.9999)])
    assert isinstance(found, Curve) and found.a <= 1


def test_the_simple_judge_has_no_slope_left() -> None:
    """At the maximum the gradient of the penalized likelihood is zero, and it likes what was liked."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 5))
    y = (generator.random(200) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(float)
    weights = logistic(x, y, prior=PRIOR)
    p = 1 / (1 + np.exp(-x @ weights))
    assert np.abs(x.T @ (y - p) - weights).max() < 1e-6
    assert weights[0] > 1 > np.abs(weights[1:]).max()


def test_a_curve_of_votes_begins_with_forty() -> None:
    assert "40" in learning([said(n, 0, 1) for n in range(FIRST - 1)])["why"]
    draw = random.Random(2)
    pool = [said(n, 0, -2 if draw.random() < 0.9 else 2) for n in range(200)]  # the answer called "a"
    found = learning(pool)
    assert [point["n"] for point in found["points"]][0] == 10
    assert found["points"][-1]["right"] > 0.85, "a word says which is the better one"
    assert found == learning(pool), "the same each time"
    ties = learning([said(n, 0, 0) for n in range(200)])
    assert not ties["points"] and ties["why"]
