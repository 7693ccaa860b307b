"""How good preference labels are: against people or gold, how sure they are when they are right, what order
and principles do to them. Means are by prompt (`statistics.mean_by_prompt`), intervals at 95 %: wherever a
prompt's pairs are several, they are one observation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from ..feedback.agreement import kappa_of, table_of
from . import statistics
from .statistics import bootstrap, ece, logit, mean_by_prompt

SPAN = (0.01, 100.0)
"""A fitted temperature lies within: labels that are all right would have it 0, labels that are wrong more
often than right infinity.
"""


def agreement(
    stated: Sequence[float], happened: Sequence[float], prompts: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Labels against what somebody else holds to be true, pair by pair.

    Args:
        stated: P(first preferred), the labels.
        happened: 1 where the first is better, 0 where the second is; a probability counts by what it favors.
            Pairs at one half are left out.
        prompts: the prompt of each pair.

    Returns:
        `accuracy` (S; a label of exactly one half counts half), `kappa` (Cohen's, of first against second;
        S), `ece` (S) with its `reliability` table, `nll` (S, nats per pair), `n` pairs, and `even`, the pairs
        left out. Intervals of kappa and ECE are percentiles of a bootstrap over prompts.
    """
    p, y, of = _decided(stated, happened, prompts)
    sides, true = 1 + np.sign(p - 0.5).astype(int), 1 + np.sign(y - 0.5).astype(int)  # second, even, first
    return {
        "accuracy": mean_by_prompt(_right(p, y).tolist(), of, share=True),
        "kappa": bootstrap(lambda i: float(kappa_of(table_of(sides[i], true[i], 3))), of, seed=seed),
        "ece": bootstrap(lambda i: ece(p[i], y[i]), of, seed=seed),
        "nll": mean_by_prompt(nll(p, y).tolist(), of),
        "reliability": statistics.reliability_curve(p.tolist(), y.tolist()),
        "n": len(p),
        "even": len(stated) - len(p),
    }


