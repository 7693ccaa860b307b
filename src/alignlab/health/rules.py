"""Is this normal? Rules over a run's metrics that tell a loud but healthy run from a broken one, with the
cause and one setting to turn.

Each rule is a pure function of a `History` (the rows of `metrics.jsonl`, the settings, the summary once there
is one). It says nothing, or one thing: "normal" for what looks alarming and is not, "broken" for what will
not mend itself, always with the figures. Rules look at metric names and not at methods, so a new loop that
logs the field's names is covered. Thresholds hold against noise: a level must be beyond what the rows' own
scatter explains. They were set on the runs of `benchmarks/normal.py`, which prints how often they are right.

    for finding in Watch(stage, settings, total).see(row): ...      # while training runs
    examine(stage, settings, rows, summary)                         # on any run
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Row = Mapping[str, Any]
Verdict = Literal["normal", "broken"]


@dataclass(frozen=True)
class Hit:
    """What a rule saw: the verdict, the figures in words, the steps they are of, and where one rule has
    several causes, which.
    """

    verdict: Verdict
    evidence: str
    steps: tuple[int, int]
    cause: str = ""
    turn: str = ""


@dataclass(frozen=True)
class Rule:
    """One rule, and the text of its row in docs/normal.md.

    Attributes:
        reads: the metrics it needs; it is silent where none of the first is logged.
        means: what is measured.
        normal: when it is nothing to worry about.
        broken: what is wrong when it is not.
        cause: the likeliest cause.
        turn: what to turn: "setting: which way". The first that the stage has is named; one with dashes in
            front is an option of the command.
    """

    name: str
    reads: tuple[str, ...]
    means: str
    normal: str
    broken: str
    cause: str
    turn: tuple[str, ...]
    check: Callable[[History], Hit | None] = field(repr=False)


@dataclass(frozen=True)
class Finding:
    """What one rule says of one run."""

    name: str
    verdict: Verdict
    evidence: str
    steps: tuple[int, int]
    why: str
    cause: str
    turn: str

    def __str__(self) -> str:
        said = f"{self.evidence}. {self.why[:1].upper()}{self.why[1:]}"
        if self.verdict == "normal":
            return f"normal ({self.name}): {said}"
        return f"BROKEN ({self.name}): {said}\n  likely: {self.cause}\n  turn:   {self.turn}"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict,
            "evidence": self.evidence,
            "steps": list(self.steps),
            "why": self.why,
            "cause": self.cause,
            "turn": self.turn,
        }


@dataclass
class Series:
    """One metric over the rows that have it."""

    name: str
    steps: list[int]
    values: list[float]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def span(self) -> tuple[int, int]:
        return self.steps[0], self.steps[-1]

    def head(self, share: float = 0.1, least: int = 1) -> list[float]:
        """The values of the first part of the rows."""
        return self.values[: max(least, round(len(self) * share))]

    def tail(self, share: float = 0.1, least: int = 1) -> list[float]:
        """The values of the last part of the rows."""
        return self.values[-max(least, round(len(self) * share)) :]


@dataclass
class History:
    """What the rules read.

    Attributes:
        stage, settings: as in the run folder; settings may be empty.
        rows: of metrics, in order.
        summary: of the finished run, else empty.
        share: of the steps that are done, 0 to 1.
    """

    stage: str
    settings: Mapping[str, Any]
    rows: Sequence[Row]
    summary: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0

    def series(self, *names: str) -> Series:
        """The first of the metrics that is logged, finite values only; empty if none is."""
        for name in names:
            found = [
                (int(row["step"]), float(row[name]))
                for row in self.rows
                if isinstance(row.get(name), (int, float)) and abs(row[name]) < math.inf
            ]
            if found:
                return Series(name, [step for step, _ in found], [value for _, value in found])
        return Series(names[0], [], [])

    def setting(self, name: str, default: Any = None) -> Any:
        value: Any = self.settings
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value

    def number(self, name: str, default: float = 0.0) -> float:
        """A setting that is a number; the default where it is none."""
        value = self.setting(name)
        return float(value) if isinstance(value, (int, float)) else default

    def rate(self, name: str) -> tuple[float, float, float] | None:
        """(mean, low, high) of a rate of the summary; None for one of too few to say anything."""
        value = self.summary.get(name)
        if (
            isinstance(value, Mapping)
            and isinstance(value.get("mean"), (int, float))
            and value.get("ci")
            and value.get("n", FEWEST) >= FEWEST
        ):
            return float(value["mean"]), float(value["ci"][0]), float(value["ci"][1])
        return None

    def general(self, name: str) -> tuple[float, float] | None:
        """A figure of the general questions and the plain text (`evals.general`), before and after training."""
        found = self.summary.get("general")
        before, after = (
            ((found.get(when) or {}).get(name) for when in ("before", "after"))
            if isinstance(found, Mapping)
            else (None, None)
        )
        return (
            (float(before), float(after))
            if isinstance(before, (int, float)) and isinstance(after, (int, float))
            else None
        )

    @property
    def other_language(self) -> bool:
        """Whether what is learnt is written in another script than the general questions are."""
        found = self.summary.get("general")
        return isinstance(found, Mapping) and float(found.get("data_other_script") or 0) > 0.1

    @property
    def on_policy(self) -> bool:
        """Whether the policy learns from its own completions."""
        return any(name in row for row in self.rows[:1] for name in ("objective/scores", "reward"))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """Standard deviation, 0 for fewer than two."""
    if len(values) < 2:
        return 0.0
    middle = mean(values)
    return math.sqrt(sum((v - middle) ** 2 for v in values) / (len(values) - 1))


def error(values: Sequence[float]) -> float:
    """Standard error of the mean."""
    return deviation(values) / math.sqrt(len(values))


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def change(series: Series, share: float = 0.25, least: int = 3) -> tuple[float, float, float, float]:
    """(mean of the first part, of the last part, their difference, and its standard error from the scatter of
    both).
    """
    first, last = series.head(share, least), series.tail(share, least)
    return mean(first), mean(last), mean(last) - mean(first), math.hypot(error(first), error(last))


def tells(rate: tuple[float, float, float]) -> bool:
    """Whether a rate's interval says anything: that of a few dozen pairs does not."""
    return rate[2] - rate[1] < 0.3


