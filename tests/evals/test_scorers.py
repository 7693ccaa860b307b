"""A scorer's card against figures worked out by hand, and the corrected rate against simulation: does the
interval cover as often as it says?
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.evals.scorers import (
    agreement,
    corrected_for_a_new_model,
    corrected_rate,
    of_a_new_group,
    scorer_card,
)
from alignlab.feedback.agreement import cohen_kappa


def test_card_by_hand():
    said = [True] * 40 + [True] * 10 + [False] * 5 + [False] * 45
    truth = [True] * 40 + [False] * 10 + [True] * 5 + [False] * 45
    card = scorer_card(said, truth)
    assert card["counts"] == {"tp": 40, "fp": 10, "fn": 5, "tn": 45}
    assert card["accuracy"]["mean"] == 0.85 and card["precision"]["mean"] == 0.8
    assert card["recall"]["mean"] == pytest.approx(40 / 45) and card["specificity"]["mean"] == pytest.approx(
        45 / 55
    )
    assert card["f1"]["mean"] == pytest.approx(80 / 95)
    assert card["kappa"]["mean"] == pytest.approx(cohen_kappa(said, truth))
    for figure in ("accuracy", "precision", "recall", "specificity", "f1", "kappa"):
        low, high = card[figure]["ci"]
        assert low < card[figure]["mean"] < high


def test_unscored_rows_stay_in_the_count():
    card = scorer_card([True, None, False, None], [True, True, False, False])
    assert card["n"] == 4 and card["unscored"] == 2
    assert card["accuracy"]["mean"] == 0.5 and card["accuracy"]["n"] == 4, (
        "a row without a score is not right"
    )
    assert card["recall"]["n"] == 1


def test_card_of_nothing_and_of_one_kind():
    empty = scorer_card([], [])
    assert empty["accuracy"] == {"mean": None, "ci": None, "n": 0} and empty["kappa"]["mean"] is None
    alone = scorer_card([True, True], [True, True])
    assert alone["specificity"]["mean"] is None and alone["kappa"]["mean"] == 1
    with pytest.raises(ValueError, match="2 verdicts and 1 labels"):
        scorer_card([True, False], [True])


def test_agreement_of_three_labels():
    found = agreement(["a", "a", "b", "c"], ["a", "b", "b", "c"])
    assert found["accuracy"]["mean"] == 0.75 and found["called"]["b"] == {"a": 1, "b": 1, "c": 0}
    assert found["recall"]["b"]["mean"] == 0.5 and found["precision"]["a"]["mean"] == 0.5


def test_a_perfect_scorer_changes_little_and_a_known_one_is_inverted():
    perfect = corrected_rate(30, 100, sensitivity=(10**6, 10**6), specificity=(10**6, 10**6))
    assert perfect["mean"] == pytest.approx(0.3) and perfect["raw"]["mean"] == 0.3
    q = 0.2 * 0.9 + 0.8 * 0.15  # p = 0.2, se = 0.9, sp = 0.85
    known = corrected_rate(
        round(q * 10**6), 10**6, sensitivity=(9 * 10**5, 10**6), specificity=(85 * 10**4, 10**6)
    )
    assert known["mean"] == pytest.approx(0.2, abs=1e-4)


def test_false_alarms_alone_correct_to_nothing():
    found = corrected_rate(10, 100, sensitivity=(95, 100), specificity=(90, 100))
    assert found["mean"] == 0 and found["ci"][0] == 0 < found["ci"][1] < 0.15


@pytest.mark.parametrize(
    "bad", [{"sensitivity": (5, 10), "specificity": (5, 10)}, {"sensitivity": (0, 0), "specificity": (5, 5)}]
)
def test_a_scorer_no_better_than_chance_says_nothing(bad):
    assert corrected_rate(5, 10, **bad) == {
        "mean": None,
        "ci": [0.0, 1.0],
        "n": 10,
        "raw": corrected_rate(5, 10, **bad)["raw"],
        "informative": False,
    }


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="cannot be"):
        corrected_rate(11, 10, sensitivity=(5, 5), specificity=(5, 5))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.data())
def test_interval_is_one_and_holds_its_estimate(n, data):
    hits = data.draw(st.integers(0, n))
    positives, negatives = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 200))
    found = corrected_rate(
        hits,
        n,
        sensitivity=(data.draw(st.integers(0, positives)), positives),
        specificity=(data.draw(st.integers(0, negatives)), negatives),
    )
    low, high = found["ci"]
    assert 0 <= low <= high <= 1
    if found["informative"]:
        assert low <= found["mean"] <= high and math.isfinite(found["mean"])


@pytest.mark.parametrize(
    ("p", "se", "sp", "n", "m"),
    [
        (0.3, 0.9, 0.95, 200, 100),
        (0.05, 0.95, 0.9, 300, 60),
        (0.8, 0.7, 0.85, 100, 80),
        (0.5, 0.98, 0.98, 400, 250),
    ],
)
def test_the_interval_covers_as_often_as_it_says(p, se, sp, n, m):
    """2,000 campaigns, each with a scorer whose errors are only known from a labelled sample of its own."""
    rng = np.random.default_rng(1)
    covered = naive = 0
    for _ in range(2000):
        hits = int(rng.binomial(n, p * se + (1 - p) * (1 - sp)))
        found = corrected_rate(
            hits, n, sensitivity=(int(rng.binomial(m, se)), m), specificity=(int(rng.binomial(m, sp)), m)
        )
        covered += found["ci"][0] <= p <= found["ci"][1]
        naive += found["raw"]["ci"][0] <= p <= found["raw"]["ci"][1]
    assert 0.935 <= covered / 2000 <= 0.995, covered / 2000
    if (p, se) in ((0.05, 0.95), (0.8, 0.7)):
        assert naive / 2000 < 0.8, "the raw rate's interval is too sure of itself"


def test_models_that_differ_are_worth_fewer_rows():
    assert of_a_new_group([(90, 100), (90, 100), (90, 100)]) == (270, 300), "no difference: all rows"
    right, rows = of_a_new_group([(98, 100), (92, 100), (80, 100)])
    assert right / rows == pytest.approx(0.9) and 7 < rows < 9
    assert of_a_new_group([(9, 10)]) == of_a_new_group([(9, 10), (0, 0)]) == (9, 10)
    assert of_a_new_group([(10, 10), (20, 20)]) == (30, 30) and of_a_new_group([]) == (0, 0)


def test_the_interval_of_a_new_model_knows_that_models_differ():
    """1,000 scorers, each measured on three models and used on a fourth, of errors of its own."""
    rng, p, n, m = np.random.default_rng(0), 0.3, 500, 200
    covered = {"rows": 0, "models": 0}
    for _ in range(1000):
        se, sp = rng.beta(18, 2, 4), rng.beta(18, 2, 4)
        hits = int(rng.binomial(n, p * se[3] + (1 - p) * (1 - sp[3])))
        found = [[(int(rng.binomial(m, x)), m) for x in of[:3]] for of in (se, sp)]
        for name, known in (
            ("rows", [(sum(k for k, _ in of), 3 * m) for of in found]),
            ("models", [of_a_new_group(of) for of in found]),
        ):
            low, high = corrected_rate(hits, n, sensitivity=known[0], specificity=known[1])["ci"]
            covered[name] += low <= p <= high
    assert covered["rows"] < 650 and covered["models"] > 850, covered


def test_a_rate_is_corrected_by_the_scores_on_models_left_out():
    card = {
        "new_prompts": {"correction": {"sensitivity": [99, 100], "specificity": [99, 100]}},
        "new_model": {"correction": {"sensitivity": [90, 100], "specificity": [95, 100]}},
    }
    assert corrected_for_a_new_model(40, 100, card) == corrected_rate(
        40, 100, sensitivity=(90, 100), specificity=(95, 100)
    )
