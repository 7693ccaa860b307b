"""One process writes to a run at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from ..errors import UserError

_held: dict[
    Path, IO[str]
] = {}  # locks of this process, so that a notebook can open a run again that it dropped


def lock(staging: Path) -> None:
    """The right to write to a staging folder, for as long as this process lives or until `_release`."""
    release(staging)
    file = open(staging / ".lock", "a+", encoding="utf-8")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise UserError(
            f"another process is writing to {staging}",
            where=f"process {owner}" if owner else "",
            remedy="wait for it, or give another --out",
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    _held[staging.absolute()] = file


def release(staging: Path) -> None:
    if held := _held.pop(staging.absolute(), None):
        held.close()


def owner_lives(staging: Path) -> bool:
    try:
        os.kill(int((staging / ".lock").read_text(encoding="utf-8")), 0)
    except PermissionError:  # somebody else's process
        return True
    except (OSError, ValueError):
        return False
    return True