def at(steps: tuple[int, int]) -> str:
    return f"at step {steps[0]}" if steps[0] == steps[1] else f"at steps {steps[0]} to {steps[1]}"


# the rules, a function each

SCORES = ("objective/scores", "reward")
SPREAD = ("objective/scores_std", "reward_std")
KL = ("objective/kl", "kl")
K3 = ("objective/kl_k3", "kl_k3")
ENTROPY = ("policy/entropy_avg", "entropy")
LENGTH = ("completions/mean_length",)
GRADIENT = ("policy/grad_norm", "grad_norm")
FEWEST = 5  # of which a rate is stated: of fewer its interval is nearly everything there is


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
            f"{kl.name} reached {last:.1f} nats a completion of {tokens:.0f} tokens",
            (kl.steps[-few], kl.steps[-1]),
        )
    return None


def reference_differs(h: History) -> Hit | None:
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
                f"log pi / ref is {size:.3g} nats a completion before the first update, and should be 0",
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
    gap = h.series("sampling/sampling_logp_difference/mean")
    if not gap:
        return None
    last = gap.tail(0.25, 2)
    steps = (gap.steps[-len(last)], gap.steps[-1])
    if mean(last) > 0.02:
        top_p = h.number("sampling.top_p", 1.0)
        nucleus = top_p < 1
        return Hit(
            "broken",
            f"sampler and trainer differ by {mean(last):.3g} nats a token {at(steps)}",
            steps,
            cause=f"top_p {top_p:g} draws from less than the policy" if nucleus else "",
            turn="sampling.top_p: 1" if nucleus else "",
        )
    if mean(last) > 2e-3:
        return Hit("normal", f"sampler and trainer differ by {mean(last):.2g} nats a token", steps)
    return None


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


def entropy_collapse(h: History) -> Hit | None:
    entropy = h.series(*ENTROPY)
    if not h.on_policy or len(entropy) < 6:
        return None
    first, last = mean(entropy.head(0.15, 2)), mean(entropy.tail(0.15, 2))
    if last < 0.25 * first:
        return Hit("broken", f"{entropy.name} fell from {first:.3f} to {last:.3f} nats a token", entropy.span)
    if last < 0.7 * first and h.share >= 1:
        return Hit("normal", f"{entropy.name} fell from {first:.3f} to {last:.3f} nats a token", entropy.span)
    return None


def entropy_explosion(h: History) -> Hit | None:
    entropy = h.series(*ENTROPY)
    if not h.on_policy or len(entropy) < 6:
        return None
    first, last = mean(entropy.head(0.15, 2)), mean(entropy.tail(0.15, 2))
    if last > 4 * first and last > 1.0:
        return Hit("broken", f"{entropy.name} rose from {first:.3f} to {last:.3f} nats a token", entropy.span)
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


def length_drift(h: History) -> Hit | None:
    length = h.series(*LENGTH)
    if len(length) < 6:
        return None
    first, last, moved, noise = change(length)
    if abs(moved) < 3 * noise or (last < 1.5 * first and last > 0.6 * first):
        return None
    way = "grew" if moved > 0 else "fell"
    cause = (
        "the reward pays for length: a reward model often likes the longer answer"
        if moved > 0
        else "the reward pays for brevity, or a long answer is punished"
    )
    return Hit(
        "broken", f"{length.name} {way} from {first:.1f} to {last:.1f} tokens", length.span, cause=cause
    )


