"""How a run writes: whole files, on the disk before they have their name, and a full disk said to the user."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ResourceError


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around everything that writes to a run: a full disk or a folder that cannot be written is the user's to mend.

    Raises:
        ResourceError: exit code 8, with the folder; the last good state is kept.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise ResourceError(f"cannot write: {error.strerror}", where=str(folder),
                                remedy="make room or give another --out; the last good state is kept") from error
        raise
    except Exception as error:  # safetensors reports a full disk as an error of its own
        if "No space left" in str(error):
            raise ResourceError("cannot write: no space left on the disk", where=str(folder),
                                remedy="make room or give another --out; the last good state is kept") from error
        raise


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Mapping[str, Any], *, sync: bool = True) -> None:
    staging = path.with_name(path.name + ".tmp")
    with open(staging, "w", encoding="utf-8") as file:
        json.dump(dict(value), file, indent=1, ensure_ascii=False)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    os.replace(staging, path)


def sync_path(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
