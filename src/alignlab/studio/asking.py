"""Asks the process of a model, over HTTP on the loopback: hanging up ends what it is writing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from .child import NAME
from .speakers import HOST, Address

LONGEST = 2**22  # bytes of a line of a stream
MOST = 2**25  # bytes of an answer that comes whole
DONE = "[DONE]"


class Said(Exception):
    """What a model's process says in the place of an answer; status 0: it went away."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


async def pieces(address: Address, path: str, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    """The events of an answer that is streamed. Raises Said."""
    async with _answer(address, path, {**body, "stream": True}) as reader:
        ended = False
        async for line in reader:
            data = line.decode("utf-8", "replace").removeprefix("data: ").strip()
            if data == DONE:
                ended = True
            elif data:
                row = json.loads(data)
                if "error" in row:
                    raise _said(500, row)
                yield row
        if not ended:
            raise Said(0, "its process ended in the middle of the answer")


async def whole(address: Address, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """An answer in one piece. Raises Said."""
    async with _answer(address, path, body) as reader:
        return json.loads(await _rest(reader))


@asynccontextmanager
async def _answer(
    address: Address, path: str, body: Mapping[str, Any]
) -> AsyncIterator[asyncio.StreamReader]:
    """The body of an answer. HTTP/1.0, whose bodies end with the connection: nothing is in chunks."""
    data = json.dumps({"model": NAME, **body}).encode()
    head = (
        f"POST {path} HTTP/1.0\r\nHost: {HOST}:{address.port}\r\nAuthorization: Bearer {address.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    writer = None
    try:
        reader, writer = await asyncio.open_connection(HOST, address.port, limit=LONGEST)
        writer.write(head.encode() + data)
        status = int((await reader.readline()).split()[1])
        while (await reader.readline()).strip():
            pass
        if status != 200:
            raise _said(status, json.loads(await _rest(reader)))
        yield reader
    except (OSError, IndexError, ValueError, asyncio.IncompleteReadError):
        raise Said(0, "its process ended in the middle of the answer") from None
    finally:
        if writer is not None:
            writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while part := await reader.read(2**16):
        body += part
        if len(body) > MOST:
            raise Said(500, f"its answer has more than {MOST:,} bytes")
    return body


def _said(status: int, row: Any) -> Said:
    error = row.get("error") if isinstance(row, dict) else None
    told = error if isinstance(error, dict) else {}
    return Said(status, str(told.get("message", "it gave no reason"))[:1000], str(told.get("code") or ""))
