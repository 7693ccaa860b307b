"""What a studio that looks on costs who trains: row `beside` of studio.py."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from studio_open import Opened, browser, line, studio

from alignlab.evals.statistics import mean_ci
from alignlab.studio.scan import id_of

TRAIN = ("ppo", "--model", "town-s", "--judge", "town:gold", "--data", "town:prompts", "--count", "500")
TRAIN += ("--steps", "12", "--rollouts", "64", "--epochs", "1", "--model.threads", "1")
PROBES = ("--probes", "16", "--probe-every", "2")
KINDS = {"alone": (False, ()), "open": (True, ()), "probes": (True, PROBES)}


def beside(folder: Path, asked: Namespace) -> None:
    """PPO without a studio, with one whose page of this run is open, and that with probes; in turn, so that
    each is paired with its neighbors.
    """
    seconds: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    trained(folder / "first", "first", ())  # files of the machine are read
    for number in range(asked.pairs):
        order = list(KINDS)
        for kind in order[number % 3 :] + order[: number % 3]:
            seconds[kind].append(one(folder, f"{kind}-{number}", *KINDS[kind]))
    for kind, what, most in (
        ("open", "training beside an open studio", 1.0),
        ("probes", "the same, with 16 probes every 2 steps", 3.0),
    ):
        wall, spent = (_slower(seconds, kind, column) for column in (0, 1))
        said = (
            f"{_told(wall)} by the clock, {_told(spent)} of its own processor time (n {asked.pairs}, paired)"
        )
        line(what, f"{most:g} % slower", said, "beside", met=wall["mean"] <= most)


def one(folder: Path, name: str, watched: bool, more: tuple[str, ...]) -> tuple[float, float]:
    with ExitStack() as ending:
        if watched:
            opened: Opened = ending.enter_context(studio(folder))
            chromium = ending.enter_context(browser())
            page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.goto(opened.url)
            process, begun = started(folder, name, more)
            while page.evaluate(f"fetch('/api/runs/{id_of(name)}').then((answer) => answer.status)") != 200:
                page.wait_for_timeout(250)
            page.goto(f"{opened.base}/run/{id_of(name)}")
            while process.poll() is None:
                page.wait_for_timeout(100)
            return ended(process, begun)
        return trained(folder, name, more)


def started(folder: Path, name: str, more: tuple[str, ...]) -> tuple[Any, float]:
    command = [sys.executable, "-m", "alignlab.cli", *TRAIN, *more, "--out", str(folder / name)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return Timed(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **quiet), time.perf_counter()


class Timed(subprocess.Popen):
    """Knows what it took of the processors."""

    spent, over = 0.0, 0.0

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        pid, status, usage = os.wait4(self.pid, wait_flags)
        if pid:
            self.spent, self.over = usage.ru_utime + usage.ru_stime, time.perf_counter()
        return pid, status


def ended(process: Any, begun: float) -> tuple[float, float]:
    if process.wait():
        raise SystemExit(f"training ended with {process.returncode}")
    return process.over - begun, process.spent


def trained(folder: Path, name: str, more: tuple[str, ...]) -> tuple[float, float]:
    return ended(*started(folder, name, more))


def _slower(seconds: dict[str, list[tuple[float, float]]], kind: str, column: int) -> dict[str, Any]:
    """By how many percent, of each pair the same turn."""
    alone, other = (np.array(seconds[name])[:, column] for name in ("alone", kind))
    return mean_ci(list(100 * (other / alone - 1)))


def _told(found: dict[str, Any]) -> str:
    low, high = found["ci"] or (float("nan"), float("nan"))
    return f"{found['mean']:+.1f} % [{low:+.1f}, {high:+.1f}]"
