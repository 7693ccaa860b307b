"""A finished run takes its name, from whatever had it before."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..text.disk import sync_path
from .files import read_json
from .reading import is_run


def take_name(staging: Path, out: Path) -> None:
    """Rename a run's folder. A run that has the name already is moved away before, and goes with `tidied`."""
    replaced = _replaced(out)
    if is_run(out):
        shutil.rmtree(replaced, ignore_errors=True)
        out.rename(replaced)
    elif out.exists():
        out.rmdir()  # an empty folder that somebody made beforehand
    staging.rename(out)
    sync_path(out.parent)


def tidied(out: Path) -> dict[str, Any]:
    """What run.json says of a finished run, once the lock and the run that it replaced are gone: a kill after
    the rename leaves them.
    """
    with suppress(OSError):  # a folder that may be read only
        (out / ".lock").unlink(missing_ok=True)
        if is_run(_replaced(out)):
            shutil.rmtree(_replaced(out), ignore_errors=True)
    return read_json(out / "run.json")


def _replaced(out: Path) -> Path:
    """Where a run that is made anew lies until the new one has its name."""
    return out.with_name(out.name + ".replaced")
