"""The studio while it is looked at: rows `curves`, `learn` and `soak` of studio.py."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from alignlab import names
from alignlab.studio.scan import id_of
from alignlab.votes.exchange import take_in
from alignlab.votes.store import Store, studio_folder

from .opened import Asker, browser, instructor, line, median, p95, studio

KEYS = ("objective/scores", "objective/gold", "objective/kl", "policy/entropy_avg", "completions/mean_length")
KEYS += ("completions/clipped_ratio", "policy/clipfrac_avg")
PANELS = 6
EVERY = 0.5  # seconds between two rows of a run that trains
REDRAWN = """async (times) => {
  const took = [];
  for (let i = 0; i < times; i++) {
    const begun = performance.now();
    document.documentElement.dataset.light = i % 2 ? "dark" : "light";  // every curve is drawn anew
    await new Promise((done) => {
      const later = new MessageChannel();
      later.port1.onmessage = done;
      later.port2.postMessage(0);
    });
    took.push(performance.now() - begun);
    await new Promise(requestAnimationFrame);
  }
  return took;
}"""
MOVED = """async (times) => {
  const at = [];
  for (let i = 0; i < times; i++) {
    const key = i % 40 < 20 ? "[" : "]";
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    at.push(await new Promise(requestAnimationFrame));
  }
  return at.slice(1).map((time, i) => time - at[i]);
}"""
WATCHED = """() => {
  window.drawn = [];
  const seen = new MutationObserver(() => requestAnimationFrame(() => drawn.push(Date.now())));
  for (const plot of document.querySelectorAll(".plot")) seen.observe(plot, { childList: true });
}"""


class Training:
    """A run that is being made, as its files say it."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.run, self.draw, self.steps = folder / "long.partial", random.Random(0), 0
        self.run.mkdir(parents=True)
        about = {"schema": 1, "stage": "ppo", "status": "running", "key": "k", "seed": 0, "data": {}}
        about |= {"parents": [], "started": time.time()}
        for name, row in {"run": about, "config": {"settings": {"steps": steps}}}.items():
            (self.run / f"{name}.json").write_text(json.dumps(row))
        (self.run / ".lock").write_text(str(os.getpid()))
        self.write(steps)

    def write(self, rows: int) -> None:
        with open(self.run / "metrics.jsonl", "a", encoding="utf-8") as file:
            for _ in range(rows):
                row = {"step": self.steps, **{key: self.draw.random() for key in KEYS}}
                file.write(json.dumps(row) + "\n")
                self.steps += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        over = threading.Event()

        def train() -> None:
            while not over.wait(EVERY):
                self.write(1)

        thread = threading.Thread(target=train)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def curves(folder: Path, asked: Namespace) -> None:
    """How long curves take to be drawn, and how soon a new step is seen."""
    training = Training(folder, asked.steps)
    with studio(folder) as opened, browser() as chromium:
        page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(opened.url)
        page.goto(f"{opened.base}/run/{id_of('long')}")
        until(page, f"document.querySelectorAll('.plot canvas').length >= {PANELS}")
        redrawn = page.evaluate(REDRAWN, 40)
        frames = page.evaluate(MOVED, 120)
        page.evaluate(WATCHED)
        seen = []
        for _ in range(20):
            page.wait_for_timeout(1000)
            page.evaluate("drawn.length = 0")
            written = 1000 * time.time()
            training.write(1)
            until(page, "drawn.length > 0")
            seen.append(page.evaluate("drawn[0]") - written)
    of = f"{asked.steps:,} steps, {PANELS} panels"
    said = f"{p95(redrawn):.0f} ms; {of}"
    line("all curves of a run drawn anew", "50 ms, p95", said, "curves", met=p95(redrawn) <= 50)
    rate = 1000 / float(np.mean(frames))
    said = f"{rate:.0f} frames a second, p95 between two {p95(frames):.0f} ms"
    line("cursor through them", "60 a second", said, "curves", met=rate >= 59)
    said = f"{p95(seen):.0f} ms; median {median(seen):.0f}, n {len(seen)}"
    line("a step written to its being seen", "500 ms, p95", said, "curves", met=p95(seen) <= 500)


