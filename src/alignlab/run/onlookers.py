"""Who sees each row of metrics while a run works: the rules of health, and trackers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from ..health.rules import Finding, Watch
from .trackers import Tracker

NO_GAIN: ContextVar[str] = ContextVar("NO_GAIN", default="")
"""Why no progress is expected of the runs that this process makes; "" = it is."""
GAINS = frozenset(
    ("dead-groups", "loss-not-falling", "preferences-not-learnt", "reward-flat", "reward-model-at-chance")
)
"""Rules that miss progress."""


def alarm(finding: Finding) -> str:
    """What is said of something broken; where no progress is expected and none was made, that it is meant."""
    if (why := NO_GAIN.get()) and finding.name in GAINS:
        return f"as is meant ({finding.name}): {finding.evidence}. This is {why}"
    return str(finding)


class Onlookers:
    """The rules of one run and its trackers."""

    def __init__(self, watch: Watch, trackers: Sequence[Tracker]) -> None:
        self.watch, self.trackers = watch, trackers

    def see(self, row: Mapping[str, Any]) -> Iterable[Finding]:
        """What the rules find in a row, which the trackers get too."""
        metrics = {name: value for name, value in row.items() if name != "step"}
        for tracker in self.trackers:
            tracker.log(row["step"], metrics)
        return self.watch.see(row)

    def finish(self, summary: Mapping[str, Any]) -> Iterable[Finding]:
        """What the rules find in the whole; the trackers are closed."""
        self.close()
        return self.watch.finish(summary)

    def close(self) -> None:
        for tracker in self.trackers:
            tracker.close()
