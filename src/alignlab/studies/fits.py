"""The laws of over-optimisation (Gao, Schulman and Hilton 2022) fitted to curves, and where to stop.

With d = sqrt(KL(policy || start)), the gain of gold over the start is

    best of N   R(d) = d (a - b d)            their equation 1
    RL          R(d) = d (a - b log d)        their equation 2

Both are linear in a and b, so least squares has one answer. Best of N peaks at d = a / (2 b), RL at d = exp(a
/ b - 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

Form = Literal["best_of_n", "rl"]


@dataclass(frozen=True)
class Fit:
    """One fitted law. Intervals are at 95 % by the bootstrap that made them, None without one; KL in nats.

    Attributes:
        r2: share of the gain's variance about its mean that the law explains.
        peak_kl: where the law has its maximum; None if it has none at a KL above 0 (it never bends down).
        bends: share of the resamples in which it has one.
    """

    form: Form
    a: float
    b: float
    r2: float
    n: int
    peak_kl: float | None
    a_ci: tuple[float, float] | None = None
    b_ci: tuple[float, float] | None = None
    peak_ci: tuple[float, float] | None = None
    bends: float | None = None

    def at(self, kl: float) -> float:
        """The gain that the law gives at a KL."""
        return float(_design(np.array([kl]), self.form)[0] @ np.array([self.a, self.b]))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def fit(kl: Sequence[float], gain: Sequence[float], form: Form) -> Fit:
    """Least squares of a law on points of KL and gain over the start. Points at KL 0 or below say nothing
    about it and are left out.

    Raises:
        ValueError: fewer than three points are left, or they do not tell a from b.
    """
    x, y = np.asarray(kl, dtype=float), np.asarray(gain, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"KL and gain must be two rows of equal length, not {x.shape} and {y.shape}")
    inside = x > 0
    x, y = x[inside], y[inside]
    if len(x) < 3:
        raise ValueError(f"a law of two numbers needs at least three points at KL above 0, not {len(x)}")
    design = _design(x, form)
    (a, b), _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    if rank < 2:
        raise ValueError("the points do not tell a from b: they need at least two different KLs")
    total = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float(((y - design @ np.array([a, b])) ** 2).sum()) / total if total else 0.0
    return Fit(form, float(a), float(b), r2, len(x), _peak_kl(float(a), float(b), form))


def fit_over_prompts(
    kl: Sequence[float],
    gains_PK: np.ndarray,
    form: Form = "best_of_n",
    *,
    questions_P: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
) -> Fit:
    """The fit to the mean gain over prompts, with intervals by bootstrap over questions: prompts that ask the
    same are drawn together.

    Args:
        kl: (K,) nats.
        gains_PK: gain of each prompt at each of the K points, over where all of them start.
        questions_P: the number of each prompt's question.
    """
    gains_PK = np.asarray(gains_PK, dtype=float)
    asked = rows_of(questions_P)

    def again(rng: np.random.Generator) -> Fit:
        drawn = np.concatenate([asked[i] for i in rng.integers(len(asked), size=len(asked))])
        return fit(kl, gains_PK[drawn].mean(0).tolist(), form)

    return _with_intervals(fit(kl, gains_PK.mean(0).tolist(), form), again, resamples, seed)


def _with_intervals(
    point: Fit, again: Callable[[np.random.Generator], Fit], resamples: int, seed: int
) -> Fit:
    rng = np.random.default_rng(seed)
    found: list[Fit] = []
    for _ in range(resamples):
        try:
            found.append(again(rng))
        except (ValueError, np.linalg.LinAlgError):  # a draw of too few different points
            continue
    if not found:
        return point
    peaks = [f.peak_kl for f in found if f.peak_kl is not None]
    return replace(
        point,
        a_ci=_percentiles([f.a for f in found]),
        b_ci=_percentiles([f.b for f in found]),
        peak_ci=_percentiles(peaks) if peaks else None,
        bends=len(peaks) / len(found),
    )


def _design(kl: np.ndarray, form: Form) -> np.ndarray:
    """(K, 2): R = a column 0 + b column 1."""
    d = np.sqrt(kl)
    if form == "best_of_n":
        return np.stack([d, -d * d], axis=1)
    if form == "rl":
        return np.stack([d, -d * np.log(np.maximum(d, 1e-12))], axis=1)
    raise ValueError(f"form {form!r} is not one of best_of_n, rl")


def _peak_kl(a: float, b: float, form: Form) -> float | None:
    if b <= 0 or (form == "best_of_n" and a <= 0):
        return None
    d = a / (2 * b) if form == "best_of_n" else math.exp(min(a / b - 1, 50.0))
    return d * d


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(np.asarray(values, dtype=float), [2.5, 97.5])
    return float(low), float(high)


# where to stop


def peak(values: Sequence[float]) -> int:
    """The place of the highest value; of equals the first, which is the cheapest."""
    return max(range(len(values)), key=lambda i: (values[i], -i))


def nearest(grid: Sequence[float], value: float) -> int:
    """The place on a rising grid that is nearest to a value."""
    return min(range(len(grid)), key=lambda i: abs(grid[i] - value))


def rows_of(questions_P: np.ndarray) -> list[np.ndarray]:
    """The rows of each question."""
    return [np.flatnonzero(questions_P == number) for number in np.unique(questions_P)]


def chosen_elsewhere(gold_PK: np.ndarray, questions_P: np.ndarray) -> np.ndarray:
    """(P,) the place at which each prompt is measured when the best place is not chosen on it: every second
    question is measured where the others are best. The value at a peak that is chosen and measured on the
    same prompts is too high.
    """
    half_P = np.asarray(questions_P) % 2
    places_P = np.zeros(len(gold_PK), dtype=int)
    for half in (0, 1):
        places_P[half_P == half] = peak(gold_PK[half_P != half].mean(0).tolist())
    return places_P


# best of N from a table of samples


@dataclass(frozen=True)
class Curve:
    """Best of n for n = 1, 2, 4, ..., by one reward model, from M samples a prompt.

    Attributes:
        kl: the bound log n - (n - 1) / n, nats; kl_seen: of the empirical distribution, in which equal texts
            are one completion (at most the bound).
        proxy_PK, gold_PK: unbiased estimates for each prompt (Nakano et al. 2021).
    """

    ns: list[int]
    kl: list[float]
    kl_seen: list[float]
    proxy_PK: np.ndarray
    gold_PK: np.ndarray


def best_of_n_curve(proxy_PM: Any, wanted_PM: Any, *, every: bool = False) -> Curve:
    """The curve when `proxy_PM` picks and `wanted_PM` judges: gold, or another reward model. `every`: at each
    n up to M, not at powers of 2 alone.
    """
    import torch

    from ..losses import best_of_n_estimate, best_of_n_kl

    proxy, wanted = (torch.as_tensor(x, dtype=torch.float64) for x in (proxy_PM, wanted_PM))
    most = int(proxy.shape[1])
    ns = list(range(1, most + 1)) if every else [2**k for k in range(most.bit_length())]
    picked = [[best_of_n_estimate(proxy, values, n).numpy() for n in ns] for values in (proxy, wanted)]
    seen = [float(np.mean([kl_seen(row, n) for row in proxy.numpy()])) for n in ns]
    return Curve(ns, [best_of_n_kl(n) for n in ns], seen, np.stack(picked[0], 1), np.stack(picked[1], 1))


def kl_seen(scores: Sequence[float], n: int) -> float:
    """KL(best of n || one sample) of the distribution of some samples' scores, nats.

    Samples of equal score are one level of probability p; the best of n is at that level with q = P(all n at
    or below) - P(all n below), and within a level it picks as the policy does, so that KL = sum q log(q / p).
    Where no scores tie and n is well below the number of samples this is log n - (n - 1) / n; a policy that
    often says the same thing moves less (Beirami et al. 2024).
    """
    _, counts = np.unique(np.asarray(scores, dtype=float), return_counts=True)
    p = counts / counts.sum()
    upto = np.concatenate([[0.0], np.cumsum(p)]) ** n
    q = np.diff(upto)
    inside = q > 0
    return float((q[inside] * np.log(q[inside] / p[inside])).sum())


# proposals that spend few or no gold labels


def by_second_opinion(proxy_PM: Any, other_PM: Any) -> int:
    """No gold label: the place on the curve where a reward model that does not pick, trained on other
    comparisons, likes the picks best.
    """
    return peak(best_of_n_curve(proxy_PM, other_PM).gold_PK.mean(0).tolist())


def by_law(kl: Sequence[float], gold: Sequence[float], form: Form) -> int:
    """The place nearest to the peak of the law fitted to gold along a grid whose first place is the start. A
    law that never bends says: go on; a grid on which next to nothing moved: stay.
    """
    try:
        found = fit(kl, [value - gold[0] for value in gold], form)
    except ValueError:
        return 0
    if found.peak_kl is None:
        return len(kl) - 1 if found.a > 0 else 0
    return nearest(np.sqrt(kl).tolist(), math.sqrt(found.peak_kl))


def first_picks(proxy_PM: np.ndarray, gold_PM: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a labeller of one pick of each n = 1, 2, 4, ... sees: the best of the first n samples.

    Returns:
        (P, K) gold of the picks, and (P,) how many labels they cost: a sample that is picked at several n is
        labelled once.
    """
    ns = [2**k for k in range(int(proxy_PM.shape[1]).bit_length())]
    places_PK = np.stack([proxy_PM[:, :n].argmax(1) for n in ns], 1)
    labels_P = np.array([len(set(row)) for row in places_PK.tolist()])
    return np.take_along_axis(gold_PM, places_PK, 1), labels_P


