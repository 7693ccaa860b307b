"""A run folder as others see it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..normal import Finding, examine
from .files import read_json
from .lock import owner_lives


@dataclass
class RunInfo:
    """A run folder as others see it.

    Attributes:
        path: the folder; of an unfinished run, its staging folder.
        status: "done", "running" (a process is at it) or "stopped" (unfinished; the same command goes on with it).
        started: seconds since 1970.
        seconds: of work, over all resumes; of an unfinished run, up to its newest state.
        cpu_seconds: of processor time, likewise: what it costs whatever else the machine does.
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

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return lines(self.path / "metrics.jsonl")

    @property
    def samples(self) -> list[dict[str, Any]]:
        return lines(self.path / "samples.jsonl")


def read_run(path: str | os.PathLike[str]) -> RunInfo:
    """What a run folder holds. Raises UserError if it is none."""
    path = Path(path)
    try:
        info = json.loads((path / "run.json").read_text())
        config = json.loads((path / "config.json").read_text())
        summary = json.loads((path / "summary.json").read_text()) if (path / "summary.json").exists() else {}
        status = info["status"] if info["status"] == "done" or owner_lives(path) else "stopped"
        return RunInfo(path, info["stage"], status, info["key"], info["seed"], info["parents"], config, info["commit"], info["versions"],
                       info["machine"], info["started"], info["seconds"], info.get("cpu_seconds", 0.0), summary)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"not a run folder: {error}", where=str(path), remedy="`alignlab runs` lists the runs") from None


def list_runs(folder: str | os.PathLike[str]) -> list[RunInfo]:
    """Every run below a folder, finished or not, newest first."""
    found = []
    for file in sorted(Path(folder).glob("**/run.json")):
        with suppress(UserError):
            found.append(read_run(file.parent))
    return sorted(found, key=lambda info: -info.started)


def examine_run(info: RunInfo) -> list[Finding]:
    """What the rules of `alignlab.normal` say of a run, finished or not."""
    rows = info.metrics
    share = 1.0
    if info.status != "done":
        total = read_json(info.path / "run.json").get("steps", 0)
        share = min(0.999, (int(rows[-1].get("step", 0)) + 1) / total) if rows and total else 0.5
    return examine(info.stage, info.config.get("settings") or {}, rows, info.summary, share=share)


def lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # the last line of a run that was cut off
                rows.append(json.loads(line))
    return rows