def fit_temperature(stated: Sequence[float], happened: Sequence[float]) -> float:
    """The temperature that makes labels likeliest (Guo et al. 2017, section 4.2): T of sigmoid(logit(p) / T)
    with the least cross-entropy; 1 without pairs.

    The cross-entropy is convex in 1 / T, so the sign of its slope is followed to the zero.
    """
    p, y, _ = _decided(stated, happened, [""] * len(stated))
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
    stated: Sequence[float], happened: Sequence[float], prompts: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """A temperature fitted on the pairs of one half of the prompts, and what it does on the other half.

    Returns:
        `temperature`, `fitted_on` (pairs), and of the other half `n`, `ece_before` and `ece_after` (S),
        `nll_before` and `nll_after` (S), the table `reliability` after scaling, and `even_before` and
        `even_after`: S of |2 p - 1| on pairs that happened to be even, where a label ought to say nothing. A
        temperature that makes a modest judge sure where it is right makes it sure there as well.
    """
    order = sorted(set(prompts))
    np.random.Generator(np.random.Philox(key=[seed, 1])).shuffle(order)
    fitting = set(order[: len(order) // 2])
    inside = np.array([prompt in fitting for prompt in prompts], dtype=bool)
    others = [prompt for prompt in prompts if prompt not in fitting]
    p, y = np.asarray(stated, dtype=float), np.asarray(happened, dtype=float)
    temperature = fit_temperature(p[inside].tolist(), y[inside].tolist())
    rest, true, of = _decided(p[~inside].tolist(), y[~inside].tolist(), others)
    scaled = expit(logit(rest) / temperature)
    even = p[~inside][y[~inside] == 0.5]
    of_even = [prompt for prompt, label in zip(others, y[~inside], strict=True) if label == 0.5]
    scaled_even = expit(logit(even) / temperature)
    return {
        "temperature": temperature,
        "fitted_on": int((y[inside] != 0.5).sum()),
        "n": len(true),
        "ece_before": bootstrap(lambda i: ece(rest[i], true[i]), of, seed=seed),
        "ece_after": bootstrap(lambda i: ece(scaled[i], true[i]), of, seed=seed),
        "nll_before": mean_by_prompt(nll(rest, true).tolist(), of),
        "nll_after": mean_by_prompt(nll(scaled, true).tolist(), of),
        "even_before": mean_by_prompt(np.abs(2 * even - 1).tolist(), of_even, share=True),
        "even_after": mean_by_prompt(np.abs(2 * scaled_even - 1).tolist(), of_even, share=True),
        "reliability": statistics.reliability_curve(scaled.tolist(), true.tolist()),
    }


def order_effect(
    orders: Sequence[Sequence[tuple[float, float | None]]], prompts: Sequence[str]
) -> dict[str, Any]:
    """What it does to a verdict which answer stands first, a mean over its principles for each pair.

    Args:
        orders: for each pair and each of its principles P(first preferred) with the first as (A), and with
            the first as (B).
        prompts: the prompt of each pair.

    Returns:
        `order_effect`: S of the mean |difference| of the two; `order_bias`: S of the mean difference, above 0
        where the judge favors (A) for being (A); `order_flips`: S of the share whose verdict changes sides.
        None where one order was asked.
    """
    effect, bias, flips, of = [], [], [], []
    for pair, prompt in zip(orders, prompts, strict=True):
        both = np.array([verdict for verdict in pair if verdict[1] is not None], dtype=float)
        if not len(both):
            continue
        ab, ba = both[:, 0], both[:, 1]
        of.append(prompt)
        effect.append(float(np.mean(np.abs(ab - ba))))
        bias.append(float(np.mean(ab - ba)))
        flips.append(float(np.mean((ab - 0.5) * (ba - 0.5) < 0)))
    if not effect:
        return {"order_effect": None, "order_bias": None, "order_flips": None}
    return {
        "order_effect": mean_by_prompt(effect, of, share=True),
        "order_bias": mean_by_prompt(bias, of),
        "order_flips": mean_by_prompt(flips, of, share=True),
    }


def change(
    before: Sequence[float],
    after: Sequence[float],
    prompts: Sequence[str],
    happened: Sequence[float] | None = None,
) -> dict[str, Any]:
    """What a change of the judge did to labels of the same pairs.

    Returns:
        `flips` (S: the share that favors the other answer now), `moved` (S: mean |difference|), `n` pairs;
        and where the truth is known `accuracy_gain` (paired difference of the shares that are right, after
        less before).
    """
    a, b = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    figures: dict[str, Any] = {
        "flips": mean_by_prompt(((a - 0.5) * (b - 0.5) < 0).tolist(), prompts, share=True),
        "moved": mean_by_prompt(np.abs(b - a).tolist(), prompts, share=True),
        "n": len(a),
    }
    if happened is not None:
        y = np.asarray(happened, dtype=float)
        known = y != 0.5
        right_before, right_after = _right(a, y)[known].tolist(), _right(b, y)[known].tolist()
        of = [prompt for prompt, decided in zip(prompts, known, strict=True) if decided]
        figures["accuracy_gain"] = statistics.paired_difference(right_after, right_before, of)
    return figures


def _right(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where a label says what is so, one half where it is even."""
    return np.where(p == 0.5, 0.5, (p > 0.5) == (y > 0.5))


def nll(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cross-entropy of each pair, nats."""
    x = logit(p)
    return np.logaddexp(0, -x) * y + np.logaddexp(0, x) * (1 - y)


def _decided(
    stated: Sequence[float], happened: Sequence[float], prompts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    p, y = np.asarray(stated, dtype=float), np.asarray(happened, dtype=float)
    of = [prompt for prompt, label in zip(prompts, y, strict=True) if label != 0.5]
    return p[y != 0.5], y[y != 0.5], of
