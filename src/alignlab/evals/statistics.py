"""Intervals, paired tests and calibration. Intervals are at 95 %."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

Z = 1.959963984540054
SAME = 6
"""So many values that are all the same, or more, have an interval: that one number."""
CLOSE = 1e-12
T = TypeVar("T")


def wilson(k: float, n: int) -> tuple[float, float]:
    """Interval of a share k / n (Wilson 1927): never outside [0, 1], sane at 0 and n."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = k / n, Z * Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def t_interval(values: Sequence[float], *, share: bool = False) -> list[float] | None:
    """Interval of a mean by Student's t; None where the values say nothing of their spread, as a single one.

    Values that are all the same have no deviation that t could use. Their range, which is that one number,
    then stands for the interval of the median, whose confidence 1 - 2^(1 - n) is above 95 % from `SAME`
    values on; fewer have none.

    Args:
        share: each value is a share, from 0 to 1: so is the mean, and the interval is cut there.
    """
    x = np.asarray(values, dtype=float)
    n = len(x)
    if n < 2:
        return None
    if _same(x):
        return [float(x.mean())] * 2 if n >= SAME else None
    from scipy.special import stdtrit  # not before somebody asks: importing it takes a fifth of a second

    mean, half = float(x.mean()), float(stdtrit(n - 1, 0.975) * x.std(ddof=1) / math.sqrt(n))
    low, high = mean - half, mean + half
    if share:
        low, high = max(0.0, low), min(1.0, high)
    return [low, high]


def _same(x: np.ndarray) -> bool:
    """Whether numbers are all the same, but for the rounding of the differences that they may be."""
    return bool(np.ptp(x) < CLOSE * max(1.0, np.abs(x).max()))


def mean_ci(values: Sequence[float], *, share: bool = False) -> dict[str, Any]:
    """S of the summary: {"mean", "ci", "n"}. The interval is Wilson's if every value is 0 or 1, else
    `t_interval`, None where there is none. No values: mean and ci are None.
    """
    n = len(values)
    if n == 0:
        return {"mean": None, "ci": None, "n": 0}
    x = np.asarray(values, dtype=float)
    if np.isin(x, (0.0, 1.0)).all():
        return {"mean": float(x.mean()), "ci": list(wilson(float(x.sum()), n)), "n": n}
    return {"mean": float(x.mean()), "ci": t_interval(values, share=share), "n": n}


def mean_over(items: Iterable[T], value: Callable[[T], float]) -> dict[str, Any]:
    """S of what `value` says of each item: of yes and no, the share of yes."""
    return mean_ci([float(value(item)) for item in items])


def prompt_means(values: Iterable[float], prompts: Iterable[str]) -> list[float]:
    """The mean of each prompt's values, prompts in the order in which they come first."""
    groups: dict[str, list[float]] = {}
    for value, prompt in zip(values, prompts, strict=True):
        groups.setdefault(prompt, []).append(float(value))
    return [sum(group) / len(group) for group in groups.values()]


def mean_by_prompt(values: Iterable[float], prompts: Iterable[str], *, share: bool = False) -> dict[str, Any]:
    """S of the mean over prompts of the mean over a prompt's values; n counts prompts.

    Pairs of one prompt share completions and a difficulty, and say little anew: an interval that counted them
    as independent would be too narrow.

    Args:
        prompts: for each value the prompt that it belongs to.
        share: as in `t_interval`.
    """
    return mean_ci(prompt_means(values, prompts), share=share)


def paired_difference(
    a: Sequence[float], b: Sequence[float], prompts: Sequence[str] | None = None
) -> dict[str, Any]:
    """S of a - b over the same prompts or records, with `t_interval` and the two-sided p of a paired t test.

    Differences that are all the same have no deviation; p is then that of the sign test, 2^(1 - n), and 1 if
    they are all 0. Of fewer than two differences p is None: one pair is no test.

    Args:
        prompts: for each pair the prompt that it belongs to: the differences are then means by prompt, as in
            `mean_by_prompt`.
    """
    d = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    if prompts is not None:
        d = np.asarray(prompt_means(d.tolist(), prompts))
    n = len(d)
    if n == 0:
        return {"mean": None, "ci": None, "n": 0, "p": None}
    mean, p = float(d.mean()), None
    if n > 1 and _same(d):
        p = 1.0 if abs(mean) < CLOSE else 2.0 ** (1 - n)
    elif n > 1:
        from scipy.special import stdtr

        p = float(2 * stdtr(n - 1, -abs(mean) / (d.std(ddof=1) / math.sqrt(n))))
    return {"mean": mean, "ci": t_interval(d.tolist()), "n": n, "p": p}


