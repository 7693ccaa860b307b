"""The lesson that is held over a store: its code, its task and its end. It outlives the process that holds
it, so that a laptop that was closed goes on where it was.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from sqlalchemy import Connection, select

from .errors import Refused
from .people import new_code
from .schema import meta
from .tasks import set_state, task_of
from .writer import Transaction

KEY = "lesson"
MOST_MINUTES = 12 * 60


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson.

    Attributes:
        code: by which people join; empty = it is closed.
        task: the id of what is voted on; empty = nothing yet.
        until: microseconds since 1970, when it closes by itself; 0 = it does not.
    """

    code: str = ""
    task: str = ""
    until: int = 0

    def is_over(self, now: int) -> bool:
        """Whether it is open and should not be any more."""
        return bool(self.code) and 0 < self.until <= now


def lesson_of(connection: Connection) -> Lesson:
    """The lesson of a store; a closed one where there was none."""
    value = connection.execute(select(meta.c.value).where(meta.c.key == KEY)).scalar()
    return Lesson(**json.loads(value)) if value else Lesson()


def hold(
    transaction: Transaction,
    *,
    open: bool | None = None,
    task: str | None = None,
    new: bool = False,
    minutes: int | None = None,
) -> Lesson:
    """Open or close the lesson, or change what it is about; None = as it is.

    Its task is open while it is, and closed with it: nobody is asked further, and votes on what somebody was
    looking at are still taken. A lesson that is opened has a code of its own.

    Args:
        task: its id; empty = none.
        new: another code, by which alone people join from now on.
        minutes: from now on; 0 = without end.

    Raises:
        Refused: not_found (no such task); invalid; stale: another code or other minutes for a closed lesson.
    """
    before = lesson_of(transaction.connection)
    opened = bool(before.code) if open is None else open
    if not opened and (new or minutes):
        raise Refused("stale", "the class is closed", remedy="open it")
    if minutes is not None and not 0 <= minutes <= MOST_MINUTES:
        raise Refused("invalid", f"a class lasts 1 to {MOST_MINUTES} minutes, or 0 for no end")
    now = before if task is None else replace(before, task=task)
    if not opened:
        now = replace(now, code="", until=0)
    elif new or not before.code:
        now = replace(now, code=new_code())
    if opened and minutes is not None:
        now = replace(now, until=transaction.now + minutes * 60_000_000 if minutes else 0)
    if before.code and before.task and (not opened or before.task != now.task):
        _set_state(transaction, before.task, "closed")
    if opened and now.task:
        _set_state(transaction, now.task, "open")
    row = {"key": KEY, "value": json.dumps(asdict(now))}
    transaction.execute(meta.delete().where(meta.c.key == KEY))
    transaction.execute(meta.insert().values(row))
    return now


def _set_state(transaction: Transaction, task: str, wanted: Literal["open", "closed"]) -> None:
    if task_of(transaction.connection, task)[1] != wanted:
        set_state(transaction, task, wanted)
