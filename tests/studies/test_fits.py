"""The laws of over-optimisation: known numbers come back, intervals cover them, peaks are where the equations put them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.losses import best_of_n_kl
from alignlab.studies import fits

KLS = [best_of_n_kl(2**k) for k in range(7)]


@given(st.floats(0.05, 3), st.floats(0.01, 2))
@settings(max_examples=40, deadline=None)
def test_exact_points_give_a_and_b_back(a: float, b: float) -> None:
    d = np.sqrt(KLS)
    best = fits.fit(KLS, (d * (a - b * d)).tolist(), "best_of_n")
    rl = fits.fit(KLS, (d * (a - b * np.log(np.maximum(d, 1e-300)))).tolist(), "rl")
    for found in (best, rl):
        assert found.a == pytest.approx(a, rel=1e-6) and found.b == pytest.approx(b, rel=1e-6) and found.r2 == pytest.approx(1)
        assert found.n == 6  # N = 1 has KL 0 and says nothing
    assert best.peak_kl == pytest.approx((a / (2 * b)) ** 2) and rl.peak_kl == pytest.approx(math.exp(min(a / b - 1, 50)) ** 2)


def test_the_peak_is_the_maximum_of_the_law() -> None:
    for form in ("best_of_n", "rl"):
        found = fits.Fit(form, 0.3, 0.17, 1.0, 6, fits._peak_kl(0.3, 0.17, form))  # type: ignore[arg-type]
        grid = np.linspace(0.01, 10, 4000)
        assert grid[int(np.argmax([found.at(kl) for kl in grid]))] == pytest.approx(found.peak_kl, abs=0.01)
    assert fits.fit(KLS, (np.sqrt(KLS) * 0.3 + 0.05 * np.asarray(KLS)).tolist(), "best_of_n").peak_kl is None  # it never bends down


def test_intervals_over_prompts_cover_the_truth() -> None:
    a, b, d = 0.33, 0.17, np.sqrt(KLS)
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        start = rng.normal(0.5, 0.3, size=150)
        gold = start[:, None] + d * (a - b * d) + rng.normal(0, 0.3, size=(150, 1)) * d + rng.normal(0, 0.1, size=(150, 7))
        found = fits.fit_over_prompts(KLS, gold, start_P=start, resamples=200, seed=seed)
        assert found.a_ci and found.b_ci and found.a_ci[0] < found.a < found.a_ci[1]
        covered += found.a_ci[0] <= a <= found.a_ci[1]
    assert covered >= 33  # 95 % wanted; 33 of 40 or fewer has a chance below 1 in 1000


def test_over_points_the_interval_shrinks_with_more_of_them() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for n in (20, 400):
        kl = rng.uniform(0.1, 20, size=n)
        d = np.sqrt(kl)
        found = fits.fit_over_points(kl.tolist(), (d * (0.3 - 0.2 * np.log(d)) + rng.normal(0, 0.03, size=n)).tolist(), "rl", resamples=200)
        assert found.a_ci and found.b_ci and found.a_ci[0] <= 0.3 + 0.05 and found.r2 > 0.8 and found.bends == 1.0
        widths.append(found.b_ci[1] - found.b_ci[0])
    assert widths[1] < 0.5 * widths[0]


def test_what_cannot_be_fitted_says_so() -> None:
    with pytest.raises(ValueError, match="at least three points"):
        fits.fit([0.0, 1.0, 2.0], [0.0, 0.1, 0.2], "rl")
    with pytest.raises(ValueError, match="two different"):
        fits.fit([2.0, 2.0, 2.0], [0.1, 0.2, 0.1], "best_of_n")
    with pytest.raises(ValueError, match="equal length"):
        fits.fit([1.0, 2.0], [0.1, 0.2, 0.1], "best_of_n")
    with pytest.raises(ValueError, match="not one of"):
        fits.fit([1.0, 2.0, 3.0], [0.1, 0.2, 0.1], "other")  # type: ignore[arg-type]


def test_peak_nearest_and_plateau() -> None:
    assert fits.peak([0.1, 0.5, 0.5, 0.2]) == 1
    assert fits.nearest([0.0, 1.0, 3.0], 1.9) == 1 and fits.nearest([0.0, 1.0, 3.0], 9) == 2
    assert fits.plateau([0.1, 0.48, 0.5, 0.2], [0.02, 0.02, 0.0, 0.02]) == [1, 2]
