"""The JSON files of a run, and a full disk said to the user."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataError, ResourceError
from ..text.disk import write_whole
from ..text.lines import as_json

DAMAGED = "the file was changed or damaged: take it from a copy, or make the run again"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of ours. Raises DataError for a file that is missing, or is none."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"not a JSON file: {error}", where=str(path), remedy=DAMAGED) from None
    if not isinstance(row, dict):
        raise DataError(
            f"holds {type(row).__name__} where an object is expected", where=str(path), remedy=DAMAGED
        )
    return row


def write_json(path: Path, value: Mapping[str, Any], *, sync: bool = True) -> None:
    """An object, whole or not at all."""
    with write_whole(path, sync=sync) as staging:
        staging.write_bytes(as_json(dict(value), indent=1))


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """`write_json` with a digest of the text in it, so that every change is seen when it is read."""
    with write_whole(path) as staging:
        staging.write_bytes(_sealed(value))


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote. Raises DataError for a file that is missing or has changed by a byte."""
    value = read_json(path)
    value.pop("sha256", None)
    if _sealed(value) != path.read_bytes():
        raise DataError("the file was changed: its own digest says another", where=str(path), remedy=DAMAGED)
    return value


def _sealed(value: Mapping[str, Any]) -> bytes:
    digest = hashlib.sha256(json.dumps(value).encode()).hexdigest()
    return json.dumps({**value, "sha256": digest}, indent=1).encode()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around everything that writes: a full disk, a file-size limit or a folder that cannot be written is the
    user's to mend.

    Raises:
        ResourceError: exit code 8, with the folder; the last good state is kept.
    """
    try:
        yield
    except OSError as error:
        raise _cannot_write(folder, error.strerror or str(error)) from error
    except (
        Exception
    ) as error:  # safetensors has an error of its own, with the number of the system's in its text
        if type(error).__name__ == "SafetensorError" and (
            number := re.search(r"\(os error (\d+)\)", str(error))
        ):
            raise _cannot_write(folder, os.strerror(int(number[1]))) from error
        raise


def _cannot_write(folder: Path, why: str) -> ResourceError:
    return ResourceError(
        f"cannot write: {why}",
        where=str(folder),
        remedy="make room or give another --out; the last good state is kept",
    )
