"""Statistics against textbook figures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from alignlab.evals.statistics import (
    ece,
    equal_entropy_temperature,
    mean_ci,
    paired_difference,
    reliability_curve,
    seeds_summary,
    wilson,
    win_rate,
)


def test_wilson_as_published() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


def test_means_and_pairs_against_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 1.0, 80), rng.normal(0.7, 1.0, 80)
    found = paired_difference(a, b)
    oracle = stats.ttest_rel(a, b)
    assert found["p"] == pytest.approx(oracle.pvalue, rel=1e-9) and found["n"] == 80
    assert found["ci"] == pytest.approx(list(oracle.confidence_interval()))
    assert mean_ci(list(a))["ci"] == pytest.approx(list(stats.t.interval(0.95, 79, a.mean(), stats.sem(a))))
    assert mean_ci([1.0, 0.0, 1.0])["ci"] == pytest.approx(list(wilson(2, 3)))
    assert mean_ci([]) == {"mean": None, "ci": None, "n": 0}
    assert win_rate([1, 2, 3, 4], [0, 2, 5, 1])["mean"] == pytest.approx(0.625)


def test_calibration() -> None:
    p, y = [0.95] * 10 + [0.15] * 10, [1.0] * 9 + [0.0] + [1.0] * 3 + [0.0] * 7
    assert ece(p, y) == pytest.approx((10 * 0.05 + 10 * 0.15) / 20)
    rows = reliability_curve(p, y)
    assert (
        rows[9]["n"] == 10
        and rows[9]["accuracy"] == pytest.approx(0.9)
        and rows[1]["accuracy"] == pytest.approx(0.3)
        and rows[5]["n"] == 0
    )


def test_seeds_and_equal_entropy() -> None:
    assert seeds_summary([1.0, 2.0, 3.0]) == {"mean": 2.0, "sd": 1.0, "min": 1.0, "max": 3.0, "n": 3}
    assert equal_entropy_temperature(lambda t: t * t, 0.64, steps=20) == pytest.approx(0.8, abs=1e-4)
