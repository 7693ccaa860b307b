"""Trackers beside the record: TensorBoard, Weights & Biases and Trackio, through accelerate's trackers; off
by default.

`metrics.jsonl` is the record and a tracker is a view of it. Each tracker lives on a thread of its own, so
that one that is down, slow or broken costs training nothing: it is said once and training goes on. A run that
goes on after a kill begins its tracker anew and gives it all rows that the record holds.

    tensorboard   event files below RUN/tensorboard; no network
    wandb         offline below RUN/wandb (`wandb sync` sends it), unless WANDB_MODE says otherwise
    trackio       its own local database; no network unless TRACKIO_SPACE_ID names a space

No method knows of it: `RunDir.log` hands each row over.
"""

from __future__ import annotations

import math
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..text.escapes import first_line
from ..text.lists import by_comma

PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",), "trackio": ("trackio",)}
PROJECT = "alignlab"
BEHIND = 10_000
"""Rows that a tracker may lag behind before it is given up."""
PATIENCE = 20.0
"""Seconds that a finished run waits for a tracker to write its last rows."""

Row = tuple[int, dict[str, float]]


def parse_trackers(names: str) -> tuple[str, ...]:
    """The trackers of a comma-separated setting.

    Raises:
        ConfigError: an unknown one, or one that is not installed, with what to install.
    """
    found = tuple(dict.fromkeys(by_comma(names)))
    for name in found:
        if name not in PACKAGES:
            raise ConfigError(
                f"there is no tracker {name!r}",
                where="tracker",
                remedy="one or more of: " + ", ".join(PACKAGES),
            )
        if not any(find_spec(package) for package in PACKAGES[name]):
            raise ConfigError(
                f"the tracker {name} is not installed",
                where="tracker",
                remedy='pip install "alignlab[trackers]"',
            )
    return found


class Tracker:
    """One tracker on its own thread.

    Args:
        make: opens the tracker and returns something with accelerate's `log(values, step=...)` and
            `finish()`; called on the thread.
        note: says that the tracker is gone and why, once.
    """

    def __init__(self, name: str, make: Callable[[], Any], note: Callable[[str], None]) -> None:
        self.name, self._make, self._note = name, make, note
        self._rows: queue.Queue[Row | None] = queue.Queue(BEHIND)
        self.gone = False
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hand a row over; never waits."""
        if self.gone:
            return
        try:
            self._rows.put_nowait(
                (step, {key: float(value) for key, value in metrics.items() if math.isfinite(value)})
            )
        except queue.Full:
            self._leave(f"{BEHIND} rows behind")

    def close(self) -> None:
        """Let it write what it has, for `PATIENCE` seconds at most."""
        if not self.gone:
            try:
                self._rows.put_nowait(None)
                self._thread.join(PATIENCE)
            except queue.Full:
                pass
            if self._thread.is_alive():
                self._leave(f"it did not end within {PATIENCE:.0f} s")

    def _work(self) -> None:
        try:
            tracker = self._make()
            while (row := self._rows.get()) is not None and not self.gone:
                tracker.log(row[1], step=row[0])
            tracker.finish()
        except (
            BaseException
        ) as error:  # whatever somebody else's client raises, SystemExit included, ends on this thread
            self._leave(f"{type(error).__name__}: {first_line(error)}")

    def _leave(self, why: str) -> None:
        if not self.gone:
            self.gone = True
            self._note(
                f"the tracker {self.name} is given up ({why[:200]}); training goes on, metrics.jsonl "
                "has every row"
            )


def start(
    names: Iterable[str],
    *,
    folder: Path,
    run: str,
    key: str,
    config: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
    note: Callable[[str], None],
) -> list[Tracker]:
    """The trackers of a run, already given the rows it has.

    Args:
        folder: of the run; what a tracker writes to files goes below it.
        run, key: its name for people, and what is the same after a resume.
        config: settings and options, kept by trackers that keep them.
        rows: those of `metrics.jsonl` so far.
    """
    trackers = [Tracker(name, MAKERS[name](folder, run, key, config), note) for name in names]
    for tracker in trackers:
        for row in rows:
            tracker.log(int(row["step"]), {name: value for name, value in row.items() if name != "step"})
    return trackers


def _started(tracker: Any) -> Any:
    """A tracker of accelerate's, open. Its logger wants to know first which process this is."""
    from accelerate import PartialState

    PartialState()
    tracker.start()
    return tracker


def _tensorboard(folder: Path, run: str, key: str, config: Mapping[str, Any]) -> Callable[[], Any]:
    def make() -> Any:
        from accelerate.tracking import TensorBoardTracker

        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        tracker = _started(TensorBoardTracker("tensorboard", logging_dir=folder))
        tracker.writer.add_text(
            "config", "\n".join(f"    {name} = {value}" for name, value in flat(config).items())
        )
        return tracker

    return make


def _wandb(folder: Path, run: str, key: str, config: Mapping[str, Any]) -> Callable[[], Any]:
    def make() -> Any:
        from accelerate.tracking import WandBTracker

        mode = os.environ.get("WANDB_MODE", "offline")
        return _started(
            WandBTracker(
                PROJECT,
                name=run,
                id=key,
                resume="allow" if mode == "online" else None,
                dir=str(folder),
                mode=mode,
                config=flat(config),
            )
        )

    return make


def _trackio(folder: Path, run: str, key: str, config: Mapping[str, Any]) -> Callable[[], Any]:
    def make() -> Any:
        from accelerate.tracking import TrackioTracker

        return _started(TrackioTracker(PROJECT, name=f"{run} {key}", config=flat(config), embed=False))

    return make


MAKERS: dict[str, Callable[[Path, str, str, Mapping[str, Any]], Callable[[], Any]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """A nested configuration as dotted names and plain values."""
    found: dict[str, bool | int | float | str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value if isinstance(value, (bool, int, float, str)) else str(value)
    return found
