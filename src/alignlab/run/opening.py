"""A run folder is begun, gone on with, or found done."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..text.disk import remove, sweep
from .files import writing
from .lock import lock, release
from .places import check_out, staging_of
from .wanted import Resume, Wanted, finished_key


def begun(
    out: Path,
    stage: str,
    config: Mapping[str, Any],
    seed: int,
    parents: Sequence[str | Path],
    data: Mapping[str, str],
    resume: Resume,
) -> dict[str, Any] | None:
    """What is known of a run whose folder this process now holds the lock of; None where it is done.
    Arguments and errors as `RunDir.open`.
    """
    check_out(out)
    lineage = {str(parent): finished_key(parent) for parent in parents}
    wanted = Wanted(out, stage, config, seed, data, lineage)
    if wanted.is_done(resume):
        return None
    staging = staging_of(out)
    with writing(staging):
        lock(staging)
        sweep(staging)
        try:
            if wanted.is_done(resume):  # another process finished it in between
                shutil.rmtree(staging)
                release(staging)
                return None
            if not wanted.goes_on(staging, resume):
                for item in staging.iterdir():
                    if item.name != ".lock":
                        remove(item)
            return wanted.begun(staging, resume)
        except UserError:
            release(staging)
            raise
