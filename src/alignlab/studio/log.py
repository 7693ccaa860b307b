"""Who changed what, while others of a network may: one JSON line a request, and before anything is changed
one that says so. No token, code, cookie, text or address is in it.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ResourceError
from ..serve.audit import Audit
from . import schema
from .problems import Refused

FILE = "audit.jsonl"
MOST = 2**24  # bytes; the file before it is kept too
STRANGERS = 10  # lines a second for what nobody was let into: a flood of them pushes out no other line
OF_NONE = "-"  # route of what is no row of the table


class Log:
    """Raises ResourceError: the file cannot be opened, or is none of ours."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE
        try:
            if not stat.S_ISREG(os.lstat(self.file).st_mode):
                remedy = "take it away"
                raise ResourceError("the log is no regular file", where=str(self.file), remedy=remedy)
        except FileNotFoundError:
            pass
        self._audit = Audit(self.file, program="alignlab studio", most=MOST)
        self._second, self._strangers, self._left_out = 0, 0, 0

    @property
    def broken(self) -> str:
        """Why no line can be written; empty = they can."""
        return self._audit.broken

    def begin(self, route: str, role: schema.Role, who: str) -> None:
        """Something is about to be changed. Raises Refused: 503, it cannot be written."""
        if self.broken:
            self._audit.try_again()
        if not self.broken:
            self._audit.write({"time": time.time(), "route": route, "role": role, "who": who}, {})
        if self.broken:
            raise Refused(
                503,
                f"not saved: the log cannot be written ({self.broken})",
                remedy="make room on the disk, and send it again",
                code="not_saved",
            )

    def end(self, route: str, role: schema.Role, who: str, *, status: int, ms: float, sent: int) -> None:
        """Something was answered."""
        row = {"time": time.time(), "route": route, "role": role, "who": who, "status": status}
        row |= {"ms": round(ms, 1), "bytes": sent}
        if role == "anyone" and status >= 400:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._strangers = second, 0
            self._strangers += 1
            if self._strangers > STRANGERS:
                self._left_out += 1
                return
            if self._left_out:
                row["left_out"], self._left_out = self._left_out, 0
        self._audit.write(row, {})

    def close(self) -> None:
        self._audit.close()


class Logged:
    """Writes a line for whatever `app` answers to a row of the table, and for what it refuses."""

    def __init__(self, app: ASGIApp, log: Log) -> None:
        self.app, self.log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, status, sent = time.perf_counter(), 0, 0
        who = scope.setdefault("state", {})["asked"] = Asked()

        async def counted(message: Message) -> None:
            nonlocal status, sent
            status = message.get("status", status)
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            if who.route != OF_NONE or status >= 400:
                ms = (time.perf_counter() - begun) * 1000
                self.log.end(who.route, who.role, who.person, status=status, ms=ms, sent=sent)


class Asked:
    """What is known of a request: the row it is for, and who asks."""

    route = OF_NONE
    role: schema.Role = "anyone"
    person = ""
