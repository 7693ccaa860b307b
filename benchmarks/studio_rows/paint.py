"""How long a student waits for the first picture: the map of the recorded run, in a browser that has seen
nothing yet, and its three doors. Row `paint` of studio.py.

Every load is in a context of its own, so that nothing is cached; the first is that of a studio that was just
started, in a folder that is not there.
"""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from .opened import browser, line, median, studio

DOORS = ("Step through it", "Vote on 20 pairs", "Talk")
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
MAP = "section[aria-label='What was made from what'] li.node"


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
    found = {"anything painted": page.evaluate(PAINTED), "the map painted": mapped}
    found["its doors usable"] = page.evaluate(now)
    context.close()
    return {name: value / 1000 for name, value in found.items()}


def paint(folder: Path, asked: Namespace) -> None:
    with browser() as chromium, studio(folder) as opened:
        rows = [load(chromium, opened.url)] + [load(chromium, link(folder)) for _ in range(asked.loads - 1)]
    for what, bar in (("anything painted", 1.0), ("the map painted", 1.0), ("its doors usable", 10.0)):
        values = [row[what] for row in rows]
        said = (
            f"{median(values):.2f} s (median of {len(rows)}; first {values[0]:.2f}, most {max(values):.2f})"
        )
        line(what, f"{bar:g} s", said, "paint", met=median(values) <= bar)
