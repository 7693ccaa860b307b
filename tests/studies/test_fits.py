"""The laws of over-optimisation: known numbers come back, intervals cover them, peaks are where the equations
put them.
"""

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
        assert (
            found.a == pytest.approx(a, rel=1e-6)
            and found.b == pytest.approx(b, rel=1e-6)
            and found.r2 == pytest.approx(1)
        )
        assert found.n == 6  # N = 1 has KL 0 and says nothing
    assert best.peak_kl == pytest.approx((a / (2 * b)) ** 2) and rl.peak_kl == pytest.approx(
        math.exp(min(a / b - 1, 50)) ** 2
    )


def test_the_peak_is_the_maximum_of_the_law() -> None:
    for form in ("best_of_n", "rl"):
        found = fits.Fit(form, 0.3, 0.17, 1.0, 6, fits._peak_kl(0.3, 0.17, form))  # type: ignore[arg-type]
        grid = np.linspace(0.01, 10, 4000)
        assert grid[int(np.argmax([found.at(kl) for kl in grid]))] == pytest.approx(found.peak_kl, abs=0.01)
    assert (
        fits.fit(KLS, (np.sqrt(KLS) * 0.3 + 0.05 * np.asarray(KLS)).tolist(), "best_of_n").peak_kl is None
    )  # it never bends down


def test_intervals_over_prompts_cover_the_truth() -> None:
    a, b, d = 0.33, 0.17, np.sqrt(KLS)
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        start = rng.normal(0.5, 0.3, size=150)
        gold = (
            start[:, None]
            + d * (a - b * d)
            + rng.normal(0, 0.3, size=(150, 1)) * d
            + rng.normal(0, 0.1, size=(150, 7))
        )
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
        found = fits.fit_over_points(
            kl.tolist(),
            (d * (0.3 - 0.2 * np.log(d)) + rng.normal(0, 0.03, size=n)).tolist(),
            "rl",
            resamples=200,
        )
        assert (
            found.a_ci
            and found.b_ci
            and found.a_ci[0] <= 0.3 + 0.05
            and found.r2 > 0.8
            and found.bends == 1.0
        )
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


def town_like(prompts: int, most: int, *, seed: int, tail: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a reward model that sees gold with noise, and that loves one sample in twenty for no good
    reason: what over-optimisation is made of.
    """
    rng = np.random.default_rng(seed)
    gold = rng.uniform(size=(prompts, most)) < 0.6
    odd = rng.uniform(size=(prompts, most)) < 0.05
    proxy = gold + rng.normal(0, 0.5, size=gold.shape) + odd * (2.0 + tail)
    return proxy, np.where(odd, 0.0, gold.astype(float))


def test_the_curve_of_best_of_n_agrees_with_drawing() -> None:
    proxy, gold = town_like(60, 32, seed=0)
    c = fits.best_of_n_curve(proxy, gold)
    assert c.ns == [1, 2, 4, 8, 16, 32] and c.gold_PK.shape == (60, 6)
    rng = np.random.default_rng(1)
    for k, n in ((1, 2), (3, 8)):
        drawn = []
        for _ in range(400):
            places = np.stack([rng.permutation(32)[:n] for _ in range(60)])
            best = np.take_along_axis(places, np.take_along_axis(proxy, places, 1).argmax(1)[:, None], 1)
            drawn.append(np.take_along_axis(gold, best, 1).mean())
        assert c.gold_PK[:, k].mean() == pytest.approx(float(np.mean(drawn)), abs=0.01)
    every = fits.best_of_n_curve(proxy, gold, every=True)
    assert every.ns == list(range(1, 33)) and np.allclose(every.gold_PK[:, [0, 1, 3, 7, 15, 31]], c.gold_PK)


@given(st.lists(st.integers(0, 5), min_size=4, max_size=40), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_the_kl_that_is_seen_is_at_most_the_bound_and_equal_scores_move_nothing(
    scores: list[int], n: int
) -> None:
    assert -1e-12 <= fits.kl_seen(scores, n) <= best_of_n_kl(n) + 1e-9
    assert fits.kl_seen([1.0] * len(scores), n) == pytest.approx(0)
    many = list(range(20_000))
    assert fits.kl_seen(many, n) == pytest.approx(best_of_n_kl(n), abs=1e-3)


def test_the_labelled_sample_finds_the_peak_and_the_second_opinion_needs_no_label() -> None:
    proxy, gold = town_like(300, 64, seed=2)
    top = fits.peak(fits.best_of_n_curve(proxy, gold).gold_PK.mean(0).tolist())
    assert 0 < top < 6  # gold rises, bends and falls
    found = [fits.by_labelled_sample(proxy, gold, 150, seed=seed) for seed in range(40)]
    assert np.mean([abs(place - top) <= 1 for place, _ in found]) >= 0.9
    assert all(labels <= 150 * 7 for _, labels in found)
    rng = np.random.default_rng(3)
    other = gold + rng.normal(0, 0.5, size=gold.shape)  # errors of its own: it sees through the odd ones
    assert abs(fits.by_second_opinion(proxy, other) - top) <= 1
    assert fits.by_second_opinion(proxy, proxy) == 6  # its own opinion never bends: the control


def test_a_proxy_that_is_gold_is_never_stopped_early() -> None:
    gold = np.random.default_rng(0).normal(size=(200, 16))
    assert fits.peak(fits.best_of_n_curve(gold, gold).gold_PK.mean(0).tolist()) == 4
    assert fits.by_labelled_sample(gold, gold, 100)[0] >= 3
