"""Every page's figures anew: each benchmark that a page is made from, seed by seed, two at a time; then the
pages.

    python benchmarks/figures.py --out runs/figures
    python benchmarks/figures.py --only results,recipes --estimate

One seed of one page is a unit of work: a process on a core of its own, so that none lends itself a second
one. It first says how long everything will take, by what `benchmarks/seconds.toml` knows. Runs that are
finished are not made again, so the same command goes on where it was. A unit that fails is told at the end
and stops no other; a page is written when all its seeds are there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab.studies.catalogue import STUDIES, reads
from alignlab.town.exam import EXAM, SEEDS

ROOT = Path(__file__).parents[1]
KNOWN = Path(__file__).with_name("seconds.toml")


@dataclass(frozen=True)
class Page:
    """A page and what it is made from.

    Attributes:
        commands: what measures it. `OUT` stands for the folder of all figures, `SEEDS` for the seeds,
            `PART` for a folder of the seed while one seed is measured.
        maker: what writes the page from the figures of all seeds.
        shares: the folder in which its runs of a seed lie; pages that name the same one share runs, so a seed
            of theirs is measured one page after the other.
    """

    commands: tuple[str, ...]
    maker: str
    shares: str = ""


def benchmark(name: str, out: str, runs: str = "") -> tuple[str, ...]:
    return (f"benchmarks/{name}.py --out {out}{f' --runs {runs}' if runs else ''} --seeds SEEDS",)


def study(name: str) -> str:
    """A study that asks held-out prompts asks those of the exam; studies of one seed share their runs."""
    held_out = f" --test {EXAM}" if "test" in reads(name) else ""
    runs = "OUT/studies/shared"
    return f"-m alignlab.cli study {name} --seeds SEEDS{held_out} --runs {runs} --out OUT/studies/PART{name}"


RECIPES = "OUT/recipes"
"""Where the recipes' runs lie, and beside those of instructgpt its controls and all methods."""

PAGES = {
    "results": Page(
        benchmark("town_bars", "OUT/bars", RECIPES), "docs/make_results.py OUT/bars/bars.json", RECIPES
    ),
    "recipes": Page(benchmark("recipes", RECIPES), f"docs/make_recipes.py {RECIPES}", RECIPES),
    "all-methods": Page(
        benchmark("methods", "OUT/methods", RECIPES), "docs/make_methods.py OUT/methods/methods.json", RECIPES
    ),
    "studies": Page(tuple(map(study, STUDIES)), "docs/make_studies.py OUT/studies --read-only"),
    "reward-models": Page(
        benchmark("reward_models", "OUT/reward-models"),
        "docs/make_reward.py OUT/reward-models/reward-models.json",
    ),
    "constitution": Page(
        benchmark("constitutional", "OUT/constitutional"),
        "docs/make_constitution.py OUT/constitutional/constitutional.json",
    ),
    "redteam": Page(benchmark("redteam", "OUT/redteam"), "docs/make_redteam.py OUT/redteam/redteam.json"),
}
"""The pages by name; README's table is written with `results`."""


@dataclass
class Unit:
    """One seed of a page; or, with all seeds, the closing of it: its figures together, and the page."""

    page: str
    seeds: tuple[int, ...]
    closing: bool = False
    state: str = "waiting"  # waiting, running, done, failed, left
    started: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    core: int = -1

    @property
    def name(self) -> str:
        return f"{self.page}, the page" if self.closing else f"{self.page}, seed {self.seeds[0]}"

    @property
    def shared(self) -> set[tuple[str, int]]:
        """The folders of a seed in which others have runs too."""
        shares = PAGES[self.page].shares
        return {(shares, seed) for seed in self.seeds} if shares else set()

    def log(self, out: Path) -> Path:
        return out / "logs" / f"{self.page}-{'page' if self.closing else self.seeds[0]}.log"

    def commands(self, out: Path) -> list[list[str]]:
        """What it runs, one after the other."""
        page = PAGES[self.page]
        part = "" if self.closing else f"seed-{self.seeds[0]}/"
        lines = [*page.commands, page.maker] if self.closing else list(page.commands)
        found = []
        for line in lines:
            comma = line.startswith("-m ")
            numbers = [",".join(map(str, self.seeds))] if comma else [*map(str, self.seeds)]
            words: list[str] = [sys.executable]
            for word in line.replace("OUT", str(out)).replace("PART", part).split():
                words += numbers if word == "SEEDS" else [word]
            found.append(words)
        return found


