"""What an exercise declares.

An exercise is a package `course/exercises/exN`: its `EXERCISE`, the oracle, what a student is given
(`given/`) and the words of its hints (`hints.toml`).

The oracle of a function and its mistakes are one function in float64: `right(*arguments, but=NAMES)`, where
each name turns one line of it into what somebody who has misunderstood would write. So two mistakes at once
are two names, and other right forms are names too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .runner import Asked, Case

if TYPE_CHECKING:
    from torch import Generator

NOTHING: frozenset[str] = frozenset()


def alike(value: Any) -> Any:
    """A value as it is compared, unless a function says otherwise."""
    return value


@dataclass(frozen=True)
class Function:
    """A function that a student writes.

    Attributes:
        right: the oracle: positional arguments as in the student's function, and `but`.
        draw: one tiny input from a generator, a few rows of four tokens; arguments by name and in order.
        mistakes: names that `but` knows and that make it wrong.
        forms: sets of names that leave it right, written another way.
        gradient: the argument by which it is differentiated, if it is.
        block: the argument that says how many rows belong together, if any do.
        read: brings a student's value into the form in which it is compared (a set of pairs in order).
        tolerance: of the largest number of the right answer, at least of 1.
    """

    name: str
    right: Callable[..., Any]
    draw: Callable[[Generator], Case]
    mistakes: tuple[str, ...] = ()
    forms: tuple[frozenset[str], ...] = ()
    gradient: str = ""
    block: str = ""
    read: Callable[[Any], Any] = alike
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Finding:
    """What a property found wrong.

    Attributes:
        text: one line: what happened.
        example: lines: the smallest case, the student's numbers and ours.
        mistakes: the likely mistakes, of one student's function at most two; empty where none is known.
        share: on how many of how many cases his answer equals theirs.
        nearest: the mistake that comes nearest, where none is known: it is not his.
        fingerprint: the same for all whose unknown mistake is the same.
        earned: the share of the points that is given all the same.
        unwritten: there is nothing yet to find fault with.
    """

    text: str
    example: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()
    share: tuple[int, int] = (0, 0)
    nearest: str = ""
    fingerprint: str = ""
    earned: float = 0.0
    unwritten: bool = False


@dataclass(frozen=True)
class Property:
    """Something that is to hold, worth so many points. Its words stand in hints.toml under its id.

    Attributes:
        check: (who answers, the student's seed, what earlier checks left) -> what is wrong, or None. Left
            are "wrong", the functions that are known to be, and of who needs one "trained", the figures of
            the student's own training.
        function: the one function that it is about, if it is; what a training shows afterwards is then put
            down to it.
        kind: property or behaviour.
    """

    id: str
    points: float
    check: Callable[[Asked, int, dict[str, Any]], Finding | None]
    function: str = ""
    kind: str = "property"


@dataclass(frozen=True)
class Exercise:
    """All of an exercise.

    Attributes:
        name: ex3.
        file: the file that a student writes; it lies in `folder/given` as a stub.
        drivers: scripts that run in the student's process, by name.
        fields: the gaps of report.md by name: the figure of the student's own training that belongs there, or
            "" for words of his own.
        others: functions that are asked for and that only drivers use.
        beside: files that are read beside the student's own, and handed in with it.
    """

    name: str
    title: str
    folder: Path
    file: str
    functions: tuple[Function, ...]
    properties: tuple[Property, ...]
    drivers: Mapping[str, Path] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def asked_for(self) -> list[str]:
        return [*(function.name for function in self.functions), *self.others]


REPORT_POINTS = 20
PASS_MARK = 60
