"""What the rules read, a run's `History`, and what a rule says of it, a `Hit`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean as mean
from typing import Any, Literal

Row = Mapping[str, Any]
Verdict = Literal["normal", "broken"]

# metrics by what they measure: PPO's name, then that of the other methods
SCORES = ("objective/scores", "reward")
SPREAD = ("objective/scores_std", "reward_std")
KL = ("objective/kl", "kl")
K3 = ("objective/kl_k3", "kl_k3")
ENTROPY = ("policy/entropy_avg", "entropy")
LENGTH = ("completions/mean_length",)
GRADIENT = ("policy/grad_norm", "grad_norm")
FEWEST = 5
"""Of so many a rate is stated: of fewer its interval is nearly everything there is."""


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
        """A figure of the general questions and the plain text (`evals.general`), before and after it."""
        found = self.summary.get("general")
        before = after = None
        if isinstance(found, Mapping):
            before, after = ((found.get(when) or {}).get(name) for when in ("before", "after"))
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


def deviation(values: Sequence[float]) -> float:
    """Standard deviation, 0 for fewer than two."""
    if len(values) < 2:
        return 0.0
    middle = mean(values)
    return math.sqrt(sum((v - middle) ** 2 for v in values) / (len(values) - 1))


def error(values: Sequence[float]) -> float:
    """Standard error of the mean."""
    return deviation(values) / math.sqrt(len(values))


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
