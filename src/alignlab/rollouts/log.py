"""What an on-policy loop writes down: seconds, gold beside the proxy, samples worth reading, and the curve
that its summary gives the ends of.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from ..feedback import Judge
from ..records import Completion
from ..run import RunDir
from .worth_reading import mean, samples_of_step

Curve = list[dict[str, float | None]]
"""Of each step the figures of the summary, None where a step has none."""


class StepLog:
    """The clock of a step and the log of a run: `curve` grows in place, `columns` are names in the summary,
    each with its metric, and `gold` is asked every `gold_every` steps.
    """

    def __init__(
        self, run: RunDir, gold: Judge | None, gold_every: int, curve: Curve, columns: Mapping[str, str]
    ) -> None:
        self.run, self.gold, self.gold_every, self.curve, self.columns = run, gold, gold_every, curve, columns
        self.seconds: dict[str, float] = {}
        self._clock = 0.0

    def begin(self) -> None:
        """A step begins."""
        self.seconds, self._clock = {}, time.perf_counter()

    def lap(self, part: str) -> None:
        """A part of the step is over: `time/PART`."""
        now = time.perf_counter()
        self.seconds[f"time/{part}"], self._clock = now - self._clock, now

    def write(
        self,
        step: int,
        metrics: Mapping[str, float],
        completions: Sequence[Completion],
        proxy: Sequence[float],
        kl: Sequence[float] | None = None,
    ) -> None:
        """A step's metrics, with seconds and gold; samples, if there are scores to pick them by."""
        truth = self.gold.score(completions) if self.gold and step % self.gold_every == 0 else []
        row = {**metrics, **self.seconds}
        if truth:
            row["objective/gold"] = mean([score.value for score in truth])
        self.run.log(step, row)
        if proxy:
            self.run.log_samples(step, samples_of_step(completions, proxy, kl, truth))
        self.curve.append({name: row.get(metric) for name, metric in self.columns.items()})

    def ends(self) -> dict[str, float | None]:
        return first_and_last(self.curve, *self.columns)


def first_and_last(curve: Curve, *names: str) -> dict[str, float | None]:
    """For each name `NAME_first` and `NAME_last`: its means over the first and the last tenth of the steps
    that have it.
    """
    ends: dict[str, float | None] = {}
    for name in names:
        values = [value for row in curve if (value := row[name]) is not None]
        few = max(1, len(values) // 10)
        ends[f"{name}_first"] = mean(values[:few]) if values else None
        ends[f"{name}_last"] = mean(values[-few:]) if values else None
    return ends
