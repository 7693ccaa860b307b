"""Rules about scores while a policy learns from them, and about the value model."""

from __future__ import annotations

import math
from statistics import fmean as mean
from statistics import median

from .history import KL, SCORES, SPREAD, History, Hit, at, change, error
from .optimizing import _no_learning_rate


def value_collapse(h: History) -> Hit | None:
    ev = h.series("critic/vf_explained_var")
    if len(ev) < 3:
        return None
    spread = h.series(*SPREAD)
    if spread and median(spread.values) < 1e-6:
        return None  # returns of a constant reward: nothing to explain, and another rule says so
    last, before = (
        ev.tail(0.3, 3),
        ev.values[: -max(3, round(0.3 * len(ev)))][-max(3, round(0.3 * len(ev))) :],
    )
    steps = (ev.steps[-len(last)], ev.steps[-1])
    rising = bool(before) and median(last) > median(before) + 0.1
    if len(ev) >= 10 and h.share >= 0.5 and median(last) < 0.05 and not rising:
        return Hit("broken", f"{ev.name} is {median(last):.2f} {at(steps)}", steps)
    if ev.values[0] < 0 and h.share >= 0.5:
        return Hit(
            "normal",
            f"{ev.name} began at {ev.values[0]:.2f} and is {median(last):.2f} {at(steps)}",
            (ev.steps[0], ev.steps[-1]),
        )
    return None


def dead_groups(h: History) -> Hit | None:
    dead = h.series("frac_reward_zero_std")
    if len(dead) < 4:
        return None
    last = dead.tail(0.5, 4)
    steps = (dead.steps[-len(last)], dead.steps[-1])
    if mean(last) > 0.7:
        return Hit(
            "broken", f"{mean(last):.0%} of the groups have the same score throughout {at(steps)}", steps
        )
    if mean(last) > 0.2 and h.share >= 0.5:
        return Hit(
            "normal", f"{mean(last):.0%} of the groups have the same score throughout {at(steps)}", steps
        )
    return None


def reward_constant(h: History) -> Hit | None:
    spread = h.series(*SPREAD)
    none = sum(value < 1e-6 for value in spread.values)
    if len(spread) >= 3 and none > len(spread) / 2:
        return Hit("broken", f"{spread.name} is 0 in {none} of {len(spread)} rows", spread.span)
    return None


def reward_flat(h: History) -> Hit | None:
    scores, spread = h.series(*SCORES), h.series(*SPREAD)
    if len(scores) < 16 or h.share < 0.9 or not spread or median(spread.values) < 1e-6:
        return None
    first, last, moved, noise = change(scores, 0.3)
    said = f"{scores.name} went from {first:.3f} to {last:.3f}, within its noise of {noise:.3f}"
    kl = h.series(*KL)
    if kl and abs(mean(kl.tail(0.25, 3))) < 0.02 and abs(moved) < 3.5 * noise and not _no_learning_rate(h):
        return Hit(
            "broken",
            f"{said}; KL from the reference is {mean(kl.tail(0.25, 3)):.2g} nats: the policy did not move",
            scores.span,
        )
    return Hit("normal", said, scores.span) if abs(moved) < 2 * noise else None


def reward_falls(h: History) -> Hit | None:
    scores, spread = h.series(*SCORES), h.series(*SPREAD)
    if len(scores) < 8 or not spread:
        return None
    first, last, moved, noise = change(scores)
    if moved < -3.5 * noise and moved < -0.4 * mean(spread.head(0.25, 3)):
        return Hit("broken", f"{scores.name} fell from {first:.2f} to {last:.2f}", scores.span)
    return None


def reward_saturated(h: History) -> Hit | None:
    scores, spread, clip = h.series(*SCORES), h.series(*SPREAD), h.number("score_clip")
    if len(scores) < 4 or not spread or not clip or median(spread.values) < 1e-6:
        return None
    few = max(2, len(scores) // 5)
    size = math.sqrt(
        mean([m * m + s * s for m, s in zip(scores.values[-few:], spread.values[-few:], strict=False)])
    )
    if size > 0.85 * clip:
        return Hit(
            "broken",
            f"scores are {size:.2f} in the root mean square, and clipped at {clip:g}",
            (scores.steps[-few], scores.steps[-1]),
        )
    return None


def over_optimisation(h: History) -> Hit | None:
    gold, proxy = h.series("objective/gold"), h.series(*SCORES)
    if len(gold) < 10 or not proxy:
        return None
    width = max(3, len(gold) // 5)
    means = [mean(gold.values[i : i + width]) for i in range(len(gold) - width + 1)]
    best = max(range(len(means)), key=lambda i: means[i])
    peak, last = gold.values[best : best + width], gold.values[-width:]
    noise = math.hypot(error(peak), error(last))
    fall = mean(peak) - mean(last)
    now = mean([v for s, v in zip(proxy.steps, proxy.values, strict=True) if s >= gold.steps[-width]])
    then = mean(
        [
            v
            for s, v in zip(proxy.steps, proxy.values, strict=True)
            if gold.steps[best] <= s <= gold.steps[best + width - 1]
        ]
    )
    if fall > max(3 * noise, 0.12) and now > then:
        return Hit(
            "broken",
            (
                f"gold fell from {mean(peak):.2f} (around step {gold.steps[best + width // 2]}) to "
                f"{mean(last):.2f} while the proxy went from {then:.2f} to {now:.2f}"
            ),
            (gold.steps[best], gold.steps[-1]),
        )
    return None
