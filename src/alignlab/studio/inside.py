"""Files of a folder that somebody else may have filled: opened without following a link, read in bounds, and
only if they are files.
"""

from __future__ import annotations

import errno
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from ..text.disk import make_folder
from ..text.documents import Malformed, from_json

MOST_BITS = 53  # of a whole number that every reader of JSON holds
MOST_DOCUMENT = 2**22  # bytes of a JSON document that is read whole
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class Inside:
    """What lies in a folder, by paths below it with `/` between names. The folder itself may be a link.

    Attributes:
        others: folders that stand in it by a name and lie elsewhere.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.others: dict[str, Path] = {}

    def at(self, path: str) -> Path:
        """Where a path lies."""
        name, _, below = path.partition("/")
        return self.others[name] / below if name in self.others else self.root / path

    def binary(self, path: str) -> BinaryIO:
        """A regular file. Raises OSError: it is not there, is a link or below one, or no file."""
        *folders, name = path.split("/")
        root = self.others.get(folders[0]) if folders else None
        if root is not None:
            folders = folders[1:]
        at = os.open(root or self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                below = os.open(folder, _FOLDER, dir_fd=at)
                os.close(at)
                at = below
            handle = os.open(name, _FILE, dir_fd=at)
        finally:
            os.close(at)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "no regular file", path)
        return open(handle, "rb", buffering=0)

    def document(self, path: str) -> dict[str, Any]:
        """A JSON object. Raises OSError, Malformed."""
        with self.binary(path) as file:
            data = file.read(MOST_DOCUMENT + 1)
        if len(data) > MOST_DOCUMENT:
            raise Malformed(f"the file is longer than {MOST_DOCUMENT:,} bytes")
        return row_of(data)

    def own(self, path: str) -> Path:
        """A folder below, made where there is none, to write to. Raises OSError: it, or one above it, is a
        link or no folder.
        """
        at = self.root
        for name in path.split("/"):
            at /= name
            make_folder(at)
            if not stat.S_ISDIR(os.lstat(at).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "it is a link, or no folder", path)
        return at


def row_of(data: bytes) -> dict[str, Any]:
    """A JSON object from its bytes. Raises Malformed."""
    try:
        value = from_json(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Malformed(error) from None
    if not isinstance(value, dict):
        raise Malformed(f"holds {type(value).__name__} where an object is expected")
    return value


def number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def text(value: Any, most: int = 0) -> str:
    """A text that UTF-8 has bytes for, cut after `most` characters; "" for anything else."""
    if not isinstance(value, str):
        return ""
    if most:
        value = value[:most]
    return value.encode("utf-8", "replace").decode("utf-8")


def clean(value: Any, most: int = 0) -> Any:
    """A JSON value with its texts as `text` gives them and null for numbers that are not finite."""
    if isinstance(value, dict):
        return {text(key, most): clean(item, most) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item, most) for item in value]
    if isinstance(value, str):
        return text(value, most)
    if isinstance(value, float) or isinstance(value, int) and value.bit_length() > MOST_BITS:
        return number(value)
    return value