def until(page: Any, holds: str) -> None:
    """Wait for what the page says; `wait_for_function` would evaluate a text, which the studio forbids."""
    for _ in range(1200):
        if page.evaluate(holds):
            return
        page.wait_for_timeout(50)
    raise SystemExit(f"it never held: {holds}")


# --- fifty votes


def learn(folder: Path, asked: Namespace) -> None:
    """From fifty votes to a reward model's figures, and to a model that is aligned with it and measured."""
    pairs = names.data.read_data("town:test-pairs", "ranking", count=50).records
    with Store.open(studio_folder(folder), url="") as store:
        store.do(take_in, "fifty", pairs, mode="pair", votes=True)
    with studio(folder) as opened:
        asker = instructor(opened)
        asker.get("/api/map")  # the recorded run is there then
        found = asker.get("/api/learn")
        sft = next(run["id"] for run in found["models"] if run["name"] == "sft")
        fields = {"task": found["tasks"][0]["id"], "model": sft}
        cold, made = done(asker, "learn", fields)
        warm, _ = done(asker, "learn", fields)
        reward = next(run["id"] for run in made["runs"] if run["stage"] == "reward")
        aligned, _ = done(asker, "align", {"model": sft, "reward": reward})
    line("50 votes to figures, first", "20 s", f"{cold:.1f} s (n 1)", "learn", met=cold <= 20)
    line("50 votes to figures, again", "10 s", f"{warm:.1f} s (n 1)", "learn", met=warm <= 10)
    whole = cold + aligned
    said = f"{whole:.0f} s (n 1)"
    line("50 votes to an aligned model, measured", "4 min", said, "learn", met=whole <= 240)


def done(asker: Asker, kind: str, fields: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Seconds that a job takes, and the job."""
    begun = time.perf_counter()
    id = asker.post("/api/jobs", {"kind": kind, "fields": fields})["id"]
    while True:
        job = next(job for job in asker.get("/api/jobs")["rows"] if job["id"] == id)
        if job["state"] == "done":
            return time.perf_counter() - begun, job
        if job["state"] not in ("waiting", "running"):
            raise SystemExit(f"{kind} {job['state']}: {job['said']}")
        time.sleep(0.05)


# --- a long time


def soak(folder: Path, asked: Namespace) -> None:
    """Memory and file handles of the studio, while tabs look at a run that trains and are loaded anew."""
    training = Training(folder, 2000)
    screens = [f"/run/{id_of('long')}", "/", "/runs", "/agree", "/shelf"]
    until, loads, rows = time.monotonic() + 60 * asked.minutes, 0, []
    with studio(folder) as opened, browser() as chromium, training.going_on():
        # Hidden tabs close their streams. Here all look on, a window each: a browser has six connections
        # to a host.
        size = {"width": 1280, "height": 900}
        tabs = [chromium.new_context(viewport=size).new_page() for _ in range(asked.tabs)]
        for place, tab in enumerate(tabs):
            tab.goto(opened.url)
            tab.goto(opened.base + screens[place % len(screens)])
        begun = time.monotonic()
        while time.monotonic() < until:
            tab = tabs[loads % len(tabs)]
            tab.reload()
            loads += 1
            rows.append((time.monotonic() - begun, opened.memory, opened.handles))
            tab.wait_for_timeout(max(0, 60_000 * asked.minutes / 1100 - 300))
    seconds, memory, handles = np.array(rows[len(rows) // 5 :]).T  # the first fifth fills what is kept
    slope = np.polyfit(seconds / 3600, memory, 1)[0]
    said = f"{slope:+.1f} MB an hour over {asked.minutes:g} min ({memory[0]:.0f} to {memory[-1]:.0f} MB), "
    said += f"{loads} tabs loaded anew; {int(handles[0])} handles, then {int(handles[-1])}"
    lost = int(np.median(handles[-20:]) - np.median(handles[:20]))
    met = bool(slope <= 1) and lost <= 0
    line(f"{asked.tabs} tabs for a lesson", "1 MB an hour, no handle lost", said, "soak", met=met)
