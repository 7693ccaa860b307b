"""What a studio that looks on costs who trains: row `beside` of studio.py."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from alignlab.evals.statistics import mean_ci
from alignlab.studio.scan import id_of

from .opened import browser, line, studio

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
    if not watched:
        return trained(folder, name, more)
    with studio(folder) as opened, browser() as chromium:
        page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(opened.url)
        asked = f"fetch('/api/runs/{id_of(name)}').then((answer) => answer.status)"
        there = False

        def look() -> None:
            """Open the page of the run, once it is there."""
            nonlocal there
            page.wait_for_timeout(100)
            if not there and page.evaluate(asked) == 200:
                there = True
                page.goto(f"{opened.base}/run/{id_of(name)}")

        return trained(folder, name, more, look)


def trained(
    folder: Path, name: str, more: tuple[str, ...], look: Callable[[], None] = lambda: time.sleep(0.1)
) -> tuple[float, float]:
    """Seconds by the clock, and on a processor."""
    command = [sys.executable, "-m", "alignlab.cli", *TRAIN, *more, "--out", str(folder / name)]
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    over: list[tuple[float, float]] = []

    def wait() -> None:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        over.append((time.perf_counter() - begun, usage.ru_utime + usage.ru_stime))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while waiting.is_alive():
        look()
    if process.returncode:
        raise SystemExit(f"training ended with {process.returncode}")
    return over[0]


def _slower(seconds: dict[str, list[tuple[float, float]]], kind: str, column: int) -> dict[str, Any]:
    """By how many percent, of each pair the same turn."""
    alone, other = (np.array(seconds[name])[:, column] for name in ("alone", kind))
    return mean_ci(list(100 * (other / alone - 1)))


def _told(found: dict[str, Any]) -> str:
    low, high = found["ci"] or (float("nan"), float("nan"))
    return f"{found['mean']:+.1f} % [{low:+.1f}, {high:+.1f}]"
