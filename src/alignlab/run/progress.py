"""How far a run is: a bar on a terminal, lines elsewhere, a file in a pipeline."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .files import write_json


@contextmanager
def progress(
    folder: Path, total: int, first: int, desc: str, *, note: Callable[[str], None]
) -> Iterator[Callable[[int], None]]:
    """On a terminal a bar, elsewhere a line every 15 s; in a pipeline a file that the pipeline reads.

    Args:
        folder: the run's folder while it works.
        note: says a line to the person who is watching.
    """
    left = eta(total, first)
    said = 0.0
    if os.environ.get("ALIGNLAB_PROGRESS") == "file":

        def to_file(done: int) -> None:
            nonlocal said
            seconds = left(done)
            if time.perf_counter() - said > 0.5:
                said = time.perf_counter()
                with suppress(OSError):
                    write_json(
                        folder / "progress.json",
                        {"done": done, "total": total, "seconds_left": seconds},
                        sync=False,
                    )

        yield to_file
        return
    if sys.stderr.isatty():
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
            yield lambda done: bar.update(task, completed=done)
        return

    def to_lines(done: int) -> None:
        nonlocal said
        seconds = left(done)
        if time.perf_counter() - said > 15 or done == total:
            said = time.perf_counter()
            remaining = f", about {seconds:.0f} s left" if done < total else ""
            note(f"{desc}: {done}/{total}{remaining}")

    said = time.perf_counter()
    yield to_lines


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
