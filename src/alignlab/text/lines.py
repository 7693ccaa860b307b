"""JSONL as this package writes it: a JSON value a line, and a line ends at `\\n` alone.

`str.splitlines` also breaks at U+0085, U+2028, U+2029 and five more, which JSON leaves inside strings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ..errors import DataError
from .documents import from_json

T = TypeVar("T")


def as_json(value: Any, **layout: Any) -> bytes:
    """JSON in UTF-8. Text with half of a surrogate pair, which UTF-8 has no bytes for (a cut emoji, a path of
    another encoding), is escaped.
    """
    try:
        return json.dumps(value, ensure_ascii=False, **layout).encode()
    except UnicodeEncodeError:
        return json.dumps(value, **layout).encode()


def read_lines(path: str | os.PathLike[str], *, cut: bool = False) -> Iterator[tuple[int, Any]]:
    """The values of a file of ours with their line numbers, from 1; empty lines are passed over.

    Args:
        cut: a last line without its end is what a killed process left, and is passed over.

    Raises:
        DataError: a line that is not UTF-8 or not JSON, with file and row.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if cut and not line.endswith(b"\n"):
                return
            if not line.strip():
                continue
            try:
                yield number, from_json(line.decode("utf-8"))
            except ValueError as error:
                raise DataError(
                    f"not a line of JSON: {error}",
                    where=f"{path}:{number}",
                    remedy="the file was changed or damaged: make it again, or take it from a copy",
                ) from None


def append_lines(path: str | os.PathLike[str], rows: Iterable[Any]) -> None:
    """Rows behind those of a file, a line each. Raises OSError."""
    left = b"".join(as_json(row) + b"\n" for row in rows)
    with open(path, "ab", buffering=0) as file:
        while left:
            left = left[file.write(left) :]


def take_up(path: str | os.PathLike[str], read: Callable[[Any], T]) -> list[T]:
    """What an earlier process kept by `append_lines`, each value as `read` gives it; nothing without a file.

    The process may have been killed in the middle of a line: at the first one that is not whole, or that
    `read` cannot read, the file is cut off, so that the next line begins on its own. Raises OSError.
    """
    if not os.path.exists(path):
        return []
    values: list[T] = []
    whole = 0
    with open(path, "r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                values.append(read(from_json(line.decode("utf-8"))))
            except (ValueError, KeyError, TypeError):
                break
            whole += len(line)
        file.truncate(whole)
    return values


def first_paragraph(thing: Any) -> str:
    """What a docstring says first, on one line; empty without a docstring."""
    return " ".join((thing.__doc__ or "").strip().partition("\n\n")[0].split())
