"""Runs that are there: listed with their figures, and examined by the rules."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import CheckFailed, DataError, UserError
from ..run import examine_run, find_folders, read_run
from ..run import list_runs as find_runs
from ..text.escapes import one_line
from .compare import compare_runs
from .figures import figures_of
from .verify import verify_runs

DEFAULT = "runs"  # which need not be there yet


ORDER = ("done", "running", "stopped")


USAGE = "alignlab runs FOLDER, runs doctor RUN, runs verify RUN, or runs compare RUN RUN"


def list_runs(*, words: str | Sequence[str]) -> dict[str, Any]:
    """`alignlab runs FOLDER`: the runs below a folder, those that are done first, newest first. `runs
    doctor`, `verify` and `compare` look closer.
    """
    folder, *rest = [words] if isinstance(words, str) else words
    if folder in CLOSER:
        return CLOSER[folder](rest)
    if rest:
        raise UserError(f"runs takes one folder, not {1 + len(rest)}", where=" ".join(rest), remedy=USAGE)
    if folder != DEFAULT and not Path(folder).exists() and not find_folders(Path(folder)):
        raise DataError(
            "there is no such folder",
            where=folder,
            remedy="alignlab runs FOLDER, one that runs were written to (--out)",
        )
    found = sorted(
        find_runs(folder), key=lambda info: ORDER.index(info.status)
    )  # stable: newest first within each
    rows = [
        {
            "run": str(info.path),
            "stage": info.stage,
            "status": info.status,
            "seed": info.seed,
            "seconds": info.seconds,
            "figures": figures_of(info),
        }
        for info in found
    ]
    return {
        "runs": rows,
        "text": "\n".join(listed(rows, Path(folder))) or f"no runs below {one_line(str(folder))}",
    }


def listed(rows: Sequence[Mapping[str, Any]], folder: Path) -> Iterator[str]:
    """A line a run: name, stage, time, figures; what does not fit stands below."""
    width = shutil.get_terminal_size((80, 24)).columns
    names = [
        one_line(
            str(
                Path(row["run"]).relative_to(folder)
                if Path(row["run"]).is_relative_to(folder) and row["run"] != str(folder)
                else row["run"]
            )
        )
        for row in rows
    ]
    wide, stages = (
        min(28, max(map(len, names), default=0)),
        min(16, max((len(row["stage"]) for row in rows), default=0)),
    )
    status = ""
    for name, row in zip(names, rows, strict=True):
        if row["status"] != status:
            status = row["status"]
            yield f"{status}:"
        figures = ", ".join(f"{key} {value:.4g}" for key, value in list(row["figures"].items())[:5])
        if len(name) > wide:
            yield f"  {name}"
            name = ""
        lead = f"  {name:<{wide}}  {one_line(row['stage']):<{stages}} {duration(row['seconds']):>7}  "
        first, *more = textwrap.wrap(figures, max(20, width - len(lead))) or [""]
        yield (lead + first).rstrip()
        yield from (" " * len(lead) + line for line in more)


def duration(seconds: float) -> str:
    """A time in the unit that suits it: 9.3 s, 4.2 min, 1.5 h."""
    return (
        f"{seconds:.1f} s"
        if seconds < 100
        else f"{seconds / 60:.1f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


def doctor_runs(names: Sequence[str]) -> dict[str, Any]:
    """Is this normal? Every rule over the metrics of runs, finished or not; exit code 5 where one is broken.
    A folder stands for all runs below it.
    """
    folders = chain.from_iterable(find_folders(Path(name)) for name in names)
    infos = [read_run(folder) for folder in folders]
    if not infos:
        raise UserError(
            "there is no run to look at",
            where=" ".join(names),
            remedy="alignlab runs doctor RUN, a run folder or one that holds runs",
        )
    rows, lines = [], []
    for info in infos:
        metrics, found = info.metrics, examine_run(info)
        broken = [finding for finding in found if finding.verdict == "broken"]
        rows.append(
            {
                "run": str(info.path),
                "stage": info.stage,
                "status": info.status,
                "rows": len(metrics),
                "broken": len(broken),
                "findings": [finding.to_json() for finding in found],
            }
        )
        said = (
            f"{len(broken)} broken"
            if broken
            else "no metrics to look at"
            if not metrics
            else "nothing broken"
        )
        lines += [
            f"{info.path} ({info.stage}, {info.status}, {len(metrics)} rows of metrics): {said}",
            *(f"  {line}" for f in found for line in str(f).split("\n")),
        ]
    return {
        "runs": rows,
        "text": "\n".join(lines),
        "exit_code": CheckFailed.exit_code if any(row["broken"] for row in rows) else 0,
    }


CLOSER = {"doctor": doctor_runs, "verify": verify_runs, "compare": compare_runs}
"""What `alignlab runs WORD RUN...` does."""
