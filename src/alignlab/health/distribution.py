"""Rules about the policy's distribution: its distance from the reference, how surely it samples, how far one
update moves it.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean as mean
from statistics import median

from .history import ENTROPY, K3, KL, LENGTH, History, Hit, at, error


def negative_kl(h: History) -> Hit | None:
    k1, k3 = h.series(*KL), h.series(*K3)
    if k3.values and min(k3.values) < -1e-4:
        step = k3.steps[k3.values.index(min(k3.values))]
        return Hit(
            "broken",
            f"{k3.name} is {min(k3.values):.3g} {at((step, step))}",
            (step, step),
            cause=(
                "k3 = exp(-d) - 1 + d is never below 0: it is averaged over padding, or of two different "
                "sequences"
            ),
        )
    below = [i for i, value in enumerate(k1.values) if value < -1e-6]
    if not below:
        return None
    last = k1.values[-max(4, len(k1) // 3) :]
    steps = (k1.steps[-len(last)], k1.steps[-1])
    if len(k1) >= 4 and mean(last) < -0.05 and mean(last) + 3 * error(last) < 0:
        return Hit("broken", f"{k1.name} is {mean(last):.2f} +- {error(last):.2f} nats {at(steps)}", steps)
    if h.share < 1 and len(below) < 2:
        return None
    return Hit(
        "normal",
        f"{k1.name} is below 0 in {len(below)} of {len(k1)} rows, {min(k1.values):.2g} at the lowest",
        (k1.steps[below[0]], k1.steps[below[-1]]),
    )


def kl_blow_up(h: History) -> Hit | None:
    kl, length = h.series(*KL), h.series(*LENGTH)
    if len(kl) < 4 or not length:
        return None
    few = max(2, len(kl) // 8)
    last, tokens = mean(kl.values[-few:]), mean(length.values[-few:])
    if last > 5 and last / max(tokens, 1) > 0.5:
        return Hit(
            "broken",
            f"{kl.name} reached {last:.1f} nats per completion of {tokens:.0f} tokens",
            (kl.steps[-few], kl.steps[-1]),
        )
    return None


def reference_is_not_the_start(h: History) -> Hit | None:
    """The first step is taken before any update: KL from the reference, and implicit rewards, are 0 there."""
    if not h.rows or h.rows[0].get("step") != 0:
        return None
    first = h.rows[0]
    k1, k3, length = h.series(*KL), h.series(*K3), h.series(*LENGTH)
    if k1 and k3 and length and k1.steps[0] == k3.steps[0] == 0:
        size = max(abs(k3.values[0]), abs(k1.values[0]))
        if size > 0.02 * max(1.0, length.values[0]) ** 0.5:
            return Hit(
                "broken",
                f"KL from the reference is {size:.3g} nats (k3 {k3.values[0]:.3g}) before the first update",
                (0, 0),
            )
    if h.stage in ("dpo", "kto", "online-dpo") and (chosen := first.get("rewards/chosen")) is not None:
        beta = h.number("beta", 0.1) or 0.1
        size = max(abs(chosen), abs(first.get("rewards/rejected", 0.0))) / beta
        if size > 0.25:
            return Hit(
                "broken",
                f"log pi / ref is {size:.3g} nats per completion before the first update, and should be 0",
                (0, 0),
            )
    return None


def ratio_not_one(h: History) -> Hit | None:
    ratio = h.series("val/ratio_first")
    off = [i for i, value in enumerate(ratio.values) if abs(value - 1) > 2e-3]
    if not off:
        return None
    worst = max(off, key=lambda i: abs(ratio.values[i] - 1))
    return Hit(
        "broken",
        (
            f"{ratio.name} is {ratio.values[off[0]]:.4f} at step {ratio.steps[off[0]]} (worst "
            f"{ratio.values[worst]:.4g}), and should be 1"
        ),
        (ratio.steps[off[0]], ratio.steps[off[-1]]),
    )


def sampler_mismatch(h: History) -> Hit | None:
    """Only where the sampler had the trainer's weights."""
    rows = [row for row in h.rows if not row.get("sampling/staleness")]
    gap = replace(h, rows=rows).series("sampling/sampling_logp_difference/mean")
    if not gap:
        return None
    last = gap.tail(0.25, 2)
    steps = (gap.steps[-len(last)], gap.steps[-1])
    if mean(last) > 0.02:
        top_p = h.number("sampling.top_p", 1.0)
        nucleus = top_p < 1
        return Hit(
            "broken",
            f"sampler and trainer differ by {mean(last):.3g} nats per token {at(steps)}",
            steps,
            cause=f"top_p {top_p:g} draws from less than the policy" if nucleus else "",
            turn="sampling.top_p: 1" if nucleus else "",
        )
    if mean(last) > 2e-3:
        return Hit("normal", f"sampler and trainer differ by {mean(last):.2g} nats per token", steps)
    return None


def clip_fraction(h: History) -> Hit | None:
    clipped = h.series("policy/clipfrac_avg", "clip_ratio/region_mean", "clip_ratio/mean")
    if len(clipped) < 3:
        return None
    last = mean(clipped.tail(0.5, 3))
    if last > 0.3:
        return Hit("broken", f"{clipped.name} is {last:.0%}", clipped.span)
    if last < 1e-3 and h.share >= 1:
        return Hit("normal", f"{clipped.name} is {last:.2%}", clipped.span)
    return None


def update_too_large(h: History) -> Hit | None:
    moved = h.series("policy/approxkl_avg")
    if len(moved) < 4:
        return None
    last = median(moved.tail(0.5, 4))
    if last > 0.1:
        return Hit(
            "broken",
            f"{moved.name} (k3 against the policy that wrote the rollouts) is {last:.3g} nats per token",
            moved.span,
        )
    return None


def kl_coef_out_of_range(h: History) -> Hit | None:
    coef = h.series("objective/kl_coef")
    if not h.number("adaptive_kl") or len(coef) < 4 or not coef.values[0]:
        return None
    ratio = coef.values[-1] / coef.values[0]
    if ratio > 5 or ratio < 0.2:
        return Hit(
            "broken",
            f"the adaptive kl_coef went from {coef.values[0]:.3g} to {coef.values[-1]:.3g}",
            coef.span,
        )
    return None


def entropy_collapse(h: History) -> Hit | None:
    entropy = h.series(*ENTROPY)
    if not h.on_policy or len(entropy) < 6:
        return None
    first, last = mean(entropy.head(0.15, 2)), mean(entropy.tail(0.15, 2))
    if last < 0.25 * first:
        return Hit(
            "broken", f"{entropy.name} fell from {first:.3f} to {last:.3f} nats per token", entropy.span
        )
    if last < 0.7 * first and h.share >= 1:
        return Hit(
            "normal", f"{entropy.name} fell from {first:.3f} to {last:.3f} nats per token", entropy.span
        )
    return None


def entropy_explosion(h: History) -> Hit | None:
    entropy = h.series(*ENTROPY)
    if not h.on_policy or len(entropy) < 6:
        return None
    first, last = mean(entropy.head(0.15, 2)), mean(entropy.tail(0.15, 2))
    if last > 4 * first and last > 1.0:
        return Hit(
            "broken", f"{entropy.name} rose from {first:.3f} to {last:.3f} nats per token", entropy.span
        )
    return None
