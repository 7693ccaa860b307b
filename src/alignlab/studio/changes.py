"""What is another now than when it was looked at last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import schema
from .problems import Refused
from .shelf import Seen, Shelf, status_of
from .watched import Watch

Told = tuple[str, schema.MapEvent | schema.RunEvent | schema.TaskEvent | schema.JobsEvent]
"""A topic, and what is told of it."""
MAP = "map"
JOBS = "jobs"
RUN = "run:"
TASK = "task:"


class Changes:
    """Looks at the folder, at the runs and tasks that somebody follows, and at jobs."""

    def __init__(
        self,
        shelf: Shelf,
        watch: Watch,
        task: Callable[[str], schema.TaskEvent | None] = lambda _: None,
        jobs: Callable[[], Sequence[schema.JobsEvent]] = tuple,
    ) -> None:
        self.shelf, self.watch, self.task, self.jobs = shelf, watch, task, jobs
        self._last: dict[str, Any] = {}

    def now(self, topics: Iterable[str]) -> list[Told]:
        """How each topic is."""
        seen = self.shelf.look()
        return [told for topic in topics for told in self._of(seen, topic)]

    def new(self, topics: Iterable[str], *, fresh: float) -> list[Told]:
        """Those that are another than the last time; the folder is not looked at more often than every
        `fresh` seconds.
        """
        seen = self.shelf.look(fresh=fresh)
        wanted = set(topics)
        self._last = {topic: last for topic, last in self._last.items() if topic in wanted}
        found: list[Told] = []
        for topic in wanted:
            for _, event in self._of(seen, topic):
                last = event if topic != MAP else self._map(seen)
                if topic in self._last and self._last[topic] != last:
                    found.append((topic, event))
                self._last[topic] = last
        return found

    def _of(self, seen: Seen, topic: str) -> list[Told]:
        if topic == MAP:
            return [(topic, schema.MapEvent(runs=len(seen.own)))]
        if topic == JOBS:
            return [(topic, event) for event in self.jobs()]
        if topic.startswith(TASK):
            told = self.task(topic.removeprefix(TASK))
            return [(topic, told)] if told else []
        try:
            head = seen.find(topic.removeprefix(RUN))
        except Refused:
            return []
        watched = self.watch.of(head)
        event = schema.RunEvent(
            id=topic.removeprefix(RUN),
            rows=watched.counts(),
            generation=watched.generation,
            status=status_of(seen, head)[0],
            progress=self.shelf.progress(head),
        )
        return [(topic, event)]

    def _map(self, seen: Seen) -> Any:
        """All that a map shows."""
        runs = [
            (path, head.key, head.status, seen.families[path].stale, self.shelf.progress(head))
            for path, head in seen.heads.items()
        ]
        return runs, seen.plans, list(seen.found.pages)
