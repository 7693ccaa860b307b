"""Pages in the folder, the studio itself, and what is told as it happens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .jobs import JobsEvent
from .parts import Id, Key, Part, Status
from .runs import Progress, RowCounts, RunRef


class PageRow(Part):
    """A page that a command wrote into the folder."""

    id: Id
    title: str
    path: str
    run: RunRef | None
    bytes: int
    changed: float


class PageAsked(Part):
    id: Id


class Pages(Part):
    rows: list[PageRow]


class Health(Part):
    """`writable` is null while there is nothing to write."""

    version: str
    boot: str
    seconds: float
    folder: str
    there: bool = Field(description="the folder is there and can be read")
    runs: int
    running: int
    watched: int = Field(description="runs with an index or a stream")
    disk_free: int | None


class MapEvent(Part):
    """A run began, ended, or is another now: ask for the map and the list again."""

    event: Literal["map"] = "map"
    runs: int


class RunEvent(Part):
    """How far a run's files have grown. With another generation, ask for all of it again."""

    event: Literal["run"] = "run"
    id: Id
    generation: int
    status: Status
    rows: RowCounts
    progress: Progress | None


class TaskEvent(Part):
    """Somebody voted on a task, or began or ended to look at it."""

    event: Literal["task"] = "task"
    id: Key
    votes: int
    done: int
    online: int


class Reset(Part):
    """Events were missed: ask for everything again."""

    event: Literal["reset"] = "reset"


class Event(Part):
    """One line of `data:`; the stream's `event:` is its own `event`, its `id:` BOOT.NUMBER."""

    data: MapEvent | RunEvent | TaskEvent | JobsEvent | Reset = Field(discriminator="event")


class EventsAsked(Part):
    topics: str = Field(
        "map", max_length=400, description="map, jobs, run:ID, task:ID; comma separated, 20 at most"
    )
