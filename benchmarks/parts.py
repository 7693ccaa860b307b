"""What several workers of one long list cost: seconds that a chunk takes on its way, and how two workers
compare with two commands side by side.

    python benchmarks/parts.py --model runs/sft --out runs/parts --executor local,ray

A chunk of nothing is made again and again by one worker of each executor. Then, in turns, `collect` of twice
as many prompts by two local workers, and two commands at once with a half each: both start all that they
need.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alignlab.pipeline.parts import made
from alignlab.pipeline.runner import executor_named
from alignlab.run import RunDir, elsewhere

COMMAND = [sys.executable, "-m", "alignlab.cli"]
CHUNKS = 300


def nothing(*, out: Path) -> None:
    run = RunDir.open(out, stage="nothing", config={}, seed=0)
    made = list(run.in_chunks(range(CHUNKS), lambda number, _: number, size=1, desc="nothing"))
    run.finish({"made": len(made)})


def seconds_a_chunk(name: str, out: Path) -> float:
    """The time between two chunks that come from one worker, in which each is kept on the disk."""
    came: list[float] = []

    def timed(loop: str, missing: Sequence[int]) -> Iterator[Any]:
        for chunk in made(executor_named(name, 1), nothing, {"out": out}, loop, missing):
            came.append(time.perf_counter())
            yield chunk

    with elsewhere.made_by(timed):  # type: ignore[arg-type]
        nothing(out=out)
    return (came[-1] - came[0]) / (len(came) - 1)


def side_by_side(commands: Sequence[Sequence[str]]) -> float:
    """Seconds until all of these are done."""
    begun = time.perf_counter()
    running = [
        subprocess.Popen([*COMMAND, *command], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for command in commands
    ]
    assert [process.wait() for process in running] == [0] * len(running)
    return time.perf_counter() - begun


def collect(model: str, out: Path, count: int, seed: int, *more: str) -> list[str]:
    return ["collect", "--model", model, "--count", str(count), "--seed", str(seed), "--out", str(out), *more]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--executor", default="local")
    parser.add_argument("--count", type=int, default=3000, help="prompts of one of the two commands")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.executor.split(","):
            print(f"{name}: {1000 * seconds_a_chunk(name, Path(folder, name)):.2f} ms a chunk", flush=True)
    ratios = []
    for seed in range(20, 20 + args.rounds):
        halves = [collect(args.model, args.out / f"{seed}-{i}", args.count, seed + 100 * i) for i in range(2)]
        by_two = collect(
            args.model,
            args.out / f"{seed}-both",
            2 * args.count,
            seed,
            "--executor",
            "local",
            "--workers",
            "2",
        )
        alone, together = side_by_side(halves), side_by_side([by_two])
        ratios.append(alone / together)
        print(
            json.dumps({"seed": seed, "two commands": alone, "two workers": together, "ratio": ratios[-1]}),
            flush=True,
        )


if __name__ == "__main__":
    import parts as module  # by this name workers find `nothing`

    module.main()
