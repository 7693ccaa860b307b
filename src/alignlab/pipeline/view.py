"""What people see of a pipeline: on a terminal bars and how long it will take, elsewhere a line when a stage
begins, says something or ends. On stderr.
"""

from __future__ import annotations

import json
import shutil
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ..text.escapes import one_line

CLOCK = 10  # columns of the time before a line


class Stage(Protocol):
    """What is seen of a stage of `alignlab.pipeline.runner`; `seconds` is how long it took or, while it runs, when
    it began.
    """

    name: str
    out: Path
    state: str  # waiting, running, done
    seconds: float
    text: str

    @property
    def target(self) -> Any: ...
    @property
    def needs(self) -> Sequence[Any]: ...


class View:
    """A live table on a terminal, plain lines elsewhere."""

    def __init__(self, stages: Sequence[Stage], workers: int) -> None:
        from rich.console import Console
        from rich.live import Live

        self.stages, self.workers, self.console = (
            stages,
            workers,
            Console(stderr=True, highlight=False, markup=False),
        )
        self.started, self.seen = time.perf_counter(), set[tuple[str, str]]()
        self.live = (
            Live(console=self.console, refresh_per_second=4, transient=True)
            if self.console.is_terminal
            else None
        )

    def __enter__(self) -> View:
        if self.live:
            self.live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.live:
            self.live.__exit__(*error)

    def say(self, text: str, clock: str = "") -> None:
        """One line above the bars; on a terminal it is broken where the terminal ends, elsewhere never."""
        lines = (
            textwrap.wrap(one_line(text), max(20, self.console.width - CLOCK), break_on_hyphens=False)
            if self.live
            else [one_line(text)]
        )
        for number, line in enumerate(lines):
            self.console.print(
                f"{'' if number else clock:>{CLOCK - 2}}  {line}",
                style="dim" if not clock else None,
                soft_wrap=True,
            )

    def note(self, stage: Stage, line: str) -> None:
        """What a stage says while it works."""
        self.say(line if line.startswith(stage.name) else f"{stage.name}: {line}")

    def show(self) -> None:
        for stage in self.stages:
            if stage.state != "waiting" and (stage.name, stage.state) not in self.seen:
                self.seen.add((stage.name, stage.state))
                if stage.state == "done":
                    self.say(
                        f"{stage.name:<14} took {stage.seconds:6.1f} s  {stage.text.split(chr(10))[0]}",
                        f"{time.perf_counter() - self.started:.1f} s",
                    )
                elif not self.live:
                    self.say(f"{stage.name:<14} started")
        if self.live:
            self.live.update(self.table())

    def table(self) -> Any:
        """A bar for each running stage, and how far the whole is."""
        from rich.table import Table

        width = self.console.width
        bar, wide = max(6, min(20, width // 5)), max(8, min(24, width // 4))
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, max_width=wide, overflow="ellipsis")
        table.add_column(no_wrap=True, width=bar, style="cyan")
        table.add_column(no_wrap=True, overflow="ellipsis")
        for stage in self.stages:
            if stage.state == "running":
                done, total, left = progress_of(stage.out)
                table.add_row(
                    stage.name,
                    "█" * int(bar * done / total) if total else "",
                    f"{done}/{total}, about {spoken(left)} left" if total else "loading",
                )
        ended = sum(stage.state == "done" for stage in self.stages)
        left = time_left(self.stages, self.workers)
        guess = f", about {spoken(left)} left" if left is not None else ""
        table.add_row(
            "all stages", "█" * int(bar * ended / len(self.stages)), f"{ended}/{len(self.stages)}{guess}"
        )
        return table


def time_left(stages: Sequence[Stage], workers: int) -> float | None:
    """Seconds until the last stage ends, if those to come take as long as those like them have taken; None
    while nothing like them has ended.

    Each stage begins when what it needs has ended and one of the workers is free, in the order of the plan.
    """
    lasts: dict[int, float] = {}
    for stage in stages:
        like = [
            other.seconds for other in stages if other.state == "done" and other.target is stage.target
        ] or [other.seconds for other in stages if other.state == "done"]
        if stage.state == "running" and (known := progress_of(stage.out))[1]:
            lasts[id(stage)] = known[2]
        elif stage.state == "done":
            lasts[id(stage)] = 0.0
        elif like:
            spent = time.perf_counter() - stage.seconds if stage.state == "running" else 0.0
            lasts[id(stage)] = max(0.0, sum(like) / len(like) - spent)
        else:
            return None
    free = [0.0] * workers
    ends: dict[int, float] = {}
    for stage in sorted(stages, key=lambda stage: ("done", "running", "waiting").index(stage.state)):
        if stage.state == "done":
            ends[id(stage)] = 0.0
            continue
        place = free.index(min(free))
        begins = max([free[place], *(ends.get(id(need), 0.0) for need in stage.needs)])
        free[place] = ends[id(stage)] = begins + lasts[id(stage)]
    return max(ends.values(), default=0.0)


def progress_of(out: Path) -> tuple[int, int, float]:
    """How far a running stage says it is, from the progress file in its staging folder: steps done, of how
    many, seconds left.
    """
    try:
        row = json.loads((out.with_name(out.name + ".partial") / "progress.json").read_text(encoding="utf-8"))
        return int(row["done"]), int(row["total"]), float(row["seconds_left"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0, 0.0


def spoken(seconds: float) -> str:
    """A time as one would say it."""
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


def table(rows: Sequence[Sequence[str]], width: int = 0) -> list[str]:
    """Rows of cells as lines, the first row being heads and the first column names; what is wider than the
    terminal is turned on its side, and cut into parts if it is still too wide.

    Args:
        width: columns; 0 = those of the terminal, 100 where there is none.
    """
    width = width or shutil.get_terminal_size((100, 24)).columns
    flat = laid_out(rows)
    if max(map(len, flat)) <= width:
        return flat
    turned = [list(column) for column in zip(*rows, strict=True)]
    if max(map(len, flat := laid_out(turned))) <= width:
        return flat
    lines: list[str] = []
    first, rest = [row[0] for row in turned], len(turned[0])
    start = 1
    while start < rest:
        stop = start + 1
        while (
            stop < rest
            and max(
                map(
                    len,
                    laid_out(
                        [[name, *row[start : stop + 1]] for name, row in zip(first, turned, strict=True)]
                    ),
                )
            )
            <= width
        ):
            stop += 1
        lines += ([""] if lines else []) + laid_out(
            [[name, *row[start:stop]] for name, row in zip(first, turned, strict=True)]
        )
        start = stop
    return lines


def laid_out(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
