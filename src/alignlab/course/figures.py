"""The lecture's drawings by name, each made from records."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import DataError
from .course import Course
from .records import NoSuchFigure

FIGURES: dict[str, Callable[[Course], str]] = {}


def drawn(name: str, course: Course) -> str:
    """The SVG of a drawing.

    Raises:
        DataError: there is none of that name, or a record lacks what it shows.
    """
    if name not in FIGURES:
        raise DataError(f"there is no figure {name}", remedy=f"one of: {', '.join(FIGURES)}")
    try:
        return FIGURES[name](course)
    except NoSuchFigure as reason:
        raise DataError(f"the figure {name}: {reason}") from None
