"""What the small files of a run say: read once, and again when they have changed. They may say anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..report.words import judge_of
from ..run import RunInfo
from ..run.lock import is_alive
from ..stages.figures import FIGURES
from ..text.documents import Malformed
from . import schema
from .inside import Inside, clean, number, text
from .scan import PARTIAL, below

DOCUMENTS = ("run.json", "config.json", "summary.json")
LATEST = 1e11  # seconds since 1970 that a run may have begun at
MOST_NAME = 300  # characters of a name in a list
MOST_FIGURES = 12  # of a run in a list


@dataclass(frozen=True)
class Head:
    """A run by its small files.

    Attributes:
        path: its name below the studio's folder, without `.partial`.
        folder: where its files are now.
        status: "running" or "stopped" as it was when it was asked.
        parents: their paths as the run was given them.
        problem: why nothing else is known.
    """

    path: str
    folder: str
    status: schema.Status
    problem: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        return text(self.info.get("stage"), MOST_NAME)

    @property
    def key(self) -> str:
        return text(self.info.get("key"), MOST_NAME)

    @property
    def seed(self) -> int | None:
        seed = self.info.get("seed")
        return seed if isinstance(seed, int) and abs(seed) < 2**53 else None

    @property
    def started(self) -> float | None:
        started = number(self.info.get("started"))
        return started if started is not None and 0 < started < LATEST else None

    @property
    def seconds(self) -> float | None:
        return number(self.info.get("seconds"))

    @property
    def parents(self) -> list[str]:
        parents = self.info.get("parents")
        return [item for item in parents if isinstance(item, str)] if isinstance(parents, list) else []

    def as_info(self, root: Path) -> RunInfo:
        """The run as `alignlab.run` has it, for what compares runs; its files are not read through it."""
        return RunInfo(
            path=root / self.folder,
            stage=self.stage,
            status=self.status,
            key=self.key,
            seed=self.seed or 0,
            parents=self.parents,
            config=dict(self.config),
            commit="",
            versions={},
            machine={},
            started=self.started or 0.0,
            seconds=self.seconds or 0.0,
            cpu_seconds=0.0,
            summary=dict(self.summary),
        )


class Heads:
    """Heads of runs, read again where one of their documents has changed."""

    def __init__(self, inside: Inside) -> None:
        self.inside = inside
        self._known: dict[str, tuple[Any, Head]] = {}

    def of(self, path: str, folders: list[str]) -> Head:
        """The head of a run that has these folders: of a run that is made anew the new one, while a process
        is at it.
        """
        partial = next((folder for folder in folders if folder.endswith(PARTIAL)), "")
        alive = bool(partial) and self._is_alive(partial)
        whole = next((folder for folder in folders if folder != partial), partial)
        folder = partial if alive else whole
        state: schema.Status = "done"
        if folder == partial:
            state = "running" if alive else "stopped"
        signature = folder, state, *(self._stamp(below(folder, name)) for name in DOCUMENTS)
        known = self._known.get(path)
        if known and known[0] == signature:
            return known[1]
        head = self._read(path, folder, state)
        self._known[path] = signature, head
        return head

    def forget_all_but(self, paths: Mapping[str, Any]) -> None:
        for path in [path for path in self._known if path not in paths]:
            del self._known[path]

    def _stamp(self, path: str) -> tuple[int, int, int] | None:
        try:
            at = os.lstat(self.inside.at(path))
        except OSError:
            return None
        return at.st_ino, at.st_size, at.st_mtime_ns

    def _is_alive(self, folder: str) -> bool:
        try:
            with self.inside.binary(below(folder, ".lock")) as file:
                return is_alive(file.read(32).decode("ascii", "replace"))
        except OSError:
            return False

    def _read(self, path: str, folder: str, state: schema.Status) -> Head:
        try:
            info = self.inside.document(below(folder, "run.json"))
            config = self.inside.document(below(folder, "config.json"))
        except (OSError, Malformed) as error:
            return Head(path, folder, "broken", f"run.json or config.json: {why(error)}")
        try:
            summary = self.inside.document(below(folder, "summary.json"))
        except OSError:
            summary = {}
        except Malformed as error:
            return Head(path, folder, "broken", f"summary.json: {error}", info, config)
        return Head(path, folder, state, "", info, config, summary)


def why(error: Exception) -> str:
    """What an error says, without the path that it names."""
    return getattr(error, "strerror", None) or str(error)


def figures_of(head: Head) -> list[schema.Figure]:
    """The main figures of a run's summary, in the order in which they say most."""
    found = [figure(name_of(head, key), head.summary[key]) for key in FIGURES if key in head.summary]
    return [one for one in found if one is not None][:MOST_FIGURES]


def name_of(head: Head, key: str) -> str:
    """What a figure of a summary is called: gold of an evaluation by whoever judged."""
    name = FIGURES.get(key, text(key, 100))
    if head.stage != "eval" or "gold" not in name:
        return name
    options = head.config.get("options")
    said = [item for item in options.items() if isinstance(item[1], str)] if isinstance(options, dict) else []
    info = replace(head.as_info(Path()), config={"options": dict(said)})
    return name.replace("gold", text(judge_of(info), 100))


def figure(name: str, value: Any) -> schema.Figure | None:
    """A figure, or the mean of one with an interval; None for anything else."""
    if not isinstance(value, Mapping):
        mean = number(value)
        return None if mean is None else schema.Figure(name=name, value=mean)
    mean, ends, n = number(value.get("mean")), value.get("ci"), value.get("n")
    if mean is None:
        return None
    low, high = (None, None)
    if isinstance(ends, list) and len(ends) == 2:
        low, high = map(number, ends)
    count = n if isinstance(n, int) and 0 <= n < 2**53 else None
    return schema.Figure(name=name, value=mean, low=low, high=high, n=count)


def as_table(value: Any, most: int = 0) -> dict[str, Any]:
    """A JSON object, cleaned; an empty one for anything else."""
    return clean(value, most) if isinstance(value, dict) else {}
