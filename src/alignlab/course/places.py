"""Where the lecture's files lie, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..text.documents import Malformed, from_toml, read_text

HERE = Path(__file__).parent
SITE = Path("runs/lecture-site")
"""Where the pages are built, unless another folder is named."""


def lecture_folder() -> Path:
    """Of a checkout `lecture/`; of an installed package the copy inside it.

    Raises:
        DataError: there is neither.
    """
    for folder in (HERE / "lecture", HERE.parents[2] / "lecture"):
        if (folder / "course.toml").is_file():
            return folder
    raise DataError(
        "the lecture's files are not there", remedy="install alignlab anew, or work in a checkout"
    )


def text_of(path: Path) -> str:
    """Raises DataError for what is no text."""
    try:
        return read_text(path)
    except (OSError, Malformed) as error:
        raise DataError(f"cannot read {path.name}: {error}", where=str(path)) from None


def table_of(path: Path) -> dict[str, Any]:
    """A TOML file of the lecture. Raises DataError for what is none."""
    try:
        return from_toml(text_of(path))
    except Malformed as error:
        raise DataError(f"{path.name} is no TOML: {error}", where=str(path)) from None


def tables(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The TOML files of a folder, by name."""
    for path in sorted(folder.glob("*.toml")):
        yield path, table_of(path)
