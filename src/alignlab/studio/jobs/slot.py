"""One job at a time: whoever holds the lock of the folder of jobs is the one that runs.

The lock goes with its process, whatever ends it. So a number that stands in it is the number of a process
that lives, and no other process that got the number later is ever signaled.
"""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import IO

LOCK = ".lock"


def take(folder: Path, job: str) -> IO[str] | None:
    """The lock of a folder of jobs, for as long as the file is open; None while another job has it."""
    file = open(folder / LOCK, "a+", encoding="ascii")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    file.truncate(0)
    file.write(f"{os.getpid()} {job}")
    file.flush()
    return file


def holder(folder: Path) -> tuple[int, str] | None:
    """The process that has the lock, and its job; None if nobody has."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(handle, encoding="ascii", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            number, _, job = file.read(100).partition(" ")
            return (int(number), job) if number.isdecimal() else None
    return None


def end(folder: Path, job: str) -> bool:
    """Ask the process of a job to stop, if it has the lock; whether it was asked.

    Where the system knows handles of processes, the one that is asked is the one that held the lock after the
    handle was taken.
    """
    held = holder(folder)
    if held is None or held[1] != job:
        return False
    if not hasattr(os, "pidfd_open"):
        os.kill(held[0], signal.SIGTERM)
        return True
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(held[0])
        try:
            if holder(folder) == held:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                return True
        finally:
            os.close(handle)
    return False