@dataclass(frozen=True)
class Proposals:
    """Where proposals would stop, over many deals of the prompts, and what that costs.

    Attributes:
        places: by proposal, the place of each deal; tops: gold's best place of each deal, on the prompts of
            other questions than the labelled.
        lost: by proposal, gold at that best place less gold at the proposed one, mean over the deals. It is
            above 0 for every proposal, since the best place is chosen on the prompts that it is measured on;
            their order is what counts.
        labels: gold labels a deal, mean.
    """

    places: dict[str, list[int]]
    tops: list[int]
    lost: dict[str, float]
    labels: float

    def to_json(self) -> dict[str, Any]:
        rows: dict[str, Any] = {}
        for name, places in self.places.items():
            away = np.abs(np.subtract(places, self.tops))
            rows[name] = {
                "place": sorted(places)[len(places) // 2],
                "within": float((away <= 1).mean()),
                "exact": float((away == 0).mean()),
                "lost": self.lost[name],
            }
        return {"top": sorted(self.tops)[len(self.tops) // 2], "labels": self.labels, "proposals": rows}


def proposals(
    kl: Sequence[float],
    picks_PK: np.ndarray,
    truth_PK: np.ndarray,
    form: Form,
    *,
    questions_P: np.ndarray,
    labels_P: np.ndarray,
    labelled: int,
    always: int,
    draws: int,
) -> Proposals:
    """Deal the prompts `draws` times: some are labelled, and those of all other questions say where gold is
    best. Proposed are the law's peak on the labelled, their highest mean (its control), and always the same
    place (the control that looks at nothing).

    Args:
        picks_PK: gold of the one pick of each place that is labelled; truth_PK: the best estimate of gold
            there.
        labelled: prompts that are labelled; of fewer than twice as many, half.
    """
    rng, asked = np.random.default_rng(0), rows_of(questions_P)
    enough = min(labelled, len(truth_PK) // 2)
    places: dict[str, list[int]] = {"the law": [], "the highest mean": [], "always the same": []}
    lost: dict[str, list[float]] = {name: [] for name in places}
    tops: list[int] = []
    labels: list[float] = []
    for _ in range(draws):
        dealt = [asked[i] for i in rng.permutation(len(asked))]
        upto = np.cumsum([len(rows) for rows in dealt])
        cut = min(int(np.searchsorted(upto, enough)) + 1, len(dealt) - 1)
        known, others = np.concatenate(dealt[:cut]), np.concatenate(dealt[cut:])
        seen, truth = picks_PK[known].mean(0).tolist(), truth_PK[others].mean(0).tolist()
        tops.append(peak(truth))
        labels.append(float(labels_P[known].sum()))
        found = {"the law": by_law(kl, seen, form), "the highest mean": peak(seen), "always the same": always}
        for name, place in found.items():
            places[name].append(place)
            lost[name].append(truth[tops[-1]] - truth[place])
    means = {name: float(np.mean(values)) for name, values in lost.items()}
    return Proposals(places, tops, means, float(np.mean(labels)))
