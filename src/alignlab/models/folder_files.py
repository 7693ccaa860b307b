"""The files of a model folder: each a regular one that lies inside it and is not too large, and JSON read
within bounds.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .headers import parsed, read_file

SIZES = {
    "tokenizer.json": 2**26,
    "vocab.json": 2**26,
    ".index.json": 2**25,
    "config.json": 2**22,
    "special_tokens_map.json": 2**22,
    "added_tokens.json": 2**22,
    "chat_template.json": 2**22,
    ".jinja": 2**22,
    "merges.txt": 2**26,
    "vocab.txt": 2**26,
    ".model": 2**26,
}
"""How many bytes the files that libraries read whole may have, by the end of their names."""
MOST_FILES = 10_000


def most_bytes(name: str, otherwise: int) -> int:
    """How many bytes a file of that name may have; `otherwise` where no library reads it whole."""
    for end, size in SIZES.items():
        if name.endswith(end):
            return size
    return otherwise


def read_json(path: Path) -> dict[str, Any]:
    """The settings in a JSON file of a model folder. Raises ModelError."""
    try:
        row = parsed(read_file(path, most_bytes(path.name, otherwise=2**22)))
    except (OSError, ValueError) as error:
        raise _copy_again(f"not a JSON file: {error}", path) from None
    if not isinstance(row, dict):
        raise _copy_again(f"holds a {type(row).__name__} where settings are expected", path)
    return row


def documents_in(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """The JSON files among the names that libraries read whole. Raises ModelError."""
    endings = tuple(end for end in SIZES if end.endswith(".json"))
    return {name: read_json(folder / name) for name in names if name.endswith(endings)}


def _copy_again(what: str, path: Path) -> ModelError:
    return ModelError(what, where=str(path), remedy="copy the model folder again")


def regular_files(folder: Path) -> list[str]:
    """The names of the folder's files: each a regular one that lies inside it (or in the blobs of its
    repository, in the hub's cache), and not too large. Raises ModelError.
    """
    names = []
    for number, item in enumerate(_entries(folder)):
        if number > MOST_FILES:
            raise ModelError(
                f"{folder} holds more than {MOST_FILES:,} files",
                where=str(folder),
                remedy="name the folder of one model",
            )
        path = Path(item.path)
        if item.is_symlink() and not _inside(path, folder):
            raise ModelError(
                f"{folder} leads out of itself: {item.name} is a link to elsewhere",
                where=str(path),
                remedy="copy the file itself into the folder",
            )
        if item.is_dir():
            continue
        _check_file(path)
        if path.parent == folder:
            names.append(item.name)
    return sorted(names)


def _check_file(path: Path) -> None:
    """Raise ModelError for what is no file, or is too large for a file of that name."""
    try:
        status = path.stat()
    except OSError as error:
        raise _copy_again(f"cannot read {path.name}: {error.strerror}", path) from None
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(
            f"{path.name} is no file (a pipe, a device or a socket)",
            where=str(path),
            remedy="copy the model folder again, files only",
        )
    most = most_bytes(path.name, otherwise=status.st_size)
    if status.st_size > most:
        raise ModelError(
            f"{path.name} has {status.st_size:,} bytes; no model has one of more than {most:,}",
            where=str(path),
            remedy="copy or download the model again",
        )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What lies in the folder, and in the one folder below it that transformers reads by itself."""
    for place in (folder, folder / "additional_chat_templates"):
        if place.is_dir():
            with os.scandir(place) as entries:
                yield from entries


def _inside(path: Path, folder: Path) -> bool:
    """Whether a link leads to a place in the folder; for a snapshot in the hub's cache also to the blobs of
    the same repository.
    """
    try:
        home, target = folder.resolve(), path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return False
    if target.is_relative_to(home):
        return True
    return home.parent.name == "snapshots" and target.is_relative_to(home.parent.parent / "blobs")
