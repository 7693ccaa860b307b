"""A class: who may come in, who is there, what it says so far."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...votes.lesson import MOST_MINUTES
from .parts import Key, Part
from .runs import Figure
from .samples import Said


class Join(Part):
    """A code and a name; with the return code of that name, whoever has it already."""

    code: str = Field(max_length=40)
    name: str = Field(max_length=200)
    return_code: str = Field("", max_length=40)


class Joined(Part):
    """Somebody has joined. Their return code is said this once, to somebody new; with it the same name is the
    same person on another device.
    """

    name: str
    return_code: str | None


class Qr(Part):
    """A QR code as the path of an SVG of so many units, its quiet border among them."""

    size: int
    path: str


class Address(Part):
    """Where people join; the QR code leads there with the code of the class."""

    url: str
    qr: Qr


class ClassTask(Part):
    id: Key
    name: str


class Seat(Part):
    """Somebody in the class: looking at an item, here, or away; `ago` is seconds since they were seen."""

    id: str
    name: str
    state: Literal["looking", "here", "away"]
    ago: float | None
    votes: int


class ClassTrouble(Part):
    what: str
    remedy: str


class ClassAsked(Part):
    """What is to be another; null = as it is. Without minutes (0) it stays open."""

    open: bool | None = None
    task: Key | None = None
    new_code: bool = False
    minutes: int | None = Field(None, ge=0, le=MOST_MINUTES)


class Removed(Part):
    """Somebody of the class, to be removed."""

    id: Key


class Class(Part):
    """The class. `served` is false in a studio that was begun without one."""

    served: bool
    open: bool = False
    code: str = ""
    addresses: list[Address] = []
    seconds_left: float | None = None
    task: ClassTask | None = None
    tasks: list[ClassTask] = []
    annotators: list[Seat] = []
    votes: int = 0
    items: int = Field(default=0, description="of the task")
    alpha: Figure | None = None
    disputed: int = 0
    troubles: list[ClassTrouble] = []


class Disputed(Part):
    """An item on which people differ: of two answers, how many prefer the first, neither, the second."""

    prompt: list[Said]
    first: str
    second: str
    votes: tuple[int, int, int]


class Room(Part):
    """The disputed items of the class's task, the most divided first; no name is among them."""

    question: str
    total: int
    rows: list[Disputed]
