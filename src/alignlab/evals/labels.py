"""How good preference labels are: against people or gold, how sure they are when they are right, what order
and principles do to them. Intervals at 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from ..feedback.agreement import kappa_of, table_of
from . import statistics
from .statistics import bootstrap, ece, logit, mean_ci

SPAN = (0.01, 100.0)
"""A fitted temperature lies within: labels that are all right would have it 0, labels that are wrong more
often than right infinity.
"""


def agreement(stated: Sequence[float], happened: Sequence[float], *, seed: int = 0) -> dict[str, Any]:
    """Labels against what somebody else holds to be true, pair by pair.

    Args:
        stated: P(first preferred), the labels.
        happened: 1 where the first is better, 0 where the second is; a probability counts by what it favors.
            Pairs at one half are left out.

    Returns:
        `accuracy` (S; a label of exactly one half counts half), `kappa` (Cohen's, of first against second;
        S), `ece` (S) with its `reliability` table, `nll` (S, nats per pair), `n`, and `even`, the pairs left
        out. Intervals of kappa and ECE are percentiles of a bootstrap over pairs.
    """
    p, y = _decided(stated, happened)
    sides, true = 1 + np.sign(p - 0.5).astype(int), 1 + np.sign(y - 0.5).astype(int)  # second, even, first
    return {
        "accuracy": mean_ci(_right(p, y).tolist()),
        "kappa": bootstrap(lambda i: float(kappa_of(table_of(sides[i], true[i], 3))), len(p), seed=seed),
        "ece": bootstrap(lambda i: ece(p[i], y[i]), len(p), seed=seed),
        "nll": mean_ci(nll(p, y).tolist()),
        "reliability": statistics.reliability_curve(p.tolist(), y.tolist()),
        "n": len(p),
        "even": len(stated) - len(p),
    }


def fit_temperature(stated: Sequence[float], happened: Sequence[float]) -> float:
    """The temperature that makes labels likeliest (Guo et al. 2017, section 4.2): T of sigmoid(logit(p) / T)
    with the least cross-entropy; 1 without pairs.

    The cross-entropy is convex in 1 / T, so the sign of its slope is followed to the zero.
    """
    p, y = _decided(stated, happened)
    x = logit(p)
    if not len(x) or not x.any():
        return 1.0
    low, high = 1 / SPAN[1], 1 / SPAN[0]
    for _ in range(60):
        middle = math.sqrt(low * high)
        slope = float(((expit(middle * x) - y) * x).mean())
        if slope < 0:
            low = middle
        else:
            high = middle
    return 1 / math.sqrt(low * high)


def calibration(
    stated: Sequence[float], happened: Sequence[float], groups: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """A temperature fitted on one half of the groups (prompts), and what it does on the other half.

    Returns:
        `temperature`, `fitted_on` (pairs), and of the other half `n`, `ece_before` and `ece_after` (S),
        `nll_before` and `nll_after` (S), the table `reliability` after scaling, and `even_before` and
        `even_after`: S of |2 p - 1| on pairs that happened to be even, where a label ought to say nothing. A
        temperature that makes a modest judge sure where it is right makes it sure there as well.
    """
    order = sorted(set(groups))
    np.random.Generator(np.random.Philox(key=[seed, 1])).shuffle(order)
    fitting = set(order[: len(order) // 2])
    inside = np.array([group in fitting for group in groups], dtype=bool)
    p, y = np.asarray(stated, dtype=float), np.asarray(happened, dtype=float)
    temperature = fit_temperature(p[inside].tolist(), y[inside].tolist())
    rest, true = _decided(p[~inside].tolist(), y[~inside].tolist())
    scaled = expit(logit(rest) / temperature)
    even = p[~inside][y[~inside] == 0.5]
    scaled_even = expit(logit(even) / temperature)
    return {
        "temperature": temperature,
        "fitted_on": int((y[inside] != 0.5).sum()),
        "n": len(true),
        "ece_before": bootstrap(lambda i: ece(rest[i], true[i]), len(true), seed=seed),
        "ece_after": bootstrap(lambda i: ece(scaled[i], true[i]), len(true), seed=seed),
        "nll_before": mean_ci(nll(rest, true).tolist()),
        "nll_after": mean_ci(nll(scaled, true).tolist()),
        "even_before": mean_ci(np.abs(2 * even - 1).tolist()),
        "even_after": mean_ci(np.abs(2 * scaled_even - 1).tolist()),
        "reliability": statistics.reliability_curve(scaled.tolist(), true.tolist()),
    }


def order_effect(orders: Sequence[Sequence[tuple[float, float | None]]]) -> dict[str, Any]:
    """What it does to a verdict which answer stands first, a mean over its principles for each pair.

    Args:
        orders: for each pair and each of its principles P(first preferred) with the first as (A), and with
            the first as (B).

    Returns:
        `order_effect`: S of the mean |difference| of the two; `order_bias`: S of the mean difference, above 0
        where the judge favors (A) for being (A); `order_flips`: S of the share whose verdict changes sides.
        None where one order was asked.
    """
    effect, bias, flips = [], [], []
    for pair in orders:
        both = np.array([verdict for verdict in pair if verdict[1] is not None], dtype=float)
        if not len(both):
            continue
        ab, ba = both[:, 0], both[:, 1]
        effect.append(float(np.mean(np.abs(ab - ba))))
        bias.append(float(np.mean(ab - ba)))
        flips.append(float(np.mean((ab - 0.5) * (ba - 0.5) < 0)))
    if not effect:
        return {"order_effect": None, "order_bias": None, "order_flips": None}
    return {"order_effect": mean_ci(effect), "order_bias": mean_ci(bias), "order_flips": mean_ci(flips)}


def change(
    before: Sequence[float], after: Sequence[float], happened: Sequence[float] | None = None
) -> dict[str, Any]:
    """What a change of the judge did to labels of the same pairs.

    Returns:
        `flips` (S: the share that favors the other answer now), `moved` (S: mean |difference|), `n`; and
        where the truth is known `accuracy_gain` (paired difference of the shares that are right, after less
        before).
    """
    a, b = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    figures: dict[str, Any] = {
        "flips": mean_ci(((a - 0.5) * (b - 0.5) < 0).astype(float).tolist()),
        "moved": mean_ci(np.abs(b - a).tolist()),
        "n": len(a),
    }
    if happened is not None:
        y = np.asarray(happened, dtype=float)
        known = y != 0.5
        right_before, right_after = _right(a, y)[known].tolist(), _right(b, y)[known].tolist()
        figures["accuracy_gain"] = statistics.paired_difference(right_after, right_before)
    return figures


def _right(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where a label says what is so, one half where it is even."""
    return np.where(p == 0.5, 0.5, (p > 0.5) == (y > 0.5))


def nll(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cross-entropy of each pair, nats."""
    x = logit(p)
    return np.logaddexp(0, -x) * y + np.logaddexp(0, x) * (1 - y)


def _decided(stated: Sequence[float], happened: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    p, y = np.asarray(stated, dtype=float), np.asarray(happened, dtype=float)
    return p[y != 0.5], y[y != 0.5]
