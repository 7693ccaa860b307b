"""Files of records, one per line."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from ..errors import DataError
from ..text.disk import write_whole
from ..text.lines import as_json, read_lines
from .completions import Completion, Demonstration, Unpaired
from .preferences import Comparison, Ranking
from .prompts import Prompt, Text

Record = Prompt | Text | Demonstration | Completion | Comparison | Ranking | Unpaired


class Row(Protocol):
    """What is a line of a file."""

    def to_json(self) -> dict[str, Any]: ...


def prompt_in(record: Record) -> Prompt:
    """The prompt that a record is or belongs to; of a document, its text as one."""
    if isinstance(record, Text):
        return Prompt.user(record.text)
    return record if isinstance(record, Prompt) else record.prompt


def write_jsonl(path: str | os.PathLike[str], records: Iterable[Row]) -> str:
    """Write records one per line, whole or not at all; returns the SHA-256 of the file."""
    digest = hashlib.sha256()
    with write_whole(Path(path)) as staging, open(staging, "wb") as file:
        for record in records:
            line = as_json(record.to_json()) + b"\n"
            digest.update(line)
            file.write(line)
    return digest.hexdigest()


def read_jsonl(path: str | os.PathLike[str], kind: type[Any]) -> list[Any]:
    """Read our own records back; a bad line is a `DataError` with file and row."""
    records: list[Any] = []
    for number, row in read_lines(path):
        try:
            records.append(kind.from_json(row))
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, DataError) as error:
            raise DataError(
                f"not a {kind.__name__}: {getattr(error, 'what', error)}",
                where=f"{path}:{number}",
                remedy="run `alignlab doctor` on the file",
            ) from error
    return records
