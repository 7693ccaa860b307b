"""An answer's way to the client: as one document, or as a stream of events that ends in [DONE]."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.types import Send

from .documents import Choice, document, opening
from .engine import Engine
from .protocol import Ask
from .refusal import Refusal


class Reply:
    """What is sent for one request.

    Attributes:
        headers: of the answer, whichever it is. begun: a stream's status is sent and cannot be taken back.
    """

    def __init__(self, id: str, created: int) -> None:
        self.id, self.created = id, created
        self.headers = {"x-request-id": id}
        self.begun = False
        self.send: Send

    def document(
        self,
        ask: Ask,
        choices: Sequence[Choice],
        counted: Mapping[str, int] | None = None,
        *,
        chunk: bool = False,
    ) -> dict[str, Any]:
        return document(ask, choices, id=self.id, created=self.created, counted=counted, chunk=chunk)

    async def open(self, ask: Ask, engine: Engine) -> None:
        """The head of a stream, and what comes before the first token of each completion."""
        self.begun = True
        await self._start(
            200,
            {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store", **self.headers},
        )
        for i in range(len(ask.prompts) * ask.n):
            if ask.chat:
                await self._event(opening(ask, i, id=self.id, created=self.created))
            if ask.echo:
                await self.piece(ask, Choice(i, engine.spelling.echo(ask.prompts[i // ask.n]), None))

    async def piece(self, ask: Ask, choice: Choice) -> None:
        """More of one completion of a stream."""
        await self._event(self.document(ask, [choice], chunk=True))

    async def end(self, ask: Ask, counted: Mapping[str, int]) -> None:
        """The end of a stream."""
        if ask.usage_in_stream:
            await self._event(self.document(ask, [], counted, chunk=True))
        await self._body(b"data: [DONE]\n\n")

    async def refuse(self, refusal: Refusal) -> None:
        if self.begun:  # the status is sent already: the stream says what happened, and ends
            await self._event(refusal.to_json())
            await self._body(b"")
            return
        if refusal.retry_after:
            self.headers["retry-after"] = str(refusal.retry_after)
        await self.whole(refusal.status, as_json(refusal.to_json()))

    async def whole(self, status: int, body: bytes) -> None:
        """An answer in one piece."""
        await self._start(
            status, {"content-type": "application/json", "content-length": str(len(body)), **self.headers}
        )
        await self._body(body)

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})

    async def _event(self, row: Mapping[str, Any]) -> None:
        await self._body(b"data: " + as_json(row) + b"\n\n", more=True)

    async def _body(self, body: bytes, *, more: bool = False) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": more})


def as_json(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
