"""What a file of data may hold, and how it is said that one holds more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError

SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".parquet")
AGAIN = "fetch or write the file again"
ROW = 2**24  # bytes of one row: four million tokens
COLUMNS = 1000  # of one row
LINES = 1_000_000  # of one cell, or empty ones between two rows
# a packed file may unpack to so many bytes, and to so many times its own; text packs three to twenty times
FREE, GROWTH = 2**21, 100
Rows = Iterator[tuple[int, Any]]


def suffix(path: Path) -> str:
    """The ending that says what a file holds, without .gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def too_long(path: Path, number: int, guess: str = "") -> DataError:
    return DataError(
        f"the row is longer than {ROW:,} bytes or {LINES:,} lines{guess}",
        where=f"{path}:{number}",
        remedy=f"{AGAIN}; a long text goes into several rows",
    )


def twice(names: list[str]) -> str | None:
    """The first name that stands there twice, if one does."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