class Record:
    """Seconds that each unit took, of one core, over all attempts; kept below the folder of the figures."""

    def __init__(self, out: Path) -> None:
        self.file = out / "figures.json"
        self.units: dict[str, dict[str, Any]] = {}
        if self.file.exists():
            self.units = json.loads(self.file.read_text(encoding="utf-8"))
        self.known = tomllib.loads(KNOWN.read_text(encoding="utf-8"))

    def add(self, unit: Unit, seconds: float) -> None:
        row = self.units.setdefault(unit.name, {"seconds": 0.0, "done": False})
        if not row["done"]:
            row["seconds"] += seconds
            row["done"] = unit.state == "done"
        self.file.write_text(json.dumps(self.units, indent=1), encoding="utf-8")

    def of_page(self, page: str) -> float | None:
        """Of one seed: the mean of the seeds that are done here, else what is known from before."""
        done = []
        for name, row in self.units.items():
            if name.startswith(f"{page}, seed ") and row["done"]:
                done.append(row["seconds"])
        if done:
            return sum(done) / len(done)
        return self.known[page]["seconds"] if page in self.known else None

    def expected(self, unit: Unit) -> float | None:
        """Seconds that a unit will take; None where nobody knows. What is done is only looked through, and
        a closing counts figures again.
        """
        if self.units.get(unit.name, {}).get("done"):
            return LOOKED_THROUGH
        if unit.closing:
            return LOOKED_THROUGH * len(unit.seeds)
        return self.of_page(unit.page)


LOOKED_THROUGH = 30.0
"""Seconds that a unit takes whose runs are all there."""


def left(units: Sequence[Unit], record: Record, workers: int) -> str:
    """How long what is not done will take, and of which pages that is not known."""
    seconds, unknown = 0.0, set()
    for unit in units:
        if unit.state not in ("waiting", "running"):
            continue
        expected = record.expected(unit)
        if expected is None:
            unknown.add(unit.page)
        else:
            gone = time.monotonic() - unit.started if unit.state == "running" else 0.0
            seconds += max(0.0, expected - gone)
    said = f"about {seconds / workers / 3600:.1f} hours"
    if unknown:
        said += f", and what {', '.join(sorted(unknown))} take, which was never measured"
    return said


def table(units: Sequence[Unit], record: Record) -> str:
    """What is known of each page, for people."""
    lines = []
    for page in dict.fromkeys(unit.page for unit in units):
        ours = [unit for unit in units if unit.page == page and not unit.closing]
        finished = sum(record.units.get(unit.name, {}).get("done", False) for unit in ours)
        seconds = record.of_page(page)
        cost = "unknown" if seconds is None else f"{seconds / 60:.1f} minutes of a core"
        source = record.known.get(page, {}).get("from", "")
        here = any(row["done"] for name, row in record.units.items() if name.startswith(f"{page}, seed "))
        if here:
            source = "measured in this folder"
        lines.append(
            f"  {page:<14} {len(ours)} seeds, {finished} finished; a seed {cost}"
            + (f" ({source})" if source else "")
        )
    return "\n".join(lines)


def ready(units: Sequence[Unit], record: Record) -> list[Unit]:
    """Units that can be started, and at once: those whose time is not known first, then the longest."""
    state = {unit.name: unit.state for unit in units}
    taken = {key for unit in units if unit.state == "running" for key in unit.shared}
    found = []
    for unit in units:
        if unit.state != "waiting":
            continue
        needs = [Unit(unit.page, (seed,)) for seed in unit.seeds] if unit.closing else []
        states = [state[need.name] for need in needs]
        if "failed" in states:
            unit.state = "left"
        elif all(one == "done" for one in states):
            found.append(unit)
    found.sort(key=lambda unit: -(record.expected(unit) or float("inf")))
    free: list[Unit] = []
    for unit in found:
        if taken.isdisjoint(unit.shared):
            free.append(unit)
            taken.update(unit.shared)
    return free


