"""What people are asked, and by whom it is led: tasks, their items, what goes in and out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .parts import Cursor, Id, Key, Limit, Part
from .samples import Said

Mode = Literal["pair", "ranking", "rating", "edit", "harm"]
State = Literal["open", "closed"]
Source = Literal["rankings", "eval", "steps"]
Merge = Literal["none", "soft", "majority"]
Ending = Literal["jsonl", "json", "csv", "parquet"]
Share = Annotated[float, Field(ge=0, le=1)]
Group = Annotated[str, Field(max_length=64)]
Guideline = Annotated[str, Field(max_length=20_000)]


class TaskMade(Part):
    """A new task; its guideline, if it has one, becomes version 1."""

    name: str = Field(min_length=1, max_length=64)
    mode: Mode
    question: str = Field("Which answer would you rather get?", min_length=1, max_length=500)
    overlap: int = Field(1, ge=1, le=50, description="votes that each item needs")
    calibration: int = Field(0, ge=0, le=200, description="so many items, the first, are asked of everybody")
    gold_share: Share = 0.0
    repeat_share: Share = 0.0
    random_share: Share = 0.3
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.15
    seed: int = Field(0, ge=0, lt=2**31)
    guideline: Guideline = ""


class TaskRow(Part):
    """A task in a list. `done` items have all the votes they need, `left` votes are still needed; `online`
    people look at one now.
    """

    id: Key
    name: str
    mode: Mode
    state: State
    question: str
    overlap: int
    items: int
    done: int
    votes: int
    left: int
    people: int
    online: int


class Tasks(Part):
    rows: list[TaskRow]
    there: bool = Field(description="the folder has a store of votes")


class GuidelineRow(Part):
    version: int
    text: str
    digest: str


class PersonRow(Part):
    """Somebody who votes: `called` where names are hidden; the name is for whoever leads the task alone."""

    id: str
    called: str
    name: str
    groups: list[str]


class Task(TaskRow):
    """One task, whole."""

    calibration: int
    gold_share: float
    repeat_share: float
    random_share: float
    held_out: float
    seed: int
    guidelines: list[GuidelineRow]
    persons: list[PersonRow]
    kinds: list[str] = Field(description="of questions: slices that figures can be asked for")


class TaskAsked(Part):
    id: Key


class TaskChanged(TaskAsked):
    """What is to be another; what is null stays."""

    state: State | None = None
    guideline: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None
    groups: dict[Annotated[str, Field(max_length=200)], list[Group]] | None = Field(
        None, description="of people, by their id"
    )


class Sourced(Part):
    """Where items come from. rankings: of a run of collect. eval: the same prompts answered by two runs or
    more. steps: probes (else samples) of one run at steps `a` and `b`.
    """

    source: Source
    runs: list[Id] = Field(min_length=1, max_length=6)
    a: int | None = Field(None, ge=0)
    b: int | None = Field(None, ge=0)


class ItemsAsked(TaskAsked, Sourced):
    count: int = Field(200, ge=1, le=5000)
    gold: bool = Field(False, description="the ranks are the truth: only of rankings")


class FirstAsked(Sourced):
    """`mode` as of a task."""

    mode: Mode


class First(Part):
    """The first item that there would be, and how many there are."""

    prompt: list[Said]
    texts: list[str]
    count: int


class Leak(Part):
    """An answer that says who wrote it."""

    item: Key
    place: int
    word: str


class ItemsAdded(Part):
    added: int
    left_out: dict[str, int]
    leaks: list[Leak]


class ItemsListed(TaskAsked):
    why: Literal["", "random", "calibration", "gold", "repeat", "uncertain", "disputed", "power"] = ""
    cursor: Cursor = ""
    limit: Limit = 50


class ItemRow(Part):
    """`leaks` are words of its answers that say who wrote them; `flags` how often people set which."""

    id: Key
    place: int
    prompt: list[Said]
    texts: list[str]
    cut: bool
    why: str
    side: Literal["train", "test"]
    got: int
    needed: int = Field(description="0 = as many as there are people")
    priority: int
    flags: dict[str, int]
    leaks: list[str]


class Items(Part):
    rows: list[ItemRow]
    next: str | None
    total: int
    of: int
    ready: bool


class Decided(TaskAsked):
    """What whoever leads the task decides of an item: ranks of its answers in their order, 1 is best."""

    item: Key
    ranks: list[Annotated[int, Field(ge=1, le=9)]] = Field(min_length=1, max_length=9)
    note: str = Field("", max_length=2000)


class SelectAsked(TaskAsked):
    """`judge` is a run in which a reward model scored these answers, or that reward model's own."""

    how: Literal["uncertain", "disputed", "power"]
    count: int = Field(20, ge=1, le=1000)
    judge: Id | None = None


class Changed(Part):
    changed: int
    left_out: dict[str, int]


class SnapshotAsked(TaskAsked):
    merge: Merge = "none"
    group: Group = ""
    seed: int = Field(0, ge=0, lt=2**31)


class Snapshot(Part):
    """A run of `collect --kind votes`. `commands` go on from it."""

    run: Id
    path: str
    said: str
    sha256: str = Field(description="of its rankings to learn from")
    head: str
    commands: list[str]


class ExportAsked(TaskAsked):
    format: Annotated[str, Field(max_length=40)] = "records"
    ending: Ending = "jsonl"
    merge: Merge = "none"
    group: Group = ""
    part: Literal["file", "card"] = "file"


class ImportAsked(TaskAsked):
    """The body is the file."""

    ending: Ending
    votes: bool = Field(False, description="the rankings are votes of the people that the file names")
    gold: bool = Field(False, description="the rankings are the truth")


class Imported(Part):
    """What became of a file; `said` is what became of its rows."""

    items: int
    votes: int
    left_out: dict[str, int]
    leaks: list[Leak]
    said: str


class Backup(Part):
    """A whole copy of the store, below the folder."""

    file: str
    sha256: str
    events: int
    head: str


class Audit(Part):
    """Whether the history is whole, and the votes are what it says."""

    events: int
    votes: int
    erased: int
    head: str
    whole: bool
    first_bad: int | None
    what: str
