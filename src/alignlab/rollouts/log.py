"""What an on-policy loop writes down: seconds, gold beside the proxy, its completions, the tokens of those
that are worth reading, and the curve that its summary gives the ends of.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ..feedback import Judge
from ..records import Completion
from ..run import RunDir
from ..settings import GroupSettings, OnlineDPOSettings, PPOSettings
from .probes import Probes
from .sample import Source
from .tokens import Read, token_row
from .worth_reading import mean, samples_of_step

MOST_KEPT = 200_000_000  # bytes of a run's samples, and of their tokens; then only what is shown, and none
LoggedSettings: TypeAlias = PPOSettings | GroupSettings | OnlineDPOSettings

Curve = list[dict[str, float | None]]
"""Of each step the figures of the summary, None where a step has none."""


class StepLog:
    """The clock of a step and the log of a run: `curve` grows in place, `columns` are names in the summary,
    each with its metric, and `gold` is asked every `gold_every` steps.
    """

    def __init__(
        self,
        run: RunDir,
        source: Source,
        settings: LoggedSettings,
        gold: Judge | None,
        curve: Curve,
        columns: Mapping[str, str],
    ) -> None:
        self.run, self.source, self.settings, self.gold = run, source, settings, gold
        self.curve, self.columns = curve, columns
        self.probes = Probes(run, source, settings, gold)
        self.seconds: dict[str, float] = {}
        self._clock = 0.0

    def begin(self, step: int) -> None:
        """A step begins."""
        self.probes.ask(step)
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
        read: Read | None = None,
    ) -> None:
        """A step's metrics, with seconds and gold; samples, if there are scores to pick them by, and the
        tokens of those that are shown.
        """
        truth = self.gold.score(completions) if self.gold and step % self.settings.gold_every == 0 else []
        row = {**metrics, **self.seconds}
        if self.settings.staleness:
            row["sampling/staleness"] = self.source.staleness
        if truth:
            row["objective/gold"] = mean([score.value for score in truth])
        self.run.log(step, row)
        if proxy:
            self._keep(step, samples_of_step(completions, proxy, kl, truth), completions, read)
        self.curve.append({name: row.get(metric) for name, metric in self.columns.items()})

    def _keep(
        self,
        step: int,
        rows: Sequence[Mapping[str, Any]],
        completions: Sequence[Completion],
        read: Read | None,
    ) -> None:
        shown = [row for row in rows if row["shown"]]
        room = self.settings.keep_samples == "all" and self.run.size_of("samples") < MOST_KEPT
        self.run.log_samples(step, rows if room else shown)
        if self.run.size_of("tokens") < MOST_KEPT:
            tokenizer, places = self.source.policy.tokenizer, [row["place"] for row in shown]
            tokens = [token_row(tokenizer, place, completions[place], read) for place in places]
            self.run.log_samples(step, tokens, into="tokens")

    def ends(self) -> dict[str, float | None]:
        """What the summary says of the first and the last steps, now that all are done."""
        self.probes.ask(self.settings.steps, last=True)
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
