"""Which exercises there are. Imports no torch before one is loaded."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ...errors import UserError
from ...text.nearest import nearest

if TYPE_CHECKING:
    from ..grade.exercise import Exercise

TITLES = {
    "ex1": "Fine-tune a base model",
    "ex2": "Preferences and a reward model",
    "ex3": "RLHF on a toy whose best policy is known",
    "ex4": "A constitution",
    "ex5": "Red team",
}


def check(name: str) -> None:
    """Raise UserError for a name that is no exercise."""
    if name not in TITLES:
        raise UserError(
            f"there is no exercise {name!r}", remedy=nearest(name, TITLES) or "one of " + ", ".join(TITLES)
        )


def exercise(name: str) -> Exercise:
    """The exercise of that name. Raises UserError."""
    check(name)
    return import_module(f".{name}", __package__).EXERCISE
