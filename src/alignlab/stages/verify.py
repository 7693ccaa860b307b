"""`alignlab runs verify`: whether runs are as they were written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import CheckFailed, UserError
from ..run import faults_of, find_folders
from ..text.escapes import one_line

OLD = "no manifest: made by an older version, so only what run.json says of its data could be compared"


def verify_runs(names: Sequence[str]) -> dict[str, Any]:
    """Every file of runs against their manifests, of unfinished ones against their newest state; exit code 5
    where one has changed. A folder stands for all runs below it.
    """
    folders = list(chain.from_iterable(find_folders(Path(name)) for name in names))
    if not folders:
        raise UserError(
            "there is no run to verify",
            where=" ".join(names),
            remedy="alignlab runs verify RUN, a run folder or one that holds runs",
        )
    rows, lines = [], []
    for folder in folders:
        found = faults_of(folder)
        verdict = said = "whole"
        if found is None:
            verdict, said = "no manifest", OLD
        elif found:
            verdict = said = "damaged"
        faults = found or []
        rows.append({"run": str(folder), "verdict": verdict, "faults": faults})
        lines += [f"{one_line(str(folder))}: {said}", *(f"  {one_line(fault)}" for fault in faults)]
    damaged = sum(row["verdict"] == "damaged" for row in rows)
    return {
        "runs": rows,
        "damaged": damaged,
        "text": "\n".join(lines),
        "exit_code": CheckFailed.exit_code if damaged else 0,
    }
