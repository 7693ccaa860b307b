"""Statistics against textbook figures."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from alignlab.evals.statistics import (
    SAME,
    bootstrap,
    ece,
    equal_entropy_temperature,
    mean_by_prompt,
    mean_ci,
    paired_difference,
    reliability_curve,
    seeds_summary,
    t_interval,
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


def test_too_few_values_have_no_interval_and_one_pair_has_no_p() -> None:
    """What says nothing of its spread has none: neither an interval of no width, nor p = 0."""
    assert mean_ci([0.4]) == {"mean": 0.4, "ci": None, "n": 1}
    assert mean_ci([1.0])["ci"] == list(wilson(1, 1))
    assert paired_difference([0.9], [0.2]) == {"mean": pytest.approx(0.7), "ci": None, "n": 1, "p": None}
    assert paired_difference([], []) == {"mean": None, "ci": None, "n": 0, "p": None}
    assert bootstrap(lambda rows: float(rows.mean()), ["a", "a"]) == {"mean": 0.5, "ci": None, "n": 1}
    assert seeds_summary([0.3]) == {"mean": 0.3, "sd": None, "min": 0.3, "max": 0.3, "n": 1}
    found = [mean_ci([0.4]), paired_difference([0.9], [0.2]), seeds_summary([0.3]), mean_ci([])]
    json.dumps(found, allow_nan=False)
    assert t_interval([0.5, 0.7])[0] < 0 and t_interval([0.5, 0.7])[1] > 1  # type: ignore[index]
    assert t_interval([0.5, 0.7], share=True) == [0.0, 1.0]


def test_equal_differences_are_told_by_the_sign_test() -> None:
    """They have no deviation for t, rounding apart; the sign test is exact, and six have an interval."""
    for n in (2, 5, SAME, 30):
        base = [0.1 * i for i in range(n)]
        found = paired_difference([x + 0.3 for x in base], base)
        assert found["mean"] == pytest.approx(0.3)
        assert found["p"] == pytest.approx(stats.binomtest(n, n).pvalue)
        assert (found["ci"] is None) == (n < SAME)
        same = paired_difference(base, base)
        assert same["p"] == 1.0 and same["mean"] == 0
    assert found["ci"] == pytest.approx([0.3, 0.3])
    assert 1 - 2.0 ** (1 - SAME) > 0.95 > 1 - 2.0 ** (2 - SAME)


def test_every_pair_twice_says_nothing_more() -> None:
    rng = np.random.default_rng(1)
    prompts = [f"prompt {i // 3}" for i in range(90)]
    a, b = rng.normal(0.3, 1.0, 90).tolist(), rng.normal(0.0, 1.0, 90).tolist()

    def correlation(x: list[float], y: list[float], of: list[str]) -> dict[str, Any]:
        return bootstrap(lambda rows: float(np.corrcoef(np.array(x)[rows], np.array(y)[rows])[0, 1]), of)

    for figure in (
        lambda x, y, of: win_rate(x, y, prompts=of),
        lambda x, y, of: win_rate(x, y, [0.7] * len(x), prompts=of),
        lambda x, y, of: paired_difference(x, y, of),
        lambda x, _, of: mean_by_prompt(x, of),
        correlation,
    ):
        once, twice = figure(a, b, prompts), figure(a + a, b + b, prompts + prompts)
        assert once["n"] == twice["n"] == 30
        assert twice["mean"] == pytest.approx(once["mean"]) and twice["ci"] == pytest.approx(once["ci"])
    assert mean_by_prompt([1, 0, 1], ["a", "a", "b"])["mean"] == 0.75


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