def no_end_tokens(h: History) -> Hit | None:
    cut = h.series("completions/clipped_ratio")
    if len(cut) < 2:
        return None
    first, last = mean(cut.head(0.15, 2)), mean(cut.tail(0.15, 2))
    steps = cut.span
    if first > 0.9 and last > 0.9:
        return Hit(
            "broken",
            f"{last:.0%} of the completions are cut at the limit, from the first step on",
            steps,
            cause=(
                "the model never writes an end token: pad = eos masked it in SFT, the template has none, or "
                "the sampler waits for another"
            ),
            turn="--model: an SFT model that was trained on its end token",
        )
    if last > 0.4 and last > first + 0.2:
        return Hit("broken", f"completions cut at the limit went from {first:.0%} to {last:.0%}", steps)
    if last > 0.3 and h.share >= 0.5:
        return Hit(
            "broken",
            f"{last:.0%} of the completions are cut at the limit",
            steps,
            cause="answers are longer than max_new_tokens leaves room for",
            turn="sampling.max_new_tokens: up",
        )
    if last > 0.02 and h.share >= 1:
        return Hit("normal", f"{last:.0%} of the completions are cut at the limit", steps)
    return None


def likelihood_displacement(h: History) -> Hit | None:
    """Direct methods count tokens while they train and say it themselves (`alignlab.health.displacement`): their
    verdict is the one. Elsewhere the chosen log-probability is held against where it began: the reference's
    where the rewards tell it, else the first rows'.
    """
    if isinstance(found := h.summary.get("likelihood_displacement"), Mapping) and found.get("verdict") in (
        "none",
        "normal",
        "failure",
    ):
        if found["verdict"] == "none":
            return None
        steps = (int(found.get("step") or 0), int(h.rows[-1]["step"]) if h.rows else 0)
        said = (
            f"the chosen completions moved by {float(found.get('chosen') or 0):+.2f} nats a token and the "
            f"rejected ones by {float(found.get('rejected') or 0):+.2f}, since step {steps[0]}"
        )
        return Hit("broken" if found["verdict"] == "failure" else "normal", said, steps)
    if h.stage in ("dpo", "kto", "orpo", "simpo") and h.share < 1:
        return None
    logps, rewards, margins = (
        h.series("logps/chosen"),
        h.series("rewards/chosen"),
        h.series("rewards/margins"),
    )
    if len(logps) < 8 or not rewards or len(rewards) != len(logps):
        return None
    few = max(4, len(logps) // 5)
    steps = (logps.steps[-few], logps.steps[-1])
    now = mean(logps.values[-few:])
    if (
        h.stage in ("orpo", "simpo") or h.setting("loss_type") == "sigmoid_norm"
    ):  # rewards a token or without a reference: against the first rows, of other texts
        before = mean(logps.values[:few])
        moved = [value - before for value in logps.values[-few:]]
    else:
        beta = h.number("beta", 0.1) or 0.1
        moved = [value / beta for value in rewards.values[-few:]]
        before = now - mean(moved)
    fall, noise = -mean(moved), 2 * error(moved)
    if fall - noise <= 0 or not before:
        return None
    part = fall / abs(before)
    said = (
        f"the log-probability of the chosen completions fell by {fall:.1f} nats from {before:.1f}, "
        f"{at(steps)}"
    )
    if margins:
        said += f", while the margin is {mean(margins.values[-few:]):+.2f}"
    if part > 0.5 and fall > 3:
        return Hit("broken", said, steps)
    if h.share >= 0.5 and part > 0.02:
        return Hit("normal", said, steps)
    return None


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
        ):  # it has learnt, whatever single batches say: they differ by the length of their rows
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


def general_text(h: History) -> Hit | None:
    """The loss on a page of plain text that nobody trains on."""
    if not (found := h.general("text_loss")):
        return None
    before, after = found
    if before > 6:
        return None  # it never knew English
    said = f"the loss on a page of plain English went from {before:.2f} to {after:.2f} nats a token"
    if not after - before <= 0.25:  # a NaN too
        return Hit("normal" if h.other_language else "broken", said, (0, 0))
    return Hit("normal", said, (0, 0)) if after - before > 0.05 else None


