"""How everything is written that must not be there by half: beside its name, on the disk, then renamed.

    with write_whole(path) as staging:
        staging.write_bytes(content)          # or a folder, made at `staging`

After a kill or a loss of power the name holds what it held before, or all of the new (a folder that has the
name goes first: it may be missing then). What a killed process
left beside it is called `.PID.N.tmp`; `sweep` takes such leftovers away.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

_count = itertools.count()


@contextmanager
def write_whole(
    path: Path, *, sync: bool = True, naming: AbstractContextManager[Any] | None = None
) -> Iterator[Path]:
    """Around writing a file or a folder: gives the path to write it at, which then takes its name.

    The name is short whatever `path` is called, and no other process or thread has it.

    Args:
        sync: survive a loss of power too, not only a kill.
        naming: entered around the rename.

    Raises:
        OSError: the disk is full, or the folder cannot be written; what was there stays.
    """
    make_folder(path.parent)
    staging = path.with_name(f".{os.getpid()}.{next(_count)}.tmp")
    try:
        yield staging
        if sync:
            sync_all(staging)
        with naming or nullcontext():
            if staging.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            os.replace(staging, path)
            if sync:
                sync_path(path.parent)
    finally:
        remove(staging)


def sweep(folder: Path) -> None:
    """Take away what processes that were killed left at any depth of a folder that nobody else writes to.
    Raises OSError.
    """
    for leftover in [*folder.rglob("*.tmp")]:
        if is_leftover(leftover.name):
            remove(leftover)


def is_leftover(name: str) -> bool:
    """Whether a name is one that `write_whole` gives what it has not finished."""
    return re.fullmatch(r"\.\d+\.\d+\.tmp", name) is not None


def remove(path: Path) -> None:
    """A file or a folder with all that is in it, if it is there. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync_path(path: Path) -> None:
    """A file on the disk, or the names in a folder: what was written survives a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(path: Path) -> None:
    """A file, or a folder and everything below it, on the disk. Raises OSError."""
    if not path.is_dir():
        sync_path(path)
        return
    for at, _, names in os.walk(path, topdown=False):
        for name in sorted(names):
            if not os.path.islink(Path(at, name)):
                sync_path(Path(at, name))
        sync_path(Path(at))


def make_folder(path: Path) -> None:
    """A folder and those above it, each name on the disk. Raises OSError."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_path(path.parent)
