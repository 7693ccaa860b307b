"""Lists in pages that do not shift: a cursor says of which generation the list is, how much there was of it
at its first page, and where it goes on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from .problems import Refused

T = TypeVar("T")
ANEW = "ask for the first page again"


@dataclass(frozen=True)
class Cursor:
    """`count` of 0: as many as there are."""

    generation: int = 0
    count: int = 0
    after: int = 0

    def __str__(self) -> str:
        return f"{self.generation}.{self.count}.{self.after}"


def read(cursor: str, generation: int) -> Cursor:
    """A cursor that a page gave; the beginning for none. Raises Refused: 400 no cursor of ours, 409 one of
    another generation.
    """
    if not cursor:
        return Cursor(generation)
    if not re.fullmatch(r"\d{1,15}\.\d{1,15}\.\d{1,15}", cursor, re.ASCII):
        raise Refused(400, "this is no cursor", remedy=ANEW, field="cursor")
    found = Cursor(*map(int, cursor.split(".")))
    if found.generation != generation:
        raise Refused(409, "the list was made anew since its first page", remedy=ANEW, field="cursor")
    return found


def page(matching: Sequence[T], limit: int, at: Cursor) -> tuple[Sequence[T], str | None]:
    """Those of one page, and the cursor of the next, if there is one."""
    end = at.after + limit
    going_on = end < len(matching)
    return matching[at.after : end], str(Cursor(at.generation, at.count, end)) if going_on else None
