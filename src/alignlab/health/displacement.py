"""Likelihood displacement: the chosen completion grows less likely while its margin over the rejected one
grows.

A direct loss sees the margin alone, which grows as well when both log-probabilities fall and the rejected one
falls faster. A little of that is in nearly every run: the two share most of their words, and chosen
completions that somebody else wrote were unlikely to begin with (Pal et al. 2024). Far down it is a failure:
the probability goes to completions that nobody compared, which can be worse than both (Razin et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean as mean
from typing import Any

from .history import History, Hit, at, error

WINDOW = 16
"""Steps that are averaged before anything is said, in a short run a quarter of them: batches differ by more
than a step moves the policy.
"""
FAR_PART, FAR_NATS = 0.5, 3.0
"""The same of a run that counted no tokens: a fall by this part of the log-probability, and of at least so many
nats per completion.
"""
FAR = 0.2
"""Nats per token from which on a fall of the chosen completions is a failure: a fifth off the probability of
each of their tokens.
"""


@dataclass
class Watch:
    """Looks at the log-probabilities of a run step by step, and says at most once that something is wrong.

    Attributes:
        steps: of the run.
        turn: the one setting to turn, in words.
        relative: what is seen are differences from where the policy started. Otherwise they are the
            log-probabilities themselves: the first window then stands for the start, and what batches differ
            by has to be outdone.
        seen: of the newest steps [chosen, rejected], nats per token.
        start: of those two and twice the standard error of the first, of the first window; empty until there
            is one.
        set_in: the step since which there has been displacement; None where there is none.
        failed: it has gone too far, and that has been said.
    """

    steps: int
    turn: str
    relative: bool
    seen: list[list[float]] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    set_in: int | None = None
    failed: bool = False

    def see(self, step: int, chosen: float, rejected: float) -> str:
        """Take in a step's mean log-probabilities, nats per token; returns what to tell the person who is
        watching, or "".
        """
        self.seen = [*self.seen, [chosen, rejected]][-self.window :]
        if len(self.seen) < self.window:
            return ""
        if not self.start:
            self.start = [0.0, 0.0, 0.0] if self.relative else [*self._means(), self._doubt()]
            if not self.relative:
                return ""
        chosen, rejected = self.moved
        if chosen >= -math.hypot(self.start[2], self._doubt()) or rejected >= chosen:
            if not self.failed:  # a fall that was made good again is none
                self.set_in = None
            return ""
        self.set_in = step if self.set_in is None else self.set_in
        if self.failed or chosen > -FAR:
            return ""
        self.failed = True
        return self.text

    @property
    def window(self) -> int:
        return max(1, min(WINDOW, self.steps // 4))

    @property
    def moved(self) -> tuple[float, float]:
        """How far chosen and rejected have moved since the start, nats per token, over the newest window; 0
        before there is one.
        """
        if not self.start:
            return 0.0, 0.0
        chosen, rejected = self._means()
        return chosen - self.start[0], rejected - self.start[1]

    @property
    def verdict(self) -> str:
        if self.failed:
            return "failure"
        return "none" if self.set_in is None else "normal"

    @property
    def text(self) -> str:
        """What there is to say, in plain words; "" if nothing set in."""
        if self.set_in is None:
            return ""
        chosen, rejected = self.moved
        moved = (
            f"likelihood displacement since step {self.set_in}: against the start the chosen completions "
            f"have moved by {chosen:+.2f} nats per token and the rejected ones by {rejected:+.2f}, so that "
            "margins "
            "grow while both fall. "
        )
        if not self.failed:
            return moved + "This is normal: a little of it is in nearly every run."
        return moved + (
            "This is a failure: the probability goes to completions that nobody compared. Turn one "
            f"setting: {self.turn}."
        )

    def summary(self) -> dict[str, Any]:
        chosen, rejected = self.moved
        return {
            "verdict": self.verdict,
            "step": self.set_in,
            "chosen": chosen,
            "rejected": rejected,
            "text": self.text,
        }

    def state(self) -> dict[str, Any]:
        """What a run that goes on needs, as JSON."""
        return {"seen": self.seen, "start": self.start, "set_in": self.set_in, "failed": self.failed}

    def load(self, state: Mapping[str, Any]) -> None:
        self.seen, self.start = state["seen"], state["start"]
        self.set_in, self.failed = state["set_in"], state["failed"]

    def _means(self) -> tuple[float, float]:
        count = len(self.seen)
        return sum(chosen for chosen, _ in self.seen) / count, sum(other for _, other in self.seen) / count

    def _doubt(self) -> float:
        """Twice the standard error of the window's mean; nothing is sure of a single step where the start
        itself is a guess.
        """
        n, mean = len(self.seen), self._means()[0]
        if n == 1:
            return 0.0 if self.relative else math.inf
        return 2 * math.sqrt(sum((chosen - mean) ** 2 for chosen, _ in self.seen) / (n - 1) / n)


def likelihood_displacement(h: History) -> Hit | None:
    """The rule of this name. Direct methods count tokens while they train (`Watch`), and their verdict is the
    one; of a run that has none, the log-probabilities of whole completions say it.
    """
    found = h.summary.get("likelihood_displacement")
    if isinstance(found, Mapping) and found.get("verdict") in ("none", "normal", "failure"):
        return _told(h, found)
    if h.stage in ("dpo", "kto", "orpo", "simpo") and h.share < 1:
        return None  # it is being watched
    return _without_tokens(h)


def _told(h: History, found: Mapping[str, Any]) -> Hit | None:
    if found["verdict"] == "none":
        return None
    steps = (int(found.get("step") or 0), int(h.rows[-1]["step"]) if h.rows else 0)
    chosen, rejected = float(found.get("chosen") or 0), float(found.get("rejected") or 0)
    evidence = (
        f"the chosen completions moved by {chosen:+.2f} nats per token and the rejected ones by "
        f"{rejected:+.2f}, since step {steps[0]}"
    )
    return Hit("broken" if found["verdict"] == "failure" else "normal", evidence, steps)


def _without_tokens(h: History) -> Hit | None:
    """The chosen log-probability against where it began: the reference's where the rewards tell it, else the
    first rows'.
    """
    logps, rewards = h.series("logps/chosen"), h.series("rewards/chosen")
    if len(logps) < 8 or not rewards or len(rewards) != len(logps):
        return None
    few = max(4, len(logps) // 5)
    steps = (logps.steps[-few], logps.steps[-1])
    now = mean(logps.values[-few:])
    no_reference = h.stage in ("orpo", "simpo")
    if no_reference or h.setting("loss_type") == "sigmoid_norm":  # rewards tell nothing: the first rows do
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
    fell = f"fell by {fall:.1f} nats from {before:.1f}"
    evidence = f"the log-probability of the chosen completions {fell}, {at(steps)}"
    if margins := h.series("rewards/margins"):
        evidence += f", while the margin is {mean(margins.values[-few:]):+.2f}"
    if part > FAR_PART and fall > FAR_NATS:
        return Hit("broken", evidence, steps)
    if h.share >= 0.5 and part > 0.02:
        return Hit("normal", evidence, steps)
    return None
