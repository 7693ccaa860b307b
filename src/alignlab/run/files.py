"""How a run reads and writes: whole files, on the disk before they have their name, and a full disk said to
the user.
"""

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
    """Write an object, whole or not at all."""
    _write(path, as_json(dict(value), indent=1), sync=sync)


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """`write_json` with a digest of the text in it, so that every change of the file is seen when it is read."""
    _write(path, _sealed(value), sync=True)


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


def _write(path: Path, content: bytes, *, sync: bool) -> None:
    staging = path.with_name(path.name + ".tmp")
    with open(staging, "wb") as file:
        file.write(content)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    os.replace(staging, path)


def sync_path(path: Path) -> None:
    """A file or folder on the disk: what was written survives a loss of power. Of a folder, the names in it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """A folder and those above it, each name on the disk. Raises OSError."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_path(path.parent)


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
