"""What an annotator is shown, and what they say: tasks, items, votes, and what is kept of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .parts import Key, Part, Role
from .samples import Said

MOST_HELD = 200  # leases that a page names at once
MOST_VOTES = 20  # of one request
MOST_ITEMS = 3  # that a page has at once

Mode = Literal["pair", "ranking", "rating", "edit", "harm"]


class MyTask(Part):
    """A task as it is for whoever asks.

    `left`: votes that it still needs, of anybody. `mine`: votes of theirs that count. `ahead`: items that
    they may still be asked. `read`: the version of the guideline that was read for their newest vote.
    """

    id: Key
    name: str
    mode: Mode
    question: str
    state: Literal["open", "closed"]
    left: int
    mine: int
    ahead: int
    guideline: int = Field(description="the newest version; 0 without any")
    read: int


class Myself(Part):
    """Whoever asks. `outbox` says whose a vote is that a page has kept: another person, or another store,
    has another. `name` is empty for an instructor.
    """

    id: str
    name: str
    role: Role
    outbox: str
    tasks: list[MyTask]


class Erased(Part):
    """How many events were emptied."""

    erased: int


class MyEvent(Part):
    """Something that somebody did, as it is kept; `at` in microseconds since 1970."""

    seq: int
    id: str
    at: int
    kind: str
    task: str
    item: str
    said: Any


class MyData(Part):
    """All that is kept of somebody."""

    id: str
    name: str
    groups: list[str]
    joined: int
    events: list[MyEvent]


class Habit(Part):
    """A mean over items with its interval, at 95 %; null where there is none."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


class MirrorAsked(Part):
    task: Key


class Mirror(Part):
    """What somebody's votes say of them. `n` votes that count.

    `left`: share of decided pairs that went to the answer that is seen first. `length`: 1 where the longer
    answer won, -1 where the shorter did. `repeats`: share of pairs that were decided alike when they came
    again. `gold`: of items whose truth is known, share of pairs that agree with it. `seconds` of each vote.
    """

    n: int
    left: Habit
    length: Habit
    repeats: Habit
    gold: Habit
    seconds: list[float]


class NextAsked(Part):
    """`held`: leases that the page has, those of votes that are still to be sent among them."""

    id: Key
    want: int = Field(default=1, ge=1, le=MOST_ITEMS)
    held: list[Key] = Field(default=[], max_length=MOST_HELD)


class Item(Part):
    """An item, its answers in the order in which this person sees them."""

    lease: Key
    mode: Mode
    prompt: list[Said]
    texts: list[str]


class Next(Part):
    """`state`: more (items; none where all that is left is held), others (`with_others` items are before
    somebody else), done, or closed. `seconds`: so long each lease holds unless it is renewed. `left`, `mine`,
    `ahead`, `guideline` as in MyTask.
    """

    items: list[Item]
    state: Literal["more", "others", "done", "closed"]
    with_others: int
    left: int
    mine: int
    ahead: int
    guideline: int
    seconds: int


class Leases(Part):
    """Leases to hold on to, and leases that are over for whoever has them."""

    renew: list[Key] = Field(default=[], max_length=MOST_HELD)
    release: list[Key] = Field(default=[], max_length=MOST_HELD)


class Held(Part):
    """Of the leases that were renewed, those that hold. A vote on another is still taken, as a late one."""

    held: list[str]


class Vote(Part):
    """What somebody says of an item, answers in the order in which they see them. Sent again under the same
    `id` it is the same vote.

    `skip`: nothing is said but flags and a note, and the item goes to others. Else by the task's mode:
    `strength` -3 to 3, below 0 for the first answer; `ranks`, 1 is best, equal ranks are ties, null is left
    unranked; `rating` of each answer from 1 to 7; `text`, the better one. `flags`: broken, private, or
    unsafe:PLACE (unsafe:0 is the first answer). `sure` 1 to 3. `guideline`: the version that was read.
    """

    id: Key
    lease: Key
    skip: bool = False
    strength: int | None = None
    ranks: list[int | None] | None = None
    rating: list[int | None] | None = None
    text: str | None = None
    both_bad: bool = False
    flags: list[str] = []
    sure: int | None = None
    note: str = ""
    ms: int = 0
    guideline: int = 0


class Votes(Part):
    votes: list[Vote] = Field(min_length=1, max_length=MOST_VOTES)


class Saved(Part):
    """It is on the disk, as event `seq` of the history."""

    id: Key
    seq: int


class NotTaken(Part):
    """Sent again it would be refused again."""

    id: Key
    code: str
    what: str


class Taken(Part):
    saved: list[Saved]
    refused: list[NotTaken]


class UndoAsked(Part):
    """`id` of the vote; `undo` is the id of taking it back, as a vote has one."""

    id: Key
    undo: Key


class GuidelineAsked(Part):
    """`since`: the version that was read; null: that of the newest vote."""

    id: Key
    since: int | None = Field(default=None, ge=0)


class Span(Part):
    """A stretch of text: how it is marked."""

    text: str
    mark: Literal["plain", "strong", "emphasis", "code"]


class Block(Part):
    """A heading (`level` 1 to 6), paragraph, quote, code, or point of a list (`level` of nesting from 1;
    `number` of a numbered one).
    """

    kind: Literal["heading", "paragraph", "quote", "code", "point"]
    level: int = 0
    number: int | None = None
    spans: list[Span]


class Rewritten(Part):
    """A stretch of the guideline as it was and as it is; one of them may be empty."""

    before: str
    after: str


class Guideline(Part):
    """The newest version, and what changed in it since the version that was read; nothing without one."""

    version: int
    since: int
    blocks: list[Block]
    changed: list[Rewritten]
