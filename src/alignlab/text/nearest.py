"""What somebody may have meant by a name that stands for nothing, as the remedy of an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError


def nearest(name: str, names: Iterable[str], *, cutoff: float = 0.6, prefix: str = "") -> str:
    """The words "did you mean X?" for the name that is most like it; nothing if none is.

    Args:
        cutoff: how much alike, from 0 to 1.
        prefix: what stands before the name where it is shown.
    """
    for near in difflib.get_close_matches(name, list(names), 1, cutoff):
        return f"did you mean {prefix}{near}?"
    return ""


def nearest_path(path: Path) -> str:
    """As `nearest`, among the files and folders that lie where the path should be."""
    if not path.parent.is_dir():
        return ""
    there = [item.name for item in path.parent.iterdir()]
    for near in difflib.get_close_matches(path.name, there, 1):
        return f"did you mean {path.parent / near}?"
    return ""


def one_of(
    name: str, allowed: Iterable[str], what: str, *, prefix: str = "", error: type[UserError] = UserError
) -> None:
    """Raise the error unless the name is one of those allowed; the nearest is named, and all where they are
    few or none is near.
    """
    allowed = list(allowed)
    if name in allowed:
        return
    near = nearest(name, allowed, prefix=prefix)
    every = "one of: " + ", ".join(prefix + known for known in allowed)
    if not near:
        remedy = every
    elif len(allowed) <= 8:
        remedy = f"{near} {every}"
    else:
        remedy = near
    raise error(f"{what} {name!r:.80}", remedy=remedy)
