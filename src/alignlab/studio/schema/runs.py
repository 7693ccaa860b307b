"""Runs and the map of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .parts import Cursor, Id, Limit, Part, Status


class Progress(Part):
    done: int
    total: int
    seconds_left: float | None


class Figure(Part):
    """A figure of a summary: its mean, its interval where it has one, and how many values are behind it."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


class RowCounts(Part):
    """Whole lines of each file that grows; one that is not there has 0."""

    metrics: int = 0
    samples: int = 0
    health: int = 0
    tokens: int = 0
    probes: int = 0


class RunRow(Part):
    """A run in a list.

    `stale`: a parent was made anew since. `generation` grows whenever a file of the run became shorter or
    another: what was read before it may be gone.
    """

    id: Id
    name: str
    group: str
    recorded: bool = Field(description="it came with the package, and lies in no folder of the user's")
    stage: str
    status: Status
    seed: int | None
    started: float | None
    seconds: float | None
    progress: Progress | None
    figures: list[Figure]
    stale: bool
    generation: int
    problem: str = Field(description="why it is failed or broken; else empty")


class Runs(Part):
    """`total` match, `of` are there. Runs that begin later never shift a page."""

    rows: list[RunRow]
    next: str | None
    total: int
    of: int
    ready: bool


class RunsAsked(Part):
    q: str = Field("", max_length=200, description="in the name, whatever its case")
    stage: str = Field("", max_length=100)
    status: Status | Literal[""] = ""
    group: str | None = Field(None, max_length=1000)
    cursor: Cursor = ""
    limit: Limit = 50


class RunRef(Part):
    """Another run that this one was made from, or that was made from it; no id where it is not in the
    folder."""

    id: Id | None
    name: str
    stage: str


class Remark(Part):
    """What a rule of `alignlab.health` says of the metrics, from the first of these steps to the second."""

    name: str
    verdict: Literal["normal", "broken"]
    evidence: str
    steps: tuple[int, int]
    why: str
    cause: str
    turn: str


Kept = Literal["all", "few", "none"]


class Missing(Part):
    """A panel without data, and the setting that would have kept it."""

    panel: Literal["metrics", "samples", "tokens", "probes", "gold"]
    setting: str


class Run(RunRow):
    """One run, whole.

    `kept`: which rollouts are in its samples: all, all up to a step (`kept_until`), a few a step, or none.
    `missing`: panels without data, each with the setting that would have kept it.
    """

    path: str
    key: str
    commit: str
    command: str = Field(description="to copy; empty where it is not known")
    config: dict[str, Any]
    summary: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    data: dict[str, str]
    health: list[Remark]
    parents: list[RunRef]
    children: list[RunRef]
    keys: list[str] = Field(description="metrics that it has, in order")
    rows: RowCounts
    kept: Kept
    kept_until: int | None
    missing: list[Missing]


class RunAsked(Part):
    id: Id


class Node(Part):
    id: Id
    name: str
    stage: str
    status: Status
    progress: Progress | None
    figure: Figure | None
    stale: bool
    generation: int


class Edge(Part):
    parent: Id
    child: Id


class Group(Part):
    """Runs of one folder, as a pipeline makes them; `name` is its path below the studio's folder."""

    name: str
    runs: int
    running: int
    started: float | None
    planned: bool = Field(description="its pipeline wrote which stages are to come")
    recorded: bool = Field(description="the run that came with the package")


class Map(Part):
    """The runs of one group with what they are made from; `groups` are all there are, newest first."""

    group: str
    groups: list[Group]
    nodes: list[Node]
    edges: list[Edge]


class MapAsked(Part):
    group: str | None = Field(
        None, max_length=1000, description="none = the newest; .recorded = the recorded run"
    )