@contextmanager
def bound_to(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core alone, and so do its children."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start(unit: Unit, out: Path, core: int) -> None:
    """Its commands, one after the other, in one process; what they say goes into a log."""
    log = unit.log(out)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    script = " && ".join(shlex.join(command) for command in unit.commands(out))
    with log.open("ab") as file, bound_to(core):
        unit.process = subprocess.Popen(
            ["sh", "-c", script], cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    unit.state, unit.started, unit.core = "running", time.monotonic(), core


def make(units: Sequence[Unit], record: Record, out: Path, cores: Sequence[int]) -> None:
    """Run every unit, one on each core."""
    try:
        while True:
            running = [unit for unit in units if unit.state == "running"]
            free = [core for core in cores if core not in {unit.core for unit in running}]
            for unit, core in zip(ready(units, record), free, strict=False):
                start(unit, out, core)
                running.append(unit)
            if not running:
                return
            time.sleep(0.2)
            for unit in running:
                assert unit.process is not None
                code = unit.process.poll()
                if code is None:
                    continue
                unit.state = "done" if code == 0 else "failed"
                seconds = time.monotonic() - unit.started
                record.add(unit, seconds)
                over = sum(unit.state in ("done", "failed", "left") for unit in units)
                print(
                    f"{time.strftime('%H:%M')}  {unit.name}: {unit.state} after {seconds / 60:.1f} minutes; "
                    f"{over} of {len(units)} units over, left {left(units, record, len(cores))}",
                    flush=True,
                )
    finally:
        for unit in units:
            if unit.process is not None and unit.process.poll() is None:
                os.killpg(unit.process.pid, signal.SIGTERM)  # runs save where they are
                unit.process.wait()


def closing(units: Sequence[Unit], record: Record, out: Path) -> str:
    """What failed, and what `seconds.toml` is to hold."""
    lines = []
    for unit in units:
        if unit.state == "failed":
            lines.append(f"{unit.name} failed: {unit.log(out)}")
        elif unit.state == "left":
            lines.append(f"{unit.name} was not made: a seed of it failed")
    machine = f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}"
    lines.append(f"\nFor {KNOWN.relative_to(ROOT)}:")
    for page in PAGES:
        seconds = record.of_page(page)
        measured = any(row["done"] for name, row in record.units.items() if name.startswith(f"{page}, seed"))
        if measured and seconds is not None:
            lines.append(f'[{page}]\nseconds = {seconds:.0f}\nfrom = "measured {machine}"\n')
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0, 1]
    parser.add_argument("--out", type=Path, default=Path("runs/figures"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--only", default="", help=f"pages by comma, of {', '.join(PAGES)}; empty = all")
    parser.add_argument("--workers", type=int, default=min(2, len(cores)), help="units side by side")
    parser.add_argument("--estimate", action="store_true", help="say how long it will take, and do nothing")
    args = parser.parse_args()
    pages = args.only.split(",") if args.only else list(PAGES)
    if unknown := set(pages) - set(PAGES):
        parser.error(f"no such page: {', '.join(sorted(unknown))}; there are {', '.join(PAGES)}")
    if not 1 <= args.workers <= len(cores):
        parser.error(f"--workers from 1 to {len(cores)}: each has a core of its own")
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    record = Record(out)
    seeds = tuple(dict.fromkeys(args.seeds))
    units = [Unit(page, (seed,)) for page in pages for seed in seeds]
    units += [Unit(page, seeds, closing=True) for page in pages]
    print(table(units, record))
    print(f"{args.workers} side by side: {left(units, record, args.workers)}", flush=True)
    if args.estimate:
        return
    make(units, record, out, cores[: args.workers])
    print(closing(units, record, out))
    if any(unit.state != "done" for unit in units):
        sys.exit(1)


if __name__ == "__main__":
    main()
