"""What the studio takes: to start, to list runs, to index and page through samples, to search them.

    python benchmarks/studio.py                                          1,000 small runs, 100,000 samples
    python benchmarks/studio.py --runs 50 --samples 20000 --requests 100

Each figure is printed beside its bar. The studio is asked in this process, without a socket, but for the
start, which is that of `alignlab studio` up to its first answer.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from alignlab.studio.answers import runs, samples
from alignlab.studio.desk import Desk, Visit
from alignlab.studio.scan import id_of
from alignlab.studio.schema import MetricsAsked, Part, RunsAsked, SamplesAsked
from alignlab.studio.table import TABLE

LONG = id_of("long")
ALL, CURVES = RunsAsked.model_validate({}), MetricsAsked.model_validate({"id": LONG})
WORDS = "the bell of the tower rings at noon and nobody knows why the mill stands still".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--starts", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, asked.runs, asked.samples)
        show("start to first answer, s", median(starts(folder, asked.starts)), 1.5)
        desk = Desk(folder, port=0)
        visit = Visit(desk, "instructor", "", TABLE)
        show(f"{asked.runs} runs, first list, s", timed(lambda: runs.listed(visit, ALL)))
        show(f"{asked.runs} runs, list, s", relisted(visit), 0.3)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        show("first page of samples, s", timed(lambda: samples.listed(visit, page())))
        show("index of samples, s", timed(desk.watched(LONG).wait), 2.5)
        show("memory of the index, MB", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
        show("a page, p95, s", pages(visit, asked.requests), 0.1)
        show("a search, p95, s", searches(visit, asked.requests // 10), 0.2)
        show("curves, s", timed(lambda: samples.metrics(visit, CURVES)))


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


def starts(folder: Path, count: int) -> list[float]:
    """Seconds from the command to its first answer."""
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
        found.append(time.perf_counter() - begun)
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