def win_rate(
    a: Sequence[float],
    b: Sequence[float],
    labels: Sequence[float] | None = None,
    *,
    prompts: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Share of pairs in which a scores above b; a tie counts half. The interval is Wilson's (t if there are
    ties).

    With soft labels, P(a is the better one), the share of labels drawn from them that the scores agree with.

    Args:
        prompts: for each pair the prompt that it belongs to, where one prompt may have several: the share is
            then a `mean_by_prompt`.
    """
    won = [ahead(x, y) for x, y in zip(a, b, strict=True)]
    if labels is not None:
        won = [p * w + (1 - p) * (1 - w) for p, w in zip(labels, won, strict=True)]
    if prompts is None:
        return mean_ci(won, share=True)
    return mean_by_prompt(won, prompts, share=True)


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
    figure: Callable[[np.ndarray], float], prompts: Sequence[Hashable], *, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """S of a figure that is no mean: `figure` of the indices of all rows, and percentiles over samples of
    prompts, drawn with replacement with all their rows. No rows: None; of a single prompt no interval.

    Args:
        prompts: for each row the prompt that it belongs to; n counts them.
    """
    groups: dict[Hashable, list[int]] = {}
    for row, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(row)
    n, rows = len(groups), [np.array(group) for group in groups.values()]
    if n == 0:
        return {"mean": None, "ci": None, "n": 0}
    mean = float(figure(np.arange(len(prompts))))
    if n == 1:
        return {"mean": mean, "ci": None, "n": 1}
    samples = resamples(n, seed=seed, draws=draws)
    drawn = [figure(np.concatenate([rows[k] for k in sample])) for sample in samples]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"mean": mean, "ci": [float(low), float(high)], "n": n}


def resamples(n: int, *, seed: int = 0, draws: int = 1000) -> np.ndarray:
    """(draws, n) samples of n things with replacement, by their number."""
    return np.random.Generator(np.random.Philox(key=[seed, 2])).integers(0, n, (draws, n))


def bootstrap_sums(
    figure: Callable[[np.ndarray], np.ndarray], parts_NS: np.ndarray, *, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """`bootstrap` of a figure of sums, all samples at once.

    Args:
        figure: of sums (..., S), the figure (...); nan where there is none.
        parts_NS: what each of N things adds to the sums; n counts those that add anything.
    """
    n, counted = len(parts_NS), int((parts_NS != 0).any(1).sum())
    return bootstrap_times(lambda times: figure(times @ parts_NS), n, counted, seed=seed, draws=draws)


def bootstrap_times(
    figure: Callable[[np.ndarray], np.ndarray], n: int, counted: int, *, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """`bootstrap` of a figure of how often each of n things is drawn, all samples at once. Samples of which
    there is no figure (nan) are left out; None where there is none of the whole.

    Args:
        figure: of times (..., n), the figure (...).
        counted: what S says as n: how many of the things say something.
    """
    mean = float(figure(np.ones(n))) if n else math.nan
    if math.isnan(mean):
        return {"mean": None, "ci": None, "n": counted}
    times = np.stack([np.bincount(sample, minlength=n) for sample in resamples(n, seed=seed, draws=draws)])
    drawn = figure(times)
    known = drawn[~np.isnan(drawn)]
    if counted < 2 or not len(known):
        return {"mean": mean, "ci": None, "n": counted}
    low, high = np.percentile(known, [2.5, 97.5])
    return {"mean": mean, "ci": [float(low), float(high)], "n": counted}


def seeds_summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean and spread over seeds: {"mean", "sd", "min", "max", "n"}. One seed has no spread: sd is None."""
    x = np.asarray(values, dtype=float)
    sd = float(x.std(ddof=1)) if len(x) > 1 else None
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
