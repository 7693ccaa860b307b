"""One process writes to a run at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from ..errors import UserError
from ..text.disk import make_folder

_held: dict[
    Path, IO[str]
] = {}  # locks of this process, so that a notebook can open a run again that it dropped


class Busy(UserError):
    """Another process is writing to a run folder."""

    def __init__(self, staging: Path, owner: str) -> None:
        self.staging = staging
        super().__init__(
            f"another process is writing to {staging}",
            where=f"process {owner}" if owner else "",
            remedy="wait for it, or give another --out",
        )


def lock(staging: Path) -> None:
    """The right to write to a staging folder, which is made, for as long as this process lives or until
    `release`. Raises Busy.
    """
    release(staging)
    while True:
        make_folder(staging)
        try:
            file = open(staging / ".lock", "a+", encoding="utf-8")  # noqa: SIM115
        except FileNotFoundError:  # the run was finished, and its folder renamed, in between
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip()
            file.close()
            raise Busy(staging, owner) from None
        if _is_there(file, staging):
            break
        file.close()  # it was the lock of a run that has its name by now
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    _held[staging.absolute()] = file


def _is_there(file: IO[str], staging: Path) -> bool:
    """Whether an open lock is still that of the staging folder."""
    try:
        there = os.stat(staging / ".lock")
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file.fileno()), there)


def wait_until_free(staging: Path) -> None:
    """Return once nobody writes to a staging folder: whoever did is done, or was killed."""
    try:
        file = open(staging / ".lock", encoding="utf-8")  # noqa: SIM115
    except FileNotFoundError:
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_SH)


def release(staging: Path) -> None:
    if held := _held.pop(staging.absolute(), None):
        held.close()


def owner_lives(staging: Path) -> bool:
    """Whether a process is at a run."""
    try:
        return is_alive((staging / ".lock").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def is_alive(owner: str) -> bool:
    """Whether the process lives whose number stands in a lock."""
    try:
        os.kill(int(owner), 0)
    except PermissionError:  # somebody else's process
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True
