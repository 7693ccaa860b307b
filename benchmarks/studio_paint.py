"""How long a student waits for the first picture: the map of the recorded run, in a browser that has seen
nothing yet, and its three doors.

    python benchmarks/studio_paint.py                  ten loads; wants playwright and Debian's chromium

Each figure is printed beside its bar. Every load is in a context of its own, so that nothing is cached; the
first is that of a studio that was just started, in a folder that is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

DOORS = ("Step through it", "Vote on 20 pairs", "Talk")
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
MAP = "section[aria-label='What was made from what'] li.node"


@contextmanager
def studio(folder: Path) -> Iterator[str]:
    """The address of a studio without its token; `link` gives a link to it."""
    command = [
        sys.executable,
        "-m",
        "alignlab.cli",
        "studio",
        str(folder),
        "--port",
        "0",
        "--no-open",
        "--json",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(process.stdout.readline())["url"]  # type: ignore[union-attr]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def link(folder: Path) -> str:
    """Another link to the studio of a folder."""
    command = [sys.executable, "-m", "alignlab.cli", "studio", "link", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def load(browser: Any, url: str) -> dict[str, float]:
    """Seconds from the request on: anything painted, the map painted, the doors usable."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(MAP, timeout=120_000)
    now = "() => new Promise((done) => requestAnimationFrame(() => done(performance.now())))"
    mapped = page.evaluate(now)
    for door in DOORS:
        page.locator("main").get_by_text(door, exact=True).click(trial=True, timeout=120_000)
    found = {"first paint": page.evaluate(PAINTED), "map": mapped, "doors": page.evaluate(now)}
    context.close()
    return {name: value / 1000 for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--loads", type=int, default=10)
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name) / "runs"
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with studio(folder) as url:
            rows = [load(browser, url)] + [load(browser, link(folder)) for _ in range(asked.loads - 1)]
        browser.close()
    for what, bar in (("first paint", 1.0), ("map", 1.0), ("doors", 10.0)):
        values = [row[what] for row in rows]
        print(
            f"{what:12} {median(values):.2f} s (first {values[0]:.2f}, most {max(values):.2f}), bar {bar:g}"
        )
    print(f"load of the machine meanwhile: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
