"""Jobs: commands of a closed list that the studio starts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .parts import Id, Part
from .runs import Progress, RunRow

JobState = Literal["waiting", "running", "done", "failed", "stopped", "late"]
"""stopped: somebody asked, or its process was killed; late: its time was over. What it made can go on."""


class JobAsked(Part):
    """`fields` are those that the kind names; models, runs and tasks are ids."""

    kind: str = Field(max_length=40)
    fields: dict[str, Any] = {}


class JobCommand(Part):
    """What a terminal would be given, a line a command."""

    commands: list[str]
    seconds: int = Field(description="after which it would be stopped")


class Job(Part):
    """`runs` are those that it made so far; `progress` of the one that it is at."""

    id: Id
    kind: str
    name: str
    fields: dict[str, Any]
    state: JobState
    why: str = Field(description="of a job that did not end well; else empty")
    commands: list[str]
    limit: int = Field(description="seconds after which it is stopped")
    made: float
    started: float | None
    seconds: float | None = Field(description="that it took, or has taken so far")
    exit: int | None
    said: str = Field(description="the end of what its commands said")
    progress: Progress | None
    runs: list[RunRow]


class JobKind(Part):
    """`fields` in JSON Schema; `of` in one names the stages of the runs that it may be an id of."""

    name: str
    says: str
    seconds: int
    fields: dict[str, Any]
    required: list[str]


class Jobs(Part):
    """The newest first. Where `on` is false nothing is started, and commands are shown to be copied."""

    on: bool
    kinds: list[JobKind]
    rows: list[Job]


class JobStopped(Part):
    id: Id


class JobsEvent(Part):
    """A job began, went on or ended: ask for the list."""

    event: Literal["jobs"] = "jobs"
    running: str | None = Field(description="its name")
    waiting: int
    progress: Progress | None
