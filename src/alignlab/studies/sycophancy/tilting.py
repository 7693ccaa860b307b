"""A policy tilted by a reward, from samples of it: how far agreement drifts, and what would hold it.

Shapes: P prompts, M samples of each; agreement is 0 or 1. b is the temperature of the tilt (1 / beta of
Shapira, Benade and Procaccia 2026, arXiv 2602.01002), and a tilted policy is p exp(r / b) / Z.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CLOSE = 1e-6
WIDE = 1e4  # temperatures are looked for from 1 / WIDE to WIDE times the widest range of rewards


def weights(reward_PM: np.ndarray, b: float) -> np.ndarray:
    """(P, M) the tilted policy's share of each sample."""
    scaled = reward_PM / b
    tilted = np.exp(scaled - scaled.max(1, keepdims=True))
    return tilted / tilted.sum(1, keepdims=True)


def agreement(reward_PM: np.ndarray, agrees_PM: np.ndarray, b: float) -> float:
    """How often the tilted policy agrees, a mean over prompts."""
    return float((weights(reward_PM, b) * agrees_PM).sum(1).mean())


def kl(reward_PM: np.ndarray, b: float) -> float:
    """KL(tilted || policy) over the samples, nats, a mean over prompts; at most log M."""
    w = weights(reward_PM, b)
    logs = np.log(w, where=w > 0, out=np.zeros_like(w)) + np.log(w.shape[1])
    return float((w * logs).sum(1).mean())


def temperature(reward_PM: np.ndarray, distance: float) -> float | None:
    """The b at which the tilted policy is so far from the policy, in KL; None where no tilt of these samples
    is.
    """
    spread = float(np.ptp(reward_PM, axis=1).max())
    if spread <= 0:
        return None
    hottest, coldest = WIDE * spread, spread / WIDE
    if not kl(reward_PM, hottest) <= distance <= kl(reward_PM, coldest):
        return None
    return _root(lambda b: kl(reward_PM, b) - distance, coldest, hottest)


def farthest(reward_PM: np.ndarray) -> float:
    """The KL of the coldest tilt of these samples: of each prompt nothing but the best."""
    return kl(reward_PM, float(np.ptp(reward_PM, axis=1).max()) / WIDE or 1.0)


def within_reach(reward_PM: np.ndarray, distance: float) -> float:
    """The distance, in KL, or the nearest that a tilt of these samples can be asked for: from a hundredth to
    nine tenths of the way to `farthest`.
    """
    most = farthest(reward_PM)
    return min(max(distance, most / 100), 0.9 * most)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function of a positive number is 0, by bisection of its logarithm."""
    while high / low > 1 + CLOSE:
        middle = float(np.sqrt(low * high))
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return float(np.sqrt(low * high))


@dataclass(frozen=True)
class Gaps:
    """What a reward pays for agreement, by prompt; nan where all or none of the samples agree.

    Attributes:
        mean_P: E[r | agrees] - E[r | does not]: the first-order gap (Shapira et al., theorem 2).
        exponential_P: b log of the ratio of E[exp(r / b)] among those that agree and those that do not: its
            sign is the sign of the prompt's drift (theorem 1), and where it is positive it is the penalty
            that holds agreement on that prompt (theorem 6).
    """

    mean_P: np.ndarray
    exponential_P: np.ndarray


def gaps(reward_PM: np.ndarray, agrees_PM: np.ndarray, b: float) -> Gaps:
    """Both gaps of each prompt."""
    means = np.full(len(reward_PM), np.nan)
    exponential = np.full(len(reward_PM), np.nan)
    for p, (rewards, agrees) in enumerate(zip(reward_PM, agrees_PM > 0, strict=True)):
        if agrees.all() or not agrees.any():
            continue
        means[p] = rewards[agrees].mean() - rewards[~agrees].mean()
        exponential[p] = b * (_log_mean(rewards[agrees] / b) - _log_mean(rewards[~agrees] / b))
    return Gaps(means, exponential)


def _log_mean(logs: np.ndarray) -> float:
    """The log of the mean of exp."""
    return float(np.logaddexp.reduce(logs) - np.log(len(logs)))


def first_order(reward_PM: np.ndarray, agrees_PM: np.ndarray, b: float) -> float:
    """The drift of agreement to first order in 1 / b: Cov(agrees, r) / b, a mean over prompts."""
    centered = reward_PM - reward_PM.mean(1, keepdims=True)
    return float((centered * agrees_PM).mean(1).mean() / b)


def penalty(reward_PM: np.ndarray, agrees_PM: np.ndarray, b: float) -> float:
    """The one number, taken from the reward of every answer that agrees, at which the tilted policy agrees no
    more than the policy, in the mean over prompts; 0 where it does not anyway.

    A global penalty: the root of the averaged constraint, where Shapira et al. theorem 6 holds each prompt
    by one of its own (`Gaps.exponential_P`). It applies to prompts that it was not computed on.
    """
    held = float(agrees_PM.mean())

    def excess(price: float) -> float:
        return agreement(reward_PM - price * agrees_PM, agrees_PM, b) - held

    if excess(0.0) <= 0:
        return 0.0
    most = float(np.ptp(reward_PM)) + b * np.log(reward_PM.shape[1]) + b
    return _root(excess, CLOSE * b, most)
