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
        found = fits.fit_over_prompts(
            KLS, gold - start[:, None], questions_P=np.arange(150), resamples=200, seed=seed
        )
        assert found.a_ci and found.b_ci and found.a_ci[0] < found.a < found.a_ci[1]
        covered += found.a_ci[0] <= a <= found.a_ci[1]
    assert covered >= 33  # 95 % wanted; 33 of 40 or fewer has a chance below 1 in 1000


def test_prompts_that_ask_the_same_count_once() -> None:
    """Four wordings of each question with one and the same gain tell no more than one."""
    rng, d = np.random.default_rng(0), np.sqrt(KLS)
    gains = d * (0.3 - 0.15 * d) + rng.normal(0, 0.3, size=(60, 1)) * d
    once = fits.fit_over_prompts(KLS, gains, questions_P=np.arange(60), resamples=400)
    often, questions = np.repeat(gains, 4, 0), np.repeat(np.arange(60), 4)
    four = fits.fit_over_prompts(KLS, often, questions_P=questions, resamples=400)
    alone = fits.fit_over_prompts(KLS, often, questions_P=np.arange(240), resamples=400)
    width = {
        name: found.a_ci[1] - found.a_ci[0]
        for name, found in (("once", once), ("four", four), ("alone", alone))
        if found.a_ci
    }
    assert four.a == pytest.approx(once.a) and width["four"] == pytest.approx(width["once"], rel=0.15)
    assert width["alone"] < 0.65 * width["four"]


def test_what_cannot_be_fitted_says_so() -> None:
    with pytest.raises(ValueError, match="at least three points"):
        fits.fit([0.0, 1.0, 2.0], [0.0, 0.1, 0.2], "rl")
    with pytest.raises(ValueError, match="two different"):
        fits.fit([2.0, 2.0, 2.0], [0.1, 0.2, 0.1], "best_of_n")
    with pytest.raises(ValueError, match="equal length"):
        fits.fit([1.0, 2.0], [0.1, 0.2, 0.1], "best_of_n")
    with pytest.raises(ValueError, match="not one of"):
        fits.fit([1.0, 2.0, 3.0], [0.1, 0.2, 0.1], "other")  # type: ignore[arg-type]


def test_peak_and_nearest() -> None:
    assert fits.peak([0.1, 0.5, 0.5, 0.2]) == 1
    assert fits.nearest([0.0, 1.0, 3.0], 1.9) == 1 and fits.nearest([0.0, 1.0, 3.0], 9) == 2


def test_a_peak_that_is_chosen_elsewhere_is_not_too_high() -> None:
    """Of eight equal places the best looks better than they are; not on prompts that did not choose it."""
    inside: list[float] = []
    crossed: list[float] = []
    for seed in range(40):
        gold = np.random.default_rng(seed).normal(size=(100, 8))
        places = fits.chosen_elsewhere(gold, np.repeat(np.arange(50), 2))
        inside.append(gold.mean(0).max())
        crossed.append(float(np.take_along_axis(gold, places[:, None], 1).mean()))
    assert np.mean(inside) > 0.1 and abs(np.mean(crossed)) < 0.04


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


def stops(proxy: np.ndarray, gold: np.ndarray, labelled: int, *, always: int = 2) -> dict:
    """Where to stop best of N; every prompt asks something else."""
    c = fits.best_of_n_curve(proxy, gold)
    picks, labels = fits.first_picks(proxy, gold)
    return fits.proposals(
        c.kl,
        picks,
        c.gold_PK,
        "best_of_n",
        questions_P=np.arange(len(gold)),
        labels_P=labels,
        labelled=labelled,
        always=always,
        draws=40,
    ).to_json()


def test_the_labelled_sample_finds_the_peak_and_the_second_opinion_needs_no_label() -> None:
    proxy, gold = town_like(300, 64, seed=2)
    top = fits.peak(fits.best_of_n_curve(proxy, gold).gold_PK.mean(0).tolist())
    assert 0 < top < 6  # gold rises, bends and falls
    found = stops(proxy, gold, 150, always=6)
    assert found["proposals"]["the law"]["within"] >= 0.9 and found["labels"] <= 150 * 7
    assert found["proposals"]["always the same"]["within"] == 0  # the largest N is no stop
    assert found["proposals"]["always the same"]["lost"] > found["proposals"]["the law"]["lost"] >= 0
    rng = np.random.default_rng(3)
    other = gold + rng.normal(0, 0.5, size=gold.shape)  # errors of its own: it sees through the odd ones
    assert abs(fits.by_second_opinion(proxy, other) - top) <= 1
    assert fits.by_second_opinion(proxy, proxy) == 6  # its own opinion never bends: the control


def test_what_is_labelled_says_nothing_of_where_the_peak_is() -> None:
    """Two questions in twenty wordings, each best at a place of its own: whoever labels one of them is wrong
    about the other each time, and would be right each time about its own.
    """
    gold = np.zeros((40, 4))
    gold[:20, 1] = gold[20:, 3] = 1.0
    found = fits.proposals(
        [0.0, 0.2, 0.6, 1.2],
        gold,
        gold,
        "rl",
        questions_P=np.repeat([0, 1], 20),
        labels_P=np.full(40, 4),
        labelled=20,
        always=3,
        draws=50,
    ).to_json()["proposals"]
    assert found["the highest mean"]["exact"] == 0 and found["the highest mean"]["lost"] == 1
    assert 0.2 < found["always the same"]["exact"] < 0.8  # right when the first question is labelled


def test_a_law_that_never_bends_goes_on_and_one_without_movement_stays() -> None:
    gold = np.random.default_rng(0).normal(size=(200, 16))
    assert fits.peak(fits.best_of_n_curve(gold, gold).gold_PK.mean(0).tolist()) == 4
    assert stops(gold, gold, 100)["proposals"]["the law"]["place"] >= 3
    assert fits.by_law(KLS[:5], [0.1, 0.2, 0.3, 0.4, 0.5], "best_of_n") == 4
    assert fits.by_law(KLS[:5], [0.1, 0.0, -0.2, -0.4, -0.6], "best_of_n") == 0
    assert fits.by_law([0.0, 0.0, 0.0], [0.1, 0.2, 0.3], "rl") == 0


def test_a_sample_that_is_picked_at_several_n_is_labelled_once() -> None:
    proxy, gold = np.array([[4.0, 1, 2, 3], [1, 2, 3, 4]]), np.array([[0.9, 0, 0, 0], [0.1, 0.2, 0.3, 0.4]])
    picks, labels = fits.first_picks(proxy, gold)
    assert picks.tolist() == [[0.9, 0.9, 0.9], [0.1, 0.2, 0.4]] and labels.tolist() == [1, 3]
