"""How far a run is: a file in its folder, and a bar on a terminal or lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from .files import write_json

Shown = AbstractContextManager[Callable[[int, float], None]]
"""Gives what is told, after each step, how many are done and how many seconds are left."""


@contextmanager
def progress(
    folder: Path, total: int, first: int, desc: str, *, note: Callable[[str], None]
) -> Iterator[Callable[[int], None]]:
    """Gives what is told after each step how many are done: it goes into `progress.json`, twice a second at
    most, and to the person who is watching; not to him in a pipeline, which reads the file and shows it.

    Args:
        folder: the run's folder while it works.
        note: says a line to the person who is watching.
    """
    left = eta(total, first)
    written = 0.0
    with _shown(total, first, desc, note) as show:

        def advance(done: int) -> None:
            nonlocal written
            seconds = left(done)
            if time.perf_counter() - written > 0.5:
                written = time.perf_counter()
                row = {"done": done, "total": total, "seconds_left": seconds}
                with suppress(OSError):
                    write_json(folder / "progress.json", row, sync=False)
            show(done, seconds)

        yield advance


def _shown(total: int, first: int, desc: str, note: Callable[[str], None]) -> Shown:
    if os.environ.get("ALIGNLAB_PROGRESS") == "file":
        return _in_silence()
    return _as_bar(total, first, desc) if sys.stderr.isatty() else _as_lines(total, desc, note)


@contextmanager
def _in_silence() -> Iterator[Callable[[int, float], None]]:
    yield lambda done, seconds: None


@contextmanager
def _as_bar(total: int, first: int, desc: str) -> Iterator[Callable[[int, float], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(desc, total=total, completed=first)
        yield lambda done, seconds: bar.update(task, completed=done)


@contextmanager
def _as_lines(total: int, desc: str, note: Callable[[str], None]) -> Iterator[Callable[[int, float], None]]:
    """A line every 15 s, and the last."""
    said = time.perf_counter()

    def show(done: int, seconds: float) -> None:
        nonlocal said
        if time.perf_counter() - said > 15 or done == total:
            said = time.perf_counter()
            remaining = f", about {seconds:.0f} s left" if done < total else ""
            note(f"{desc}: {done}/{total}{remaining}")

    yield show


def eta(total: int, first: int) -> Callable[[int], float]:
    """Seconds left after so many steps, from a moving average of the time of a step; to be asked after every
    step.
    """
    last, mean = (first, time.perf_counter()), 0.0

    def left(done: int) -> float:
        nonlocal last, mean
        now = time.perf_counter()
        each = (now - last[1]) / max(1, done - last[0])
        mean = 0.9 * mean + 0.1 * each if last[0] > first else each
        last = (done, now)
        return mean * (total - done)

    return left
