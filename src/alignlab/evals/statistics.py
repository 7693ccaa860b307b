"""Intervals, paired tests and calibration. Intervals are at 95 %."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from scipy.special import stdtr, stdtrit  # scipy.stats takes seconds to import

Z = 1.959963984540054
T = TypeVar("T")


def wilson(k: float, n: int) -> tuple[float, float]:
    """Interval of a share k / n (Wilson 1927): never outside [0, 1], sane at 0 and n."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = k / n, Z * Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_ci(values: Sequence[float]) -> dict[str, Any]:
    """S of the summary: {"mean", "ci", "n"}. Wilson if every value is 0 or 1, else t. No values: mean and ci
    are None.
    """
    n = len(values)
    if n == 0:
        return {"mean": None, "ci": None, "n": 0}
    x = np.asarray(values, dtype=float)
    mean = float(x.mean())
    if np.isin(x, (0.0, 1.0)).all():
        return {"mean": mean, "ci": list(wilson(float(x.sum()), n)), "n": n}
    if n == 1:
        return {"mean": mean, "ci": [mean, mean], "n": 1}
    half = float(stdtrit(n - 1, 0.975) * x.std(ddof=1) / math.sqrt(n))
    return {"mean": mean, "ci": [mean - half, mean + half], "n": n}


def mean_over(items: Iterable[T], value: Callable[[T], float]) -> dict[str, Any]:
    """S of what `value` says of each item: of yes and no, the share of yes."""
    return mean_ci([float(value(item)) for item in items])


def paired_difference(a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    """Mean of a - b over the same prompts, with a t interval and the two-sided p of a paired t test."""
    d = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    n = len(d)
    if n == 0:
        return {"mean": 0.0, "ci": [0.0, 0.0], "n": 0, "p": 1.0}
    mean = float(d.mean())
    if n == 1 or d.std() == 0:
        return {"mean": mean, "ci": [mean, mean], "n": n, "p": float(mean == 0)}
    half = float(stdtrit(n - 1, 0.975) * d.std(ddof=1) / math.sqrt(n))
    p = float(2 * stdtr(n - 1, -abs(mean) / (d.std(ddof=1) / math.sqrt(n))))
    return {"mean": mean, "ci": [mean - half, mean + half], "n": n, "p": p}


def win_rate(a: Sequence[float], b: Sequence[float], labels: Sequence[float] | None = None) -> dict[str, Any]:
    """Share of prompts on which a scores above b; a tie counts half. The interval is Wilson's (t if there are
    ties).

    With soft labels, P(a is the better one), the share of labels drawn from them that the scores agree with.
    """
    won = [ahead(x, y) for x, y in zip(a, b, strict=True)]
    if labels is None:
        return mean_ci(won)
    return mean_ci([p * w + (1 - p) * (1 - w) for p, w in zip(labels, won, strict=True)])


def ahead(a: float, b: float) -> float:
    """1 where a is above b, one half at a tie, else 0."""
    return 0.5 if a == b else float(a > b)


def reliability_curve(probabilities: Any, outcomes: Any, *, bins: int = 10) -> list[dict[str, float]]:
    """For each of `bins` equal intervals of [0, 1]: mean probability stated, share that happened, n."""
    p, y = np.asarray(probabilities, dtype=float), np.asarray(outcomes, dtype=float)
    place = np.minimum((p * bins).astype(int), bins - 1)
    rows = []
    for i in range(bins):
        inside = place == i
        stated, happened = p[inside], y[inside]
        row = {"low": i / bins, "high": (i + 1) / bins, "confidence": 0.0, "accuracy": 0.0, "n": len(stated)}
        if len(stated):
            row |= {"confidence": float(stated.mean()), "accuracy": float(happened.mean())}
        rows.append(row)
    return rows


def ece(probabilities: Any, outcomes: Any, *, bins: int = 10) -> float:
    """Expected calibration error: mean over predictions of |stated - happened| of their bin (Guo et al. 2017,
    equation 3).
    """
    p, y = np.asarray(probabilities, dtype=float), np.asarray(outcomes, dtype=float)
    place = np.minimum((p * bins).astype(int), bins - 1)
    stated, happened = np.bincount(place, p, bins), np.bincount(place, y, bins)  # count times the bin's mean
    return float(np.abs(stated - happened).sum() / max(1, len(p)))


def logit(p: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, those of 0 and 1 kept finite."""
    held = np.clip(p, 1e-12, 1 - 1e-12)
    return np.log(held) - np.log1p(-held)


def bootstrap(
    figure: Callable[[np.ndarray], float], n: int, *, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """S of a figure of n rows: `figure` of all their indices, and percentiles over samples of them drawn with
    replacement. No rows: None.
    """
    if n == 0:
        return {"mean": None, "ci": None, "n": 0}
    samples = np.random.Generator(np.random.Philox(key=[seed, 2])).integers(0, n, (draws, n))
    low, high = np.percentile([figure(row) for row in samples], [2.5, 97.5])
    return {"mean": float(figure(np.arange(n))), "ci": [float(low), float(high)], "n": n}


def seeds_summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean and spread over seeds: {"mean", "sd", "min", "max", "n"}."""
    x = np.asarray(values, dtype=float)
    sd = float(x.std(ddof=1)) if len(x) > 1 else 0.0
    return {"mean": float(x.mean()), "sd": sd, "min": float(x.min()), "max": float(x.max()), "n": len(x)}


def equal_entropy_temperature(
    entropy_at: Callable[[float], float],
    target: float,
    *,
    low: float = 0.2,
    high: float = 1.5,
    steps: int = 8,
) -> float:
    """The sampling temperature at which a model's mean token entropy equals `target`, by bisection: the
    control for mere sharpening.
    """
    for _ in range(steps):
        middle = (low + high) / 2
        if entropy_at(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
