"""A blind comparison of two runs: made as a task like any other, unblinded at the planned number of votes."""

from __future__ import annotations

from pydantic import Field

from .parts import Id, Key, Part
from .runs import Figure


class BlindAsked(Part):
    runs: str = Field(max_length=25, description="two ids, comma separated")
    votes: int = Field(60, ge=10, le=500, description="after so many, and not before, the names are told")


class Blind(Part):
    """The task that was made. `common` are questions that both answer, `same` those of them that both answer
    alike, which are not asked; `leaks` are answers that say who wrote them, and are asked all the same."""

    task: Key
    name: str
    planned: int
    items: int
    common: int
    same: int
    left_out: dict[str, int]
    leaks: int


class BlindResultAsked(Part):
    id: Key


class BlindSide(Part):
    """One of the two: the run, where it is still there, and its name."""

    id: Id | None
    name: str
    won: int


class BlindFigures(Part):
    """Of the first `planned` votes: how often the second side is preferred (a tie is half a win), and a
    logistic model of it with where it stood and how long it is as covariates: `equal` is the rate at equal
    place and length, `first_seen` the rate at which the answer seen first wins between equals, `longer` the
    rate at which an answer twice as long does."""

    sides: list[BlindSide]
    ties: int
    rate: Figure
    equal: Figure
    first_seen: Figure
    longer: Figure


class BlindResult(Part):
    """`figures` is null, and nothing says which runs these are, until the planned votes are there."""

    name: str
    votes: int
    planned: int
    figures: BlindFigures | None