def general_answers(h: History) -> Hit | None:
    """Plain questions answered greedily: facts forgotten, loops, nothing, or the letters of another language."""
    right, loops, empty, script = (
        h.general(name) for name in ("right", "repetition", "empty", "other_script")
    )
    text = h.general("text_loss")
    lost = right[0] - right[1] if right and not h.other_language else 0.0
    if right and (
        lost > 0.45 or lost > 0.25 and text and text[1] > text[0] + 0.01
    ):  # three facts go in a sound run too, but then the text gets no dearer
        return Hit(
            "broken",
            (
                f"of ten plain questions of fact it answers {10 * right[1]:.0f} right ({10 * right[0]:.0f} "
                "before)"
            ),
            (0, 0),
        )
    if loops and loops[1] > max(0.35, loops[0] + 0.2):
        return Hit(
            "broken",
            f"{loops[1]:.0%} of what it answers to plain questions repeats itself ({loops[0]:.0%} before)",
            (0, 0),
        )
    if empty and empty[1] > max(0.25, empty[0] + 0.2):
        return Hit(
            "broken",
            f"{empty[1]:.0%} of plain questions get no word for an answer ({empty[0]:.0%} before)",
            (0, 0),
        )
    if script and script[1] > max(0.05, script[0] + 0.05):
        return Hit(
            "normal" if h.other_language else "broken",
            (
                f"{script[1]:.0%} of the letters in its answers to plain English questions are not Latin "
                f"({script[0]:.0%} before)"
            ),
            (0, 0),
        )
    return None


def gradient_spikes(h: History) -> Hit | None:
    norms, loss = h.series(*GRADIENT), h.series("loss")
    if len(norms) < 12:
        return None
    values = norms.values
    begun = 0.2 * median(
        values[:16]
    )  # where all is learnt the usual norm is near 0, and one hard row is no spike
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


def gradients_clipped(h: History) -> Hit | None:
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


def at_chance(h: History) -> Hit | None:
    """A reward model's accuracy, or that of an implicit reward, over the later rows and on held-out pairs."""
    accuracy = h.series("accuracy", "rewards/accuracies")
    if len(accuracy) < 12 or h.share < 0.5 or _no_learning_rate(h):
        return None
    last = accuracy.tail(0.5, 8)
    steps = (accuracy.steps[-len(last)], accuracy.steps[-1])
    held = h.rate("accuracy")
    if (
        held[2] < 0.56 or held[0] < 0.53 or held[1] <= 0.5 and held[2] < 0.6
        if held and tells(held)
        else mean(last) + 2 * error(last) < 0.56
    ):
        return Hit(
            "broken",
            f"{accuracy.name} is {mean(last):.2f} +- {error(last):.2f} {at(steps)}"
            + (f", {held[0]:.2f} on held-out pairs" if held else ""),
            steps,
        )
    return None


def reward_model_at_chance(h: History) -> Hit | None:
    return at_chance(h) if h.series("accuracy") else None


def preferences_not_learnt(h: History) -> Hit | None:
    return (
        at_chance(h) if h.series("rewards/accuracies") and h.stage != "online-dpo" else None
    )  # whose pairs are new in each step, and near ties


def too_good(h: History) -> Hit | None:
    accuracy, held = h.series("accuracy"), h.rate("accuracy")
    ceiling = h.summary.get("ceiling")
    if held and isinstance(ceiling, (int, float)) and held[1] > ceiling + 0.02:
        return Hit(
            "broken",
            (
                f"held-out accuracy {held[0]:.3f} is above the {ceiling:.3f} that the annotator's own noise "
                "allows"
            ),
            (0, 0),
        )
    if (
        held
        and held[0] > 0.985
        and held[1] > 0.9
        and not (isinstance(ceiling, (int, float)) and held[0] <= ceiling)
    ):  # of an annotator known to make no mistakes
        return Hit(
            "broken",
            f"held-out accuracy is {held[0]:.3f}: people agree with each other on 0.6 to 0.8 of such pairs",
            (0, 0),
        )
    epoch = h.series("epoch")
    if len(accuracy) < 12 or not epoch:
        return None
    once = [value for value, passed in zip(accuracy.values, epoch.values, strict=False) if passed <= 1.0][
        len(accuracy) // 4 :
    ]
    if (
        len(once) >= 8
        and mean(once[-8:]) > 0.985
        and not (isinstance(ceiling, (int, float)) and ceiling > 0.985)
    ):
        return Hit(
            "broken",
            f"accuracy is {mean(once[-8:]):.3f} on pairs that it sees for the first time",
            (accuracy.steps[0], accuracy.steps[len(once) - 1]),
        )
    return None


def reward_over_fitted(h: History) -> Hit | None:
    return _fitted(h, h.series("accuracy"))


def preferences_over_fitted(h: History) -> Hit | None:
    return _fitted(h, h.series("rewards/accuracies"))


