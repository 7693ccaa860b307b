"""Figures of labels: agreement, kappa, calibration and its temperature, the effect of order, and what a
change flips.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.evals import labels, statistics
from alignlab.feedback.agreement import cohen_kappa

pairs = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=2, max_size=40)


def drawn(n: int, temperature: float, seed: int = 0) -> tuple[list[float], list[float]]:
    """Labels whose log-odds are `temperature` times too large, and outcomes drawn from what they ought to
    have been.
    """
    rng = random.Random(seed)
    x = [rng.gauss(0, 1.5) for _ in range(n)]
    return [1 / (1 + math.exp(-temperature * v)) for v in x], [
        float(rng.random() < 1 / (1 + math.exp(-v))) for v in x
    ]


@given(pairs)
@settings(max_examples=50, deadline=None)
def test_figures_are_those_of_the_plain_functions(rows: list[tuple[float, float]]) -> None:
    p, y = [a for a, _ in rows], [b for _, b in rows]
    curve = statistics.reliability_curve(p, y)
    off = sum(row["n"] * abs(row["confidence"] - row["accuracy"]) for row in curve) / len(p)
    assert statistics.ece(p, y) == pytest.approx(off)
    said, true = [(v > 0.5) - (v < 0.5) for v in p], [(v > 0.5) - (v < 0.5) for v in y]
    assert labels.agreement(p, y, list(map(str, range(len(p)))))["kappa"]["mean"] == pytest.approx(
        cohen_kappa(said, true)
    )
    assert labels.nll(np.array(p), np.array(y)) == pytest.approx(
        [-math.log(max(1e-12, a if b else 1 - a)) for a, b in rows], abs=1e-3
    )


def test_agreement_by_hand() -> None:
    found = labels.agreement([0.9, 0.8, 0.3, 0.5, 0.6, 0.7], [1, 0, 0, 1, 0.9, 0.5], list("abcdef"))
    assert (found["n"], found["even"]) == (5, 1)
    assert found["accuracy"]["mean"] == pytest.approx((1 + 0 + 1 + 0.5 + 1) / 5)
    assert found["kappa"]["ci"][0] <= found["kappa"]["mean"] <= found["kappa"]["ci"][1]
    twice = labels.agreement([0.9, 0.8, 0.3, 0.5, 0.6] * 2, [1, 0, 0, 1, 0.9] * 2, list("abcde") * 2)
    for figure in ("accuracy", "kappa", "ece", "nll"):
        assert twice[figure]["n"] == 5 and twice[figure]["ci"] == pytest.approx(found[figure]["ci"])
    empty = labels.agreement([0.5], [0.5], ["a"])
    assert empty["n"] == 0 and empty["accuracy"]["mean"] is None and empty["ece"]["mean"] is None


def test_a_temperature_is_found_and_mends_calibration_on_other_prompts() -> None:
    for true in (4.0, 0.5):
        p, y = drawn(6000, true)
        assert labels.fit_temperature(p, y) == pytest.approx(true, rel=0.1)
    p, y = drawn(3000, 4.0)
    found = labels.calibration(p, y, [f"prompt {i % 1000}" for i in range(3000)])
    assert found["temperature"] == pytest.approx(4.0, rel=0.2) and found["fitted_on"] + found["n"] == 3000
    assert (
        found["ece_after"]["mean"] < 0.04 < 0.1 < found["ece_before"]["mean"]
        and found["nll_after"]["mean"] < found["nll_before"]["mean"]
    )
    assert found["ece_after"]["ci"][1] < found["ece_before"]["ci"][0]
    even = labels.calibration([0.6, 0.6, 0.55, 0.45], [1, 0, 0.5, 0.5], ["a", "b", "c", "d"])
    assert (
        even["even_before"]["n"] + even["n"] + even["fitted_on"] <= 4
        and labels.calibration([], [], [])["ece_after"]["mean"] is None
    )


def test_temperatures_stay_within_bounds() -> None:
    assert labels.fit_temperature([], []) == labels.fit_temperature([0.5, 0.5], [1, 0]) == 1.0
    assert labels.fit_temperature([0.6, 0.3], [1, 0]) == pytest.approx(labels.SPAN[0], rel=1e-6), (
        "all right: as sure as can be"
    )
    assert labels.fit_temperature([0.6, 0.3], [0, 1]) == pytest.approx(labels.SPAN[1], rel=1e-6), (
        "all wrong: sure of nothing"
    )
    assert 0 < labels.fit_temperature([0.0, 1.0, 1.0], [0, 1, 0]) < 50, (
        "probabilities of exactly 0 and 1 do no harm"
    )


def test_the_effect_of_order_by_hand() -> None:
    found = labels.order_effect([[(0.9, 0.7), (0.4, 0.6)], [(0.5, 0.5)], [(0.8, None)]], ["a", "b", "c"])
    assert found["order_effect"]["n"] == 2 and found["order_effect"]["mean"] == pytest.approx((0.2 + 0.0) / 2)
    assert found["order_bias"]["mean"] == pytest.approx(((0.2 - 0.2) / 2 + 0) / 2) and found["order_flips"][
        "mean"
    ] == pytest.approx(0.25)
    assert labels.order_effect([[(0.8, None)]], ["a"])["order_effect"] is None


def test_what_a_change_flips() -> None:
    found = labels.change([0.9, 0.4, 0.6, 0.5], [0.8, 0.6, 0.7, 0.9], ["a", "b", "c", "d"], [1, 1, 0.5, 1])
    assert found["flips"]["mean"] == 0.25 and found["moved"]["mean"] == pytest.approx(
        (0.1 + 0.2 + 0.1 + 0.4) / 4
    )
    assert (
        found["accuracy_gain"]["mean"] == pytest.approx((0 + 1 + 0.5) / 3)
        and found["accuracy_gain"]["n"] == 3
    )
    assert "accuracy_gain" not in labels.change([0.9], [0.8], ["a"])
