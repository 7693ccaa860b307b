"""What has grown, told as it grows: one look at the folder for all who listen, a ring of what was told for
those who come back. An event says how far a file has come; the file is the truth.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import count
from typing import Protocol

from . import schema
from .changes import JOBS, MAP, Told
from .problems import Refused

EVERY = 0.25  # seconds between two looks at the runs that are followed
SCAN = 2.0  # and at the folder
SILENCE = 15.0  # seconds after which a comment says that the stream lives
RING = 4096  # events that are kept for those who come back
MOST_STREAMS = 64
MOST_WAITING = 1000  # events that a listener has not taken


class Source(Protocol):
    """Where events come from (`changes.Changes`)."""

    def now(self, topics: Iterable[str]) -> list[Told]: ...
    def new(self, topics: Iterable[str], *, fresh: float) -> list[Told]: ...


class Listener:
    """One stream: its topics, and what it has not taken yet; None = the stream ends."""

    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self.waiting = asyncio.Queue[bytes | None](MOST_WAITING)
        self.missed = False

    def tell(self, line: bytes | None) -> None:
        try:
            self.waiting.put_nowait(line)
        except asyncio.QueueFull:
            self.missed = True


class Hub:
    """All streams. Its methods are for the event loop's own thread."""

    def __init__(self, boot: str, source: Source, every: float = EVERY) -> None:
        self.boot, self.source, self.every = boot, source, every
        self._numbers, self._number = count(1), 0
        self._ring = deque[tuple[int, str, bytes]](maxlen=RING)
        self._listeners: set[Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    def close(self) -> None:
        """All streams end, and no other begins."""
        self._closed = True
        for listener in self._listeners:
            listener.tell(None)
        if self._looking:
            self._looking.cancel()

    async def stream(self, topics: frozenset[str], last: str) -> AsyncIterator[bytes]:
        """Lines of a stream: what was missed since the event `last`, or how it is; then what is new."""
        if self._closed or len(self._listeners) >= MOST_STREAMS:
            raise Refused(503, f"{MOST_STREAMS} streams are open", retry_after=5)
        listener = Listener(topics)
        self._listeners.add(listener)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return self._lines(listener, last)

    async def _lines(self, listener: Listener, last: str) -> AsyncIterator[bytes]:
        try:
            yield b"retry: 1000\n\n"
            for line in self._missed(listener.topics, last):
                yield line
            for topic, event in await asyncio.to_thread(self.source.now, sorted(listener.topics)):
                if topic != "map":
                    yield self._line(event)
            while True:
                try:
                    line = await asyncio.wait_for(listener.waiting.get(), SILENCE)
                except TimeoutError:
                    yield b":\n\n"
                    continue
                if line is None:
                    return
                if listener.missed:
                    listener.missed = False
                    yield self._line(schema.Reset())
                yield line
        finally:
            self._listeners.discard(listener)

    def _missed(self, topics: frozenset[str], last: str) -> list[bytes]:
        """What was told since that event; a reset where that is not known any more."""
        if not last:
            return []
        boot, _, number = last.partition(".")
        known = boot == self.boot and number.isascii() and number.isdigit() and len(number) < 15
        if not known or int(number) > self._number:
            return [self._line(schema.Reset())]
        first = self._ring[0][0] if self._ring else self._number + 1
        if int(number) + 1 < first:
            return [self._line(schema.Reset())]
        return [line for at, topic, line in self._ring if at > int(number) and topic in topics]

    async def _look(self) -> None:
        """Until nobody listens."""
        while self._listeners and not self._closed:
            topics = {topic for listener in self._listeners for topic in listener.topics}
            for topic, event in await asyncio.to_thread(self.source.new, topics, fresh=SCAN):
                self._number = next(self._numbers)
                line = self._line(event)
                self._ring.append((self._number, topic, line))
                for listener in self._listeners:
                    if topic in listener.topics:
                        listener.tell(line)
            await asyncio.sleep(self.every)

    def _line(
        self, event: schema.MapEvent | schema.RunEvent | schema.TaskEvent | schema.JobsEvent | schema.Reset
    ) -> bytes:
        data = event.model_dump_json()
        return f"event: {event.event}\nid: {self.boot}.{self._number}\ndata: {data}\n\n".encode()


def topics_of(
    text: str, find: Callable[[str], object], task: Callable[[str], object] = lambda _: None
) -> frozenset[str]:
    """The topics that are named. Raises Refused: 422 one that is none, 404 a run or a task that is not
    there.
    """
    topics = frozenset(filter(None, text.split(",")))
    wrong = Refused(422, "topics are map, jobs, run:ID and task:ID, 1 to 20 of them", field="topics")
    if not topics or len(topics) > 20:
        raise wrong
    for topic in topics:
        kind, _, id = topic.partition(":")
        if kind == "run":
            find(id)
        elif kind == "task":
            if task(id) is None:
                raise Refused(404, "there is no such task")
        elif topic not in (MAP, JOBS):
            raise wrong
    return topics
