"""Rules about the optimizer, whatever the method: loss, gradients, rates."""

from __future__ import annotations

import math
from statistics import fmean as mean
from statistics import median

from .history import GRADIENT, History, Hit, change


def not_finite(h: History) -> Hit | None:
    for row in h.rows:
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                return Hit(
                    "broken", f"{name} is {value} at step {row['step']}", (int(row["step"]), int(row["step"]))
                )
    return None


def learning_rate_zero(h: History) -> Hit | None:
    rate = h.series("learning_rate")
    if len(rate) >= 2 and _no_learning_rate(h):
        return Hit("broken", f"learning_rate is 0 in all {len(rate)} rows", rate.span)
    return None


def _no_learning_rate(h: History) -> bool:
    rate = h.series("learning_rate")
    return bool(rate) and max(rate.values) == 0


def loss_not_falling(h: History) -> Hit | None:
    loss = h.series("loss")
    if (
        h.on_policy
        or h.stage in ("rejection", "online-dpo")
        or len(loss) < 12
        or h.share < 0.5
        or _no_learning_rate(h)
    ):
        return None
    if h.setting("loss_type") == "ipo":
        return None  # a square of log-ratios: single pairs outweigh all others
    before, after = h.summary.get("eval_loss_before"), h.summary.get("eval_loss")
    if isinstance(before, float) and isinstance(after, float):
        if after > before:
            return Hit(
                "broken",
                f"the loss on held-out prompts went from {before:.3f} before training to {after:.3f}",
                loss.span,
            )
        if (
            after < 0.995 * before
        ):  # it has learned, whatever single batches say: they differ by the length of their rows
            return None
    held = h.series("eval_loss")
    if len(held) > 1 and held.values[-1] < 0.995 * held.values[0]:
        return None
    first, last = mean(loss.values[:2]), mean(loss.tail(0.2, 4))
    peak = max(mean(loss.values[i : i + 4]) for i in range(len(loss) - 3))
    if last > 1.2 * abs(first) and peak > 2 * abs(first):
        return Hit("broken", f"loss rose from {first:.3f} to {peak:.3f} and is {last:.3f}", loss.span)
    if h.series("rewards/margins") or h.series(
        "margin"
    ):  # preference losses start at what knowing nothing costs and may fall by little
        return None
    first, last, moved, noise = change(loss, 0.2, 4)
    if moved - 3 * noise > -0.05 * abs(
        first
    ):  # not where the batches scatter so that a fall could hide in it
        return Hit("broken", f"loss went from {first:.3f} to {last:.3f}", loss.span)
    return None


def gradient_spikes(h: History) -> Hit | None:
    norms, loss = h.series(*GRADIENT), h.series("loss")
    if len(norms) < 12:
        return None
    values = norms.values
    begun = 0.2 * median(
        values[:16]
    )  # where all is learned the usual norm is near 0, and one hard row is no spike
    spikes = [
        i
        for i in range(8, len(values))
        if values[i] > 20 * max(begun, median(values[max(0, i - 32) : i])) and values[i] > 5
    ]
    if not spikes:
        return None
    places = (norms.steps[spikes[0]], norms.steps[spikes[-1]])
    said = (
        f"{norms.name} is {max(values[i] for i in spikes):.3g} where {median(values):.3g} is usual "
        f"({len(spikes)} of {len(values)} rows)"
    )
    worse = len(loss) == len(norms) and any(
        mean(loss.values[i : i + 5]) > 1.5 * mean(loss.values[max(0, i - 5) : i]) for i in spikes
    )
    if len(spikes) > max(2, 0.05 * len(values)) or (worse and len(spikes) > 1):
        return Hit("broken", said, places)
    return Hit("normal", said, places) if h.share >= 1 else None


def gradients_always_clipped(h: History) -> Hit | None:
    norms = h.series(*GRADIENT)
    limit = h.number("optim.max_grad_norm")
    if len(norms) < 12 or not limit or h.share < 0.5:
        return None
    over = sum(value > limit for value in norms.values) / len(norms)
    if over < 0.9:
        return None
    usual = median(norms.values)
    said = (
        f"{norms.name} is above max_grad_norm {limit:g} in {over:.0%} of the rows, {usual / limit:.3g} "
        "times it in the middle"
    )
    return Hit("broken" if usual > 1000 * limit else "normal", said, norms.span)


def over_fitting(h: History) -> Hit | None:
    held, loss, epoch = h.series("eval_loss"), h.series("loss"), h.series("epoch")
    if len(held) < 2 or not loss:
        return None
    best = min(range(len(held)), key=lambda i: held.values[i])
    steps, own = (held.steps[best], held.steps[-1]), mean(loss.tail(0.1, 3))
    if own > held.values[-1]:
        return None
    if held.values[-1] > 1.08 * held.values[best]:
        return Hit(
            "broken",
            (
                f"eval_loss rose from {held.values[best]:.3f} (step {held.steps[best]}) to "
                f"{held.values[-1]:.3f} while loss is {own:.3f}"
            ),
            steps,
        )
    if own < 0.2 * held.values[-1] and epoch and epoch.values[-1] > 2:
        return Hit(
            "broken",
            (
                f"loss is {own:.3f} on what it has read {epoch.values[-1]:.0f} times and "
                f"{held.values[-1]:.3f} on held-out prompts"
            ),
            (loss.steps[0], loss.steps[-1]),
        )
    return None
