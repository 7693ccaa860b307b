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
ENDED = ("done", "failed")


class Stage(Protocol):
    """What is seen of a stage of `alignlab.pipeline.runner`; `seconds` is how long it took or, while it runs,
    when it began.
    """

    name: str
    out: Path
    state: str  # waiting, running, done, failed
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

        self.stages, self.workers = stages, workers
        self.console = Console(stderr=True, highlight=False, markup=False)
        self.started, self.seen = time.perf_counter(), set[tuple[str, str]]()
        self.live: Live | None = None
        if self.console.is_terminal:
            self.live = Live(console=self.console, refresh_per_second=4, transient=True)

    def __enter__(self) -> View:
        if self.live:
            self.live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.live:
            self.live.__exit__(*error)

    def say(self, text: str, clock: str = "") -> None:
        """One line above the bars; on a terminal it is broken where the terminal ends, elsewhere never."""
        lines = [one_line(text)]
        if self.live:
            lines = textwrap.wrap(lines[0], max(20, self.console.width - CLOCK), break_on_hyphens=False)
        style, before = None if clock else "dim", clock
        for line in lines:
            self.console.print(f"{before:>{CLOCK - 2}}  {line}", style=style, soft_wrap=True)
            before = ""

    def note(self, stage: Stage, line: str) -> None:
        """What a stage says while it works."""
        if not line.startswith(stage.name):
            line = f"{stage.name}: {line}"
        self.say(line)

    def show(self) -> None:
        for stage in self.stages:
            if stage.state != "waiting" and (stage.name, stage.state) not in self.seen:
                self.seen.add((stage.name, stage.state))
                if stage.state == "done":
                    first, clock = stage.text.split("\n")[0], time.perf_counter() - self.started
                    self.say(f"{stage.name:<14} took {stage.seconds:6.1f} s  {first}", f"{clock:.1f} s")
                elif stage.state == "failed":
                    self.say(f"{stage.name:<14} failed: " + stage.text.split("\n")[0])
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
                if total:
                    said = f"{done}/{total}, about {spoken(left)} left"
                    table.add_row(stage.name, "█" * int(bar * done / total), said)
                else:
                    table.add_row(stage.name, "", "loading")
        ended = sum(stage.state in ENDED for stage in self.stages)
        said = f"{ended}/{len(self.stages)}"
        left = time_left(self.stages, self.workers)
        if left is not None:
            said += f", about {spoken(left)} left"
        table.add_row("all stages", "█" * int(bar * ended / len(self.stages)), said)
        return table


def time_left(stages: Sequence[Stage], workers: int) -> float | None:
    """Seconds until the last stage ends, if those to come take as long as those like them have taken; None
    while nothing like them has ended.

    Each stage begins when what it needs has ended and one of the workers is free, in the order of the plan.
    """
    lasts: dict[int, float] = {}
    ended = [stage for stage in stages if stage.state == "done"]
    for stage in stages:
        same = [other for other in ended if other.target is stage.target]
        like = [other.seconds for other in same or ended]
        if stage.state == "running" and (known := progress_of(stage.out))[1]:
            lasts[id(stage)] = known[2]
        elif stage.state in ENDED:
            lasts[id(stage)] = 0.0
        elif like:
            lasts[id(stage)] = sum(like) / len(like)
            if stage.state == "running":
                spent = time.perf_counter() - stage.seconds
                lasts[id(stage)] = max(0.0, lasts[id(stage)] - spent)
        else:
            return None
    free = [0.0] * workers
    ends: dict[int, float] = {}
    for stage in sorted(stages, key=lambda stage: (*ENDED, "running", "waiting").index(stage.state)):
        if stage.state in ENDED:
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
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def table(rows: Sequence[Sequence[str]], width: int = 0) -> list[str]:
    """Rows of cells as lines, the first row being heads and the first column names; what is wider than the
    terminal is turned on its side, and cut into parts if it is still too wide.

    Args:
        width: columns; 0 = those of the terminal, 100 where there is none.
    """
    width = width or shutil.get_terminal_size((100, 24)).columns
    turned = [list(column) for column in zip(*rows, strict=True)]
    for lines in (laid_out(rows), laid_out(turned)):
        if widest(lines) <= width:
            return lines
    parts: list[str] = []
    start, end = 1, len(rows)
    while start < end:
        stop = start + 1
        while stop < end and widest(columns_of(turned, start, stop + 1)) <= width:
            stop += 1
        if parts:
            parts.append("")
        parts += columns_of(turned, start, stop)
        start = stop
    return parts


def columns_of(rows: Sequence[Sequence[str]], start: int, stop: int) -> list[str]:
    """The first column and some others, laid out."""
    return laid_out([[row[0], *row[start:stop]] for row in rows])


def widest(lines: Sequence[str]) -> int:
    return max(map(len, lines))


def laid_out(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell, the first to the left and the others to the right."""
    widths = [widest(column) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for row in rows:
        others = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    return lines