def _fitted(h: History, accuracy: Series) -> Hit | None:
    held = h.rate("accuracy")
    if len(accuracy) < 8 or not held:
        return None
    last = mean(accuracy.tail(0.2, 4))
    if last > 0.9 and last - held[2] > 0.08:
        return Hit(
            "broken",
            (
                f"{accuracy.name} is {last:.3f} on what it trains on and {held[0]:.3f} [{held[1]:.3f}, "
                f"{held[2]:.3f}] on held-out pairs"
            ),
            accuracy.span,
        )
    return None


def length_detector(h: History) -> Hit | None:
    held, floor = h.rate("accuracy"), h.rate("length_floor")
    if not held or not floor or not tells(held) or floor[0] < 0.6 or floor[1] <= 0.5:
        return None
    if held[0] < floor[0] + 0.02:
        return Hit(
            "broken",
            f"held-out accuracy {held[0]:.3f}; always taking the longer answer: {floor[0]:.3f}",
            (0, 0),
        )
    return None


def margin_saturated(h: History) -> Hit | None:
    accuracy, margin = h.series("rewards/accuracies", "accuracy"), h.series("rewards/margins", "margin")
    if len(accuracy) < 8 or not margin:
        return None
    right, wide = mean(accuracy.tail(0.2, 4)), mean(margin.tail(0.2, 4))
    if right > 0.98 and wide > 8:
        return Hit(
            "broken",
            (
                f"{accuracy.name} is {right:.3f} and {margin.name} {wide:.1f}: the loss has nothing left to "
                "teach"
            ),
            accuracy.span,
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
            f"{moved.name} (k3 against the policy that wrote the rollouts) is {last:.3g} nats a token",
            moved.span,
        )
    return None


