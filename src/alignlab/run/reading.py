"""A run folder as others see it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError, UserError
from ..health.rules import Finding, examine
from ..text.escapes import one_line
from ..text.lines import read_lines
from ..text.streams import say
from . import manifest, states
from .files import DAMAGED, read_json
from .lock import owner_lives


@dataclass
class RunInfo:
    """A run folder as others see it.

    Attributes:
        path: the folder; of an unfinished run, its staging folder.
        status: "done", "running" (a process is at it) or "stopped" (unfinished; the same command goes on with
            it).
        started: seconds since 1970.
        seconds: of work, over all resumes; of an unfinished run, up to its newest state.
        cpu_seconds: of processor time, likewise: what it costs whatever else the machine does.
        data: what was read, name to digest.
    """

    path: Path
    stage: str
    status: str
    key: str
    seed: int
    parents: list[str]
    config: dict[str, Any]
    commit: str
    versions: dict[str, str]
    machine: dict[str, Any]
    started: float
    seconds: float
    cpu_seconds: float
    summary: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return lines(self.path / "metrics.jsonl")

    @property
    def samples(self) -> list[dict[str, Any]]:
        return lines(self.path / "samples.jsonl")


def read_run(path: str | os.PathLike[str], *, weights: bool = False) -> RunInfo:
    """What a run folder holds, once it is as its manifest says; a run made before there were manifests goes
    without.

    Args:
        weights: read the weights of a finished run too, to see that none of them has changed.

    Raises:
        DataError: a file of the run is not as it was written. UserError: the folder is no run.
    """
    path = Path(path)
    manifest.check_whole(path, weights=weights)
    try:
        info, config = read_json(path / "run.json"), read_json(path / "config.json")
        summary = read_json(path / "summary.json") if (path / "summary.json").exists() else {}
        status = info["status"] if info["status"] == "done" or owner_lives(path) else "stopped"
        return RunInfo(
            path,
            info["stage"],
            status,
            info["key"],
            info["seed"],
            info["parents"],
            config,
            info["commit"],
            info["versions"],
            info["machine"],
            info["started"],
            info["seconds"],
            info.get("cpu_seconds", 0.0),
            summary,
            info["data"],
        )
    except KeyError as error:
        raise UserError(
            f"not a run folder: run.json has no {error}",
            where=str(path),
            remedy="`alignlab runs` lists the runs",
        ) from None
    except DataError as error:
        raise UserError(
            f"not a run folder: {error.what}", where=error.where, remedy="`alignlab runs` lists the runs"
        ) from None


def is_run(path: Path) -> bool:
    """Whether a folder is or was a run: also one whose run.json is lost."""
    return (path / "run.json").exists() or (path / manifest.MANIFEST).exists()


def list_runs(folder: str | os.PathLike[str]) -> list[RunInfo]:
    """Every run below a folder, finished or not, newest first. One that cannot be read is named on stderr."""
    found = []
    for path in find_folders(Path(folder)):
        try:
            found.append(read_run(path))
        except UserError as error:
            say(f"passed over: {one_line(error.what)} ({one_line(error.where)})")
    return sorted(found, key=lambda info: -info.started)


def find_folders(path: Path) -> list[Path]:
    """The run folder of that name, the staging folder of one that is unfinished, or every run below a folder,
    in order of their paths.
    """
    staging = path.with_name(f"{path.name}.partial") if path.name else path
    for folder in (path, staging):
        if is_run(folder):
            return [folder]
    return sorted(
        {file.parent for name in ("run.json", manifest.MANIFEST) for file in path.glob(f"**/{name}")}
    )


def faults_of(folder: Path) -> list[str] | None:
    """What of a run is not as it was written, a sentence each that begins with the file; None where nothing
    is kept to go by.

    Of an unfinished run: whether it can be gone on with.
    """
    if (folder / manifest.MANIFEST).exists():
        return manifest.faults(folder)
    try:
        info = read_json(folder / "run.json")
        read_json(folder / "config.json")
        if info.get("status") == "done":
            return manifest.faults(folder)
        state, wrong = states.newest(folder)
        states.compare(folder, states.row_of(state)["logs"] if state else {})
    except DataError as error:
        return [f"{Path(error.where).name} {error.what}"]
    return wrong


def examine_run(info: RunInfo) -> list[Finding]:
    """What the rules of `alignlab.health.rules` say of a run, finished or not."""
    rows = info.metrics
    share = 1.0
    if info.status != "done":
        total = read_json(info.path / "run.json").get("steps", 0)
        share = 0.5
        if rows and total:
            share = min(0.999, (int(rows[-1].get("step", 0)) + 1) / total)
    return examine(info.stage, info.config.get("settings") or {}, rows, info.summary, share=share)


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a log; the last one of a run that was cut off is left out. Raises DataError for any other
    that cannot be read.
    """
    rows = [(number, row) for number, row in read_lines(path, cut=True)] if path.exists() else []
    if wrong := [number for number, row in rows if not isinstance(row, dict)]:
        raise DataError("not a row of a log", where=f"{path}:{wrong[0]}", remedy=DAMAGED)
    return [row for _, row in rows]
