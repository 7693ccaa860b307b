"""How far people agree, who they are in figures, on what they differ, and what more votes would tell."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .parts import Cursor, Key, Limit, Part
from .samples import Said
from .tasks import Group, TaskAsked

Why = Literal["", "random", "calibration", "power", "gold", "repeat", "uncertain", "disputed"]


class S(Part):
    """A mean, its interval at 95 %, and how many items are behind it."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


class FiguresAsked(TaskAsked):
    """`slice` is a kind of question. Without `why`, what was asked by chance."""

    slice: str = Field("", max_length=100)
    group: Group = ""
    why: Why = ""


class Agreement(Part):
    """`chance_kappa` and `chance_ac1` are the agreement that each takes for chance, from these very shares:
    sum p^2, and sum p (1 - p) / (labels - 1). Where one outcome prevails they part, and so do kappa and AC1.
    """

    items: int
    votes: int
    people: int
    alpha: S
    alpha_ordinal: S
    ac1: S
    kappa: S
    raw: S
    shares: dict[str, float] = Field(description="first, tie, second")
    chance_kappa: float | None
    chance_ac1: float | None
    left: S
    length: S
    repeats: S
    gold: S


class AnnotatorRow(Part):
    """Somebody in figures; `seconds` is the median."""

    id: str
    called: str
    name: str
    groups: list[str]
    votes: int
    left: S
    length: S
    repeats: S
    gold: S
    seconds: float | None


class Alike(Part):
    """How often two people say the same of a pair of answers."""

    a: str
    b: str
    same: float
    n: int


class Annotators(Part):
    """`matrix` names people by `called`."""

    rows: list[AnnotatorRow]
    matrix: list[Alike]


class PairVotes(Part):
    """Of two answers by their place, how many people prefer the first, neither, the second."""

    first: int
    second: int
    votes: list[int] = Field(min_length=3, max_length=3)


class Voice(Part):
    """What somebody said of an item: ranks of its answers in their order, null where one is left unranked."""

    called: str
    ranks: list[int | None]
    strength: int | None
    sure: int | None
    flags: list[str]
    note: str
    late: bool


class DecisionRow(Part):
    ranks: list[int]
    note: str


class Dispute(Part):
    item: Key
    prompt: list[Said]
    texts: list[str]
    cut: bool
    pairs: list[PairVotes]
    voices: list[Voice]
    decision: DecisionRow | None


class DisputesAsked(FiguresAsked):
    cursor: Cursor = ""
    limit: Limit = 20


class Disputes(Part):
    """Items on which people differ, the most divided first."""

    rows: list[Dispute]
    next: str | None
    total: int
    of: int
    ready: bool


class Needed(Part):
    """Votes that are missing for an interval of so many points to each side: with as many an item as now, and
    each on a new item.
    """

    points: int
    same: int
    apart: int | None


class Share(Part):
    """How often the first answer of an item is preferred. Which that is stays hidden: only how sure it is
    matters here. `fresh`: so many times as much a vote on a new item tells as one more on an item that has
    votes.
    """

    items: int
    votes: int
    half: float | None = Field(description="half of the interval's width, as a share")
    overlap: float
    correlation: float | None
    design_effect: float
    fresh: float
    needed: list[Needed]


class Alikeness(Part):
    now: S
    half: float | None
    needed: list[Needed]


class Point(Part):
    n: int
    right: float


class Curve(Part):
    """right = a - b n^-c; `why` says why there is none."""

    points: list[Point]
    a: float | None
    b: float | None
    c: float | None
    twice: float | None = Field(description="what it says of twice as many votes")
    why: str


class Power(Part):
    """`next` is what narrows the intervals more: one more vote on an item that has some, or one more item."""

    share: Share
    agreement: Alikeness
    curve: Curve
    next: Literal["vote", "item"]
