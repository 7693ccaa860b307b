"""The studio's numbers, a row each by its name, beside their bars.

    python benchmarks/studio.py                       start, runs, samples and bundle
    python benchmarks/studio.py start paint           those rows
    python benchmarks/studio.py runs --runs 50

start: from the command to its first answer. runs, samples: asked in this process, without a socket. bundle:
bytes of the pages, gzipped. paint: the map in a browser that has seen nothing, ten loads. screens: every
screen over hostile texts, with axe. keys, class: thirty people over HTTP, one of them in a browser. curves:
100,000 steps in a browser, and how soon a new one is seen. learn: fifty votes to figures, and to an aligned
model. beside: training with and without a studio that looks on. soak: twenty tabs for `--minutes`. votes,
kills, machine, power, trip, api: campaigns of the tests. paint, screens, keys, curves, beside and soak want
playwright and Debian's chromium. Rows that were written last print their line of the table in docs/studio.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from typing import Any

from alignlab.studio.answers import runs, samples
from alignlab.studio.desk import Desk, Visit
from alignlab.studio.scan import id_of
from alignlab.studio.schema import MetricsAsked, Part, RunsAsked, SamplesAsked
from alignlab.studio.table import TABLE

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "alignlab" / "studio"
LONG = id_of("long")
ALL, CURVES = RunsAsked.model_validate({}), MetricsAsked.model_validate({"id": LONG})
WORDS = "the bell of the tower rings at noon and nobody knows why the mill stands still".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--loads", type=int, default=10)
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--votes", type=int, default=100, help="of each person")
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--steps", type=int, default=100_000, help="of the run whose curves are drawn")
    parser.add_argument("--pairs", type=int, default=5, help="trainings without and with a studio")
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--tabs", type=int, default=20)
    asked = parser.parse_args()
    if unknown := set(asked.rows) - ROWS.keys():
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    for name in asked.rows or ("start", "runs", "samples", "bundle"):
        with tempfile.TemporaryDirectory() as folder:
            ROWS[name](Path(folder) / "runs", asked)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def start(folder: Path, asked: argparse.Namespace) -> None:
    make(folder, 20, 100)
    found = starts(folder, asked.starts)
    show("start to first answer, s", median([wall for wall, _ in found]), 1.5)
    show("of it on a processor, s", median([spent for _, spent in found]), 1.0)


def visit_to(desk: Desk) -> Visit:
    return Visit(desk, desk.door, "instructor", "", TABLE)


def listed(folder: Path, asked: argparse.Namespace) -> None:
    make(folder, asked.runs, 100)
    visit = visit_to(Desk(folder, port=0))
    show(f"{asked.runs} runs, first list, s", timed(lambda: runs.listed(visit, ALL)))
    show(f"{asked.runs} runs, list, s", relisted(visit), 0.1 if asked.runs <= 50 else 0.3)


def sampled(folder: Path, asked: argparse.Namespace) -> None:
    make(folder, 1, asked.samples)
    desk = Desk(folder, port=0)
    visit = visit_to(desk)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    show("first page of samples, s", timed(lambda: samples.listed(visit, page())))
    show("index of samples, s", timed(desk.watched(LONG).wait), 2.5)
    show("memory of the index, MB", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    show("a page, p95, s", pages(visit, asked.requests), 0.1)
    show("a search, p95, s", searches(visit, asked.requests // 10), 0.2)
    show("curves, s", timed(lambda: samples.metrics(visit, CURVES)))


def bundle(folder: Path, asked: argparse.Namespace) -> None:
    files = {file.name: file.read_bytes() for file in (PACKAGE / "static").iterdir()}
    sizes = {name: len(gzip.compress(data, mtime=0)) / 1000 for name, data in files.items()}
    loaded = re.findall(r"/static/([\w.-]+\.(?:js|css))", files["index.html"].decode())
    show("studio's entry, kB gzipped", sum(sizes[name] for name in loaded), 90)
    show(
        "the largest other file, kB gzipped",
        max(size for name, size in sizes.items() if name != "index.js"),
        30,
    )
    show("what a voter of a class loads, kB gzipped", sum(sizes[name] for name in reached(files)), 45)
    show("all pages, kB gzipped", sum(sizes.values()), 250)
    show("pages, MB", sum(map(len, files.values())) / 1e6, 1)
    demo = sum(file.stat().st_size for file in (PACKAGE / "demo").rglob("*") if file.suffix != ".pyc")
    show("the recorded run, MB", demo / 1e6, 6)


def reached(files: dict[str, bytes], first: str = "join.html") -> set[str]:
    """All files that a page loads, now or later, with the styles of its scripts."""
    named = re.compile(r"(?:static/|[\"'`]\./)([\w.-]+\.(?:js|css))")
    found, left = set[str](), [first]
    while left:
        if (name := left.pop()) in files and name not in found:
            found.add(name)
            left += [*named.findall(files[name].decode()), name.replace(".js", ".css")]
    return found


def campaign(name: str) -> Callable[[Path, argparse.Namespace], None]:
    def run(folder: Path, asked: argparse.Namespace) -> None:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "campaign",
            "--timeout",
            "3600",
            "--durations=3",
        ]
        subprocess.run([*command, str(ROOT / "tests" / name)], cwd=ROOT)

    return run


def alone(module: str, name: str) -> Callable[[Path, argparse.Namespace], None]:
    """A row of `studio_rows`, which is imported once it is asked for."""

    def run(folder: Path, asked: argparse.Namespace) -> None:
        getattr(import_module(f"studio_rows.{module}"), name)(folder, asked)

    return run


ROWS = {
    "start": start,
    "runs": listed,
    "samples": sampled,
    "bundle": bundle,
    "paint": alone("paint", "paint"),
    "screens": campaign("studio/test_browser.py"),
    "votes": campaign("studio/test_class_votes.py"),
    "kills": campaign("votes/test_kills.py"),
    "machine": campaign("votes/test_machine.py"),
    "power": campaign("votes/test_power_cut.py"),
    "trip": campaign("studio/test_round_trip.py"),
    "api": campaign("studio/test_any_question.py"),
    "keys": alone("lesson", "keys"),
    "class": alone("lesson", "durable"),
    "curves": alone("live", "curves"),
    "learn": alone("live", "learn"),
    "beside": alone("training", "beside"),
    "soak": alone("live", "soak"),
}


def page(**more: Any) -> SamplesAsked:
    return SamplesAsked.model_validate({"id": LONG, **more})


def make(folder: Path, count: int, rows: int) -> None:
    """Small runs, and one with many samples and as many rows of metrics."""
    info = {"stage": "ppo", "status": "done", "key": "k", "seed": 0, "data": {}, "parents": []}
    for i in range(count):
        run = folder / f"group-{i % 20}" / f"run-{i}"
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({**info, "started": 1000.0 + i}), encoding="utf-8")
        (run / "config.json").write_text(json.dumps({"settings": {"lr": i}}), encoding="utf-8")
        (run / "summary.json").write_text(json.dumps({"gold_last": i / count}), encoding="utf-8")
    draw, run = random.Random(0), folder / "long"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({**info, "started": 1.0}), encoding="utf-8")
    (run / "config.json").write_text("{}", encoding="utf-8")
    with open(run / "samples.jsonl", "w", encoding="utf-8") as file:
        for i in range(rows):
            said = " ".join(draw.choices(WORDS, k=20))
            row = {"step": i // 128, "place": i % 128, "shown": i % 128 < 6, "proxy": draw.gauss(0, 1)}
            row |= {"gold": draw.random(), "kl": draw.random(), "completion": said, "finished": True}
            file.write(json.dumps({**row, "prompt": [{"role": "user", "content": said[:40]}]}) + "\n")
    with open(run / "metrics.jsonl", "w", encoding="utf-8") as file:
        for i in range(rows):
            file.write(json.dumps({"step": i, **{f"m{k}": draw.random() for k in range(10)}}) + "\n")


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def starts(folder: Path, count: int) -> list[tuple[float, float]]:
    """Seconds from the command to its first answer, and those on a processor."""
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
    found = []
    for _ in range(count):
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout
        port = json.loads(process.stdout.readline())["port"]
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/api/health")
        connection.getresponse().read()
        wall = time.perf_counter() - begun
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        found.append((wall, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")))
        process.terminate()
        process.wait()
    return found


def relisted(visit: Visit) -> float:
    """A list once the folder has to be looked at again: a stat or two a run."""
    visit.desk.shelf.look(fresh=0)
    return timed(lambda: (visit.desk.shelf.look(fresh=0), runs.listed(visit, ALL)))


def pages(visit: Visit, count: int) -> float:
    draw = random.Random(1)
    found = []
    for _ in range(count):
        sort = draw.choice(["row", "-row", "proxy", "-proxy", "gold", "-gap", "length"])
        where, first = draw.choice(["", "shown"]), draw.randrange(500)
        steps = draw.choice(["", f"{first}-{first + 20}"])
        asked: Part = page(sort=sort, where=where, steps=steps)
        found.append(timed(lambda asked=asked: samples.listed(visit, asked)))
    return p95(found)


def searches(visit: Visit, count: int) -> float:
    draw = random.Random(2)
    words = [" ".join(draw.choices(WORDS, k=2)) for _ in range(max(1, count))]
    return p95([timed(lambda word=word: samples.listed(visit, page(q=word))) for word in words])


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def show(what: str, value: float, bar: float | None = None) -> None:
    print(f"{what:<40} {value:8.3f}" + (f"   at most {bar:g}" if bar else ""), flush=True)


if __name__ == "__main__":
    main()
