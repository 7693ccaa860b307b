"""What a request waits for while the engine's thread writes its completions."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from .writing import Piece


class Gone(Exception):
    """The client went away."""


@dataclass
class Mailbox:
    """What a request waits for: pieces from the engine's thread, its end, or the client leaving; one event
    for all of them.
    """

    loop: asyncio.AbstractEventLoop
    event: asyncio.Event = field(default_factory=asyncio.Event)
    pieces: dict[int, Piece] = field(
        default_factory=dict
    )  # one for each completion: what a slow reader has not taken grows by its letters alone
    over: bool = False
    gone: bool = False

    def tell(self, pieces: list[Piece], over: bool) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(self._take, pieces, over)

    def _take(self, pieces: list[Piece], over: bool) -> None:
        for writing, text, reason in pieces:
            if before := self.pieces.get(id(writing)):
                text = before[1] + text
            self.pieces[id(writing)] = (writing, text, reason)
        self.over = self.over or over
        self.event.set()

    def leave(self) -> None:
        self.gone = True
        self.event.set()

    async def next(self) -> list[Piece]:
        """What came since; may be nothing. Raises Gone."""
        await self.event.wait()
        self.event.clear()
        if self.gone:
            raise Gone
        pieces, self.pieces = self.pieces, {}
        return list(pieces.values())
