"""What every shape is made of: ids, cursors, limits, and the error that stands in the place of an answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_ROWS = 200  # of one page of a list
MOST_POINTS = 5000  # of one curve
MOST_COMPARED = 6  # runs side by side
CUT = 4000  # characters of a text in a list

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$", description="opaque; from a list")]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$", description="opaque; of the store of votes")]
Cursor = Annotated[
    str, Field(max_length=200, description="`next` of the page before; empty = the first page")
]
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS)]
Status = Literal["waiting", "running", "stopped", "done", "failed", "broken"]
"""waiting: planned, nothing there; running: a process is at it; stopped: unfinished, the same command goes
on; failed: its pipeline says so; broken: its folder cannot be read."""

Role = Literal["anyone", "annotator", "instructor"]
"""Who may ask: an instructor may ask what an annotator may, and everybody what anyone may."""


class Part(BaseModel):
    """Part of an answer, or of what is asked: no other fields than these."""

    model_config = ConfigDict(extra="forbid")


class ErrorBody(Part):
    """What is wrong, where it was seen, and what mends it; `field` of what was asked, where it is one; `now`
    of a text that was changed meanwhile what it is now.
    """

    code: str
    what: str
    where: str
    remedy: str
    field: str | None
    now: str | None = None


class Problem(Part):
    error: ErrorBody