def coefficient_out_of_range(h: History) -> Hit | None:
    coef = h.series("objective/kl_coef")
    if not h.number("kl_target") or len(coef) < 4 or not coef.values[0]:
        return None
    ratio = coef.values[-1] / coef.values[0]
    if ratio > 5 or ratio < 0.2:
        return Hit(
            "broken",
            f"the adaptive kl_coef went from {coef.values[0]:.3g} to {coef.values[-1]:.3g}",
            coef.span,
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


def not_finite(h: History) -> Hit | None:
    for row in h.rows:
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                return Hit(
                    "broken", f"{name} is {value} at step {row['step']}", (int(row["step"]), int(row["step"]))
                )
    return None


RULES: tuple[Rule, ...] = (
    Rule(
        "not-finite",
        ("any metric",),
        "a figure that is no number",
        "never",
        "a figure is not a number; everything computed from it is lost",
        "a learning rate too high, or a mean over nothing",
        ("optim.lr: down",),
        not_finite,
    ),
    Rule(
        "learning-rate-zero",
        ("learning_rate",),
        "the rate of each update",
        "in the last row of a decay",
        "nothing is trained",
        "optim.lr is 0",
        ("optim.lr: above 0",),
        learning_rate_zero,
    ),
    Rule(
        "negative-kl",
        ("objective/kl", "objective/kl_k3"),
        "k1, the mean of log p - log p_ref over sampled completions",
        "k1 is noisy: a few rows below 0 while the policy is near the reference. k3 is never below 0",
        "it stays below 0: the completions are not drawn from the policy that is scored",
        (
            "the sampler draws at another temperature, top_p or template than the trainer scores, or "
            "dropout is on"
        ),
        ("sampling.temperature: 1",),
        negative_kl,
    ),
    Rule(
        "reference-is-not-the-start",
        ("objective/kl_k3", "rewards/chosen"),
        "distance from the reference before the first update",
        "0, up to the last digits of the precision",
        "the policy is not its own reference at the start, so KL and implicit rewards measure something else",
        "the reference is another model, or dropout is on while the policy is read",
        ("--model: the model that the reference is", "adapter.dropout: 0"),
        reference_differs,
    ),
    Rule(
        "ratio-not-one",
        ("val/ratio_first",),
        "p / p_old on the first minibatch of a step, before anything was learnt from it",
        "1, to the last digits",
        "old and new log-probabilities of the same policy differ: the surrogate's gradient is wrong",
        "dropout is on, or old log-probabilities come from other padding, precision or temperature",
        ("adapter.dropout: 0", "model.precision: fp32"),
        ratio_not_one,
    ),
    Rule(
        "sampler-mismatch",
        ("sampling/sampling_logp_difference/mean",),
        "mean size of log p_sampler - log p_trainer over the tokens drawn",
        "below 0.02 nats: rounding, a few thousandths in bf16",
        "the tokens come from another distribution than the one trained: advantages are biased",
        "temperature, top_p, template, precision or weights of the sampler are not the trainer's",
        ("sampling.temperature: 1", "model.precision: fp32"),
        sampler_mismatch,
    ),
    Rule(
        "kl-blow-up",
        ("objective/kl", "completions/mean_length"),
        "how far the policy has gone from the reference",
        "it grows at first and levels off, below half a nat a token",
        "more than half a nat a token: the completions are no longer ones the reference could have written",
        "the penalty is too weak for the learning rate",
        ("kl_coef: up", "beta: up", "optim.lr: down"),
        kl_blow_up,
    ),
    Rule(
        "kl-coef-out-of-range",
        ("objective/kl_coef",),
        "the adaptive penalty",
        "it settles within a factor of five of where it began",
        "it runs away from where it began: the target is not reached at any price",
        "kl_target is not a KL that this policy has, or kl_horizon is so short that it overshoots",
        ("kl_horizon: up", "kl_target: nearer to objective/kl"),
        coefficient_out_of_range,
    ),
    Rule(
        "value-collapse",
        ("critic/vf_explained_var",),
        "1 - Var(returns - values) / Var(returns)",
        "negative in the first steps, then rising: the value model starts from a reward model",
        (
            "at 0 or below late in the run: a constant would foresee the returns as well, and advantages "
            "are noise"
        ),
        "value_lr too high or too low, or values read at the wrong token",
        ("value_lr: a tenth, or ten times", "optim.lr: down"),
        value_collapse,
    ),
    Rule(
        "entropy-collapse",
        ("policy/entropy_avg",),
        "nats a token of the policy's distribution",
        "a fall by up to three quarters: it grows surer",
        "one answer for everything: nothing is explored any more",
        "too many steps on too weak a penalty",
        ("kl_coef: up", "beta: up", "optim.lr: down"),
        entropy_collapse,
    ),
    Rule(
        "entropy-explosion",
        ("policy/entropy_avg",),
        "nats a token of the policy's distribution",
        "a rise of up to some ten per cent",
        "the policy dissolves into noise",
        "the learning rate is too high",
        ("optim.lr: down",),
        entropy_explosion,
    ),
    Rule(
        "dead-groups",
        ("frac_reward_zero_std",),
        "share of groups whose completions all have the same score",
        "up to some two thirds: easy and hopeless prompts teach nothing",
        "most groups have no gradient: the steps are wasted",
        "prompts all too easy or too hard, too few completions a prompt, or a reward with two values",
        ("per_prompt: up", "--data: prompts of middling difficulty"),
        dead_groups,
    ),
    Rule(
        "length-drift",
        ("completions/mean_length",),
        "tokens a completion",
        "a change by less than half",
        "length is what is learnt",
        "the reward pays for length",
        ("kl_coef: up", "beta: up", "--reward: one trained with length in mind"),
        length_drift,
    ),
    Rule(
        "no-end-tokens",
        ("completions/clipped_ratio",),
        "share of completions cut at max_new_tokens",
        "a few per cent",
        "completions do not end: they are scored half-written",
        "nothing pays for ending",
        ("missing_end_penalty: up", "sampling.max_new_tokens: up"),
        no_end_tokens,
    ),
    Rule(
        "reward-constant",
        ("objective/scores_std", "reward_std"),
        "spread of the scores of a batch",
        "never 0",
        "every completion has the same score: there is nothing to learn",
        "a judge that answers the same to everything",
        ("--reward: a judge that tells completions apart", "--judge: a judge that tells completions apart"),
        reward_constant,
    ),
    Rule(
        "reward-flat",
        ("objective/scores", "reward"),
        "mean score of the rollouts",
        "a step's prompts scatter more than a few dozen steps gain; look at the evaluation",
        "no gain, and the policy has not moved from the reference either",
        "the learning rate is too low, or the penalty too dear",
        ("optim.lr: up",),
        reward_flat,
    ),
    Rule(
        "reward-falls",
        ("objective/scores", "reward"),
        "mean score of the rollouts",
        "a dip within the noise",
        "the policy gets worse at what it is paid for",
        "a sign, advantages of other rows, or a learning rate at which updates undo each other",
        ("optim.lr: down",),
        reward_falls,
    ),
    Rule(
        "reward-saturated",
        ("objective/scores", "objective/scores_std"),
        "scores against score_clip",
        "well inside the clip",
        "most scores are clipped: better completions get no more than good ones",
        "score_clip is too tight for this reward, or scores are not normalised",
        ("score_clip: up",),
        reward_saturated,
    ),
    Rule(
        "over-optimisation",
        ("objective/gold", "objective/scores"),
        "gold beside the proxy",
        "both rise, gold by less",
        "gold falls while the proxy rises: the reward model is gamed (Gao et al. 2023)",
        "too far from where the reward model knows its way",
        ("kl_coef: up", "beta: up", "steps: down, to where gold was highest"),
        over_optimisation,
    ),
    Rule(
        "clip-fraction",
        ("policy/clipfrac_avg",),
        "share of tokens at which the clip held back",
        "near 0 with one pass over each batch, up to 0.3 with several",
        "most of the gradient is clipped away",
        "the update is too large for the clip range",
        ("optim.lr: down", "epochs: down"),
        clip_fraction,
    ),
    Rule(
        "update-too-large",
        ("policy/approxkl_avg",),
        "KL of one step's updates",
        "below 0.1 nats a token",
        "each step leaves the policy that wrote its rollouts far behind: the surrogate no longer holds",
        "learning rate too high, or too many epochs",
        ("optim.lr: down", "epochs: down"),
        update_too_large,
    ),
    Rule(
        "likelihood-displacement",
        ("logps/chosen", "rewards/chosen"),
        "log-probability of the chosen completions against where it began",
        "it falls by less than half while the margin grows: the loss asks for the difference only",
        (
            "the chosen completions become unlikely too: probability goes to something neither chosen nor "
            "rejected (Razin et al. 2024)"
        ),
        "beta too small, learning rate too high, or pairs that are nearly alike",
        ("optim.lr: down", "beta: up"),
        likelihood_displacement,
    ),
    Rule(
        "preferences-not-learnt",
        ("rewards/accuracies",),
        "share of pairs that the implicit reward orders rightly",
        "0.5 in the first rows",
        "still at chance late in the run: nothing about the preferences was learnt",
        "labels are shuffled or noise, or the learning rate is far off",
        ("--data: check the labels with `alignlab view`", "optim.lr: up"),
        preferences_not_learnt,
    ),
    Rule(
        "preferences-over-fitted",
        ("rewards/accuracies",),
        "accuracy in training against held-out",
        "a gap of a few points",
        "it knows its pairs by heart and not the preference behind them",
        "too many passes over too few pairs",
        ("epochs: down",),
        preferences_over_fitted,
    ),
    Rule(
        "margin-saturated",
        ("rewards/margins", "margin"),
        "difference of the scores of chosen and rejected",
        "grows, and the loss still falls",
        "every pair is right by a wide margin: what is still learnt is noise",
        "too many passes, or too large a step",
        ("epochs: down", "optim.lr: down"),
        margin_saturated,
    ),
    Rule(
        "reward-model-at-chance",
        ("accuracy",),
        "share of pairs in the right order",
        "0.5 in the first rows",
        "still at chance late in the run: PPO would optimise noise",
        "labels are shuffled or noise, or the learning rate is far off",
        ("--data: check the labels with `alignlab view`", "optim.lr: down"),
        reward_model_at_chance,
    ),
    Rule(
        "reward-model-too-good",
        ("accuracy",),
        "share of pairs in the right order",
        "0.65 to 0.9; people agree with each other no more often",
        "nearly always right on pairs never seen: the label can be read off the text",
        (
            "something in the chosen text gives the label away: a prefix, a template, an end token on one "
            "side only"
        ),
        ("--data: look for what all chosen texts share",),
        too_good,
    ),
    Rule(
        "reward-model-over-fitted",
        ("accuracy",),
        "accuracy in training against held-out",
        "a gap of a few points",
        "it knows its pairs by heart",
        "too many passes over too few rankings",
        ("epochs: down",),
        reward_over_fitted,
    ),
    Rule(
        "length-detector",
        ("accuracy (summary)", "length_floor (summary)"),
        "held-out accuracy against always taking the longer answer",
        "well above that floor",
        "it knows nothing that counting words does not tell",
        "the annotators prefer the longer answer",
        ("--data: rankings in which length and quality part",),
        length_detector,
    ),
    Rule(
        "loss-not-falling",
        ("eval_loss (summary)", "loss"),
        "the loss on held-out prompts, before and after; where nothing is held out, the training loss",
        "the held-out loss falls, whatever single batches say: each is of rows of one length",
        "the loss ends where it began, or above",
        "a learning rate far too high, or too low",
        ("optim.lr: a tenth",),
        loss_not_falling,
    ),
    Rule(
        "general-text-lost",
        ("general (summary)",),
        "the loss on a page of plain English, before and after training, of a model that is not the town's",
        "a rise of up to a quarter of a nat; more where the data is in another script",
        "what the model knew of plain text is gone, however well it does on the data",
        "a learning rate for a much smaller model, or for LoRA",
        ("optim.lr: a tenth",),
        general_text,
    ),
    Rule(
        "general-answers-lost",
        ("general (summary)",),
        (
            "sixteen plain questions answered greedily, before and after: right answers to ten questions of "
            "fact, three-word sequences said again, answers without a word, letters that are not Latin "
            "(general.jsonl in the run holds the answers)"
        ),
        "a fact or two lost, a few repeats; another script where the data is in it",
        (
            "it forgets what everybody knows, loops, falls silent or drifts into another language on "
            "questions that the data does not ask"
        ),
        "a learning rate that is too high, or too many passes over narrow data",
        ("optim.lr: a tenth",),
        general_answers,
    ),
    Rule(
        "over-fitting",
        ("eval_loss", "loss"),
        "the loss on held-out prompts",
        "within a few per cent of its lowest",
        (
            "the held-out loss rises, or stands still at many times the training loss: answers are learnt "
            "by heart"
        ),
        "too many passes over too few demonstrations",
        ("epochs: down",),
        over_fitting,
    ),
    Rule(
        "gradient-spikes",
        ("grad_norm", "policy/grad_norm"),
        "norm of the gradient before clipping",
        "one spike, clipped, with the loss unmoved",
        "many spikes, or a loss that does not come back after them",
        "a learning rate too high, or rows that are broken",
        ("optim.lr: down",),
        gradient_spikes,
    ),
    Rule(
        "gradients-always-clipped",
        ("grad_norm", "policy/grad_norm"),
        "norm of the gradient against max_grad_norm",
        "clipped in most rows, by a small factor: AdamW takes the scale out again",
        "a thousandth of the gradient or less is left",
        "max_grad_norm is far below the usual norm",
        ("optim.max_grad_norm: to the usual norm",),
        gradients_clipped,
    ),
)


def turned(rule: Rule, hit: Hit, settings: Mapping[str, Any]) -> str:
    """The one thing to turn, as an option of the command line, with the value it has now."""
    history = History("", settings, ())
    for choice in (hit.turn,) if hit.turn else rule.turn:
        name, _, way = choice.partition(": ")
        if name.startswith("--"):
            return f"{name} ({way})"
        now = history.setting(name)
        if now is None and settings:
            continue
        if str(now) in (way, f"{way}.0"):
            return (
                f"no setting: {name} is {now} already, so the code that samples or scores does otherwise "
                "than the settings say"
            )
        return f"--{name} {way}" + (
            "" if now is None else f" (now {now:g})" if isinstance(now, (int, float)) else f" (now {now})"
        )
    return "no setting of this stage"


def examine(
    stage: str,
    settings: Mapping[str, Any],
    rows: Sequence[Row],
    summary: Mapping[str, Any] | None = None,
    *,
    share: float = 1.0,
) -> list[Finding]:
    """What the rules say of a run, broken before normal. `share` is the part of the steps that is done."""
    rows = [
        row
        for row in rows
        if isinstance(row, Mapping)
        and isinstance(row.get("step"), (int, float))
        and abs(row["step"]) < math.inf
    ]
    history = History(stage, settings, rows, summary or {}, share)
    found = []
    for rule in RULES:
        if hit := rule.check(history):
            why = rule.broken if hit.verdict == "broken" else f"Normal: {rule.normal}"
            found.append(
                Finding(
                    rule.name,
                    hit.verdict,
                    hit.evidence,
                    hit.steps,
                    why,
                    hit.cause or rule.cause,
                    turned(rule, hit, settings),
                )
            )
    return sorted(found, key=lambda finding: finding.verdict != "broken")


class Watch:
    """The rules over a run while it is made: each thing is said once. A function of the rows alone, so that a
    resumed run says what an undisturbed one would.

    Args:
        total: steps of the run. Rules look after each of the first 32 rows and then after every 32nd part of
            what there is, so that they cost nothing.
    """

    def __init__(self, stage: str, settings: Mapping[str, Any], total: int) -> None:
        self.stage, self.settings, self.total = stage, settings, max(1, total)
        self.rows: list[Row] = []
        self._said: set[tuple[str, Verdict]] = set()
        self._next = 1

    def see(self, row: Row) -> list[Finding]:
        """What is new with this row."""
        self.rows.append(row)
        if len(self.rows) < self._next:
            return []
        self._next = len(self.rows) + 1 + len(self.rows) // 32
        return self._new(
            examine(
                self.stage, self.settings, self.rows, share=min(0.999, (int(row["step"]) + 1) / self.total)
            )
        )

    def finish(self, summary: Mapping[str, Any]) -> list[Finding]:
        """What is new now that the run is over."""
        return self._new(examine(self.stage, self.settings, self.rows, summary))

    def _new(self, findings: Iterable[Finding]) -> list[Finding]:
        fresh = [finding for finding in findings if (finding.name, finding.verdict) not in self._said]
        self._said |= {(finding.name, finding.verdict) for finding in fresh}
        return fresh
