"""uvicorn's connection with the bounds it lacks: how long a request's head may take, how long an answer may
lie there untaken, how many there may be.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_SECONDS = (
    20.0  # from the end of an answer, or from connecting, to the last byte of the next request's head
)
TAKE_SECONDS = 30.0  # in which a client must take some of an answer that waits for it
TICK = 1.0  # seconds between two looks at a connection


class Connection(H11Protocol):
    """A connection that is cut when its client keeps it and does nothing: sends no request, or half of one,
    or takes nothing of its answer.

    A body that does not come is the application's to end (408), as long as it waits for it.

    Attributes:
        most: connections there may be; one more and the one that has been idle for longest is closed.
    """

    most = 512

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._seen: RequestResponseCycle | None = None
        self._since = self._moved = self.loop.time()
        self._left = 0
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(TICK, self._look)
        if len(self.connections) > self.most:
            idle = [other for other in self.connections if isinstance(other, Connection) and other.idle]
            longest = min(idle, key=lambda other: other._since)  # the newcomer itself, where no other is idle
            self.connections.discard(longest)
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    @property
    def idle(self) -> bool:
        """Whether it is the client's turn: nothing of his is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _look(self) -> None:
        """Cut the connection, or look again a moment later."""
        now, left = self.loop.time(), self.transport.get_write_buffer_size()
        if not self.idle or self.cycle is not self._seen:
            self._seen, self._since = self.cycle, now
        if not (
            left and left >= self._left and (self.idle or self.flow.write_paused)
        ):  # while more is written to it, it may grow
            self._moved = now
        self._left = left
        if (self.idle and not left and now - self._since > HEAD_SECONDS) or now - self._moved > TAKE_SECONDS:
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(TICK, self._look)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP ends the connection, also in the middle of a request that is being answered: its
        answer goes nowhere.
        """
        if not self.idle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        with suppress(h11.LocalProtocolError):  # part of an answer was sent already
            return super().send_400_response(msg)
        self.transport.abort()
