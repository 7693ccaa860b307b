"""What somebody may have meant by a name that stands for nothing, as the remedy of an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


def nearest(name: str, names: Iterable[str], *, cutoff: float = 0.6, prefix: str = "") -> str:
    """The words "did you mean X?" for the name that is most like it; nothing if none is.

    Args:
        cutoff: how much alike, from 0 to 1.
        prefix: what stands before the name where it is shown.
    """
    near = difflib.get_close_matches(name, list(names), 1, cutoff)
    return f"did you mean {prefix}{near[0]}?" if near else ""


def nearest_path(path: Path) -> str:
    """As `nearest`, among the files and folders that lie where the path should be."""
    there = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, there, 1)
    return f"did you mean {path.parent / near[0]}?" if near else ""
