"""The record of the demos: each in its form of a minute, on five seeds that nothing was chosen on, each with
models prepared by that seed; what every claim measured, and whether it held.

    python lecture/record_demos.py --out runs/demo-seeds

A demo and seed that is there already is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from alignlab.course import demo
from alignlab.course.prepare import prepared
from alignlab.run import read_run

RECORD = Path(__file__).parent / "record" / "demos.json"
SEEDS = (20, 21, 22, 23, 24)
BEGINS_WITH = {"rlhf": ("sft", "reward"), "critique": ("helpful", "critic")}
"""What a demo asks for that takes longer than itself."""


def run_all(out: Path, seeds: list[int], names: list[str]) -> None:
    for seed in seeds:
        home = out / f"seed-{seed}"
        home.mkdir(parents=True, exist_ok=True)
        for name in names:
            kept = home / f"{name}.json"
            if not kept.exists():
                for what in BEGINS_WITH.get(name, ()):
                    prepared(what, folder=home / "runs/lecture", seed=seed)
                os.chdir(home)
                watch = demo.run(demo.source(name, SEED=seed), name)["watch"]
                info = read_run(watch.path)
                kept.write_text(json.dumps(info.summary | {"commit": info.commit}))
                print(name, seed, [row["held"] for row in watch.verdicts], flush=True)


def gathered(out: Path) -> dict[str, Any]:
    """Each claim of each demo by seed: the mean, its interval, n and whether it held."""
    figures: dict[str, Any] = {}
    seconds, commit = 0.0, ""
    for kept in sorted(out.glob("seed-*/*.json")):
        seed, summary = kept.parent.name.removeprefix("seed-"), json.loads(kept.read_text())
        seconds, commit = seconds + summary["cpu_seconds"], summary["commit"]
        one = figures.setdefault(seed, {}).setdefault(
            kept.stem, {"cpu_seconds": round(summary["cpu_seconds"])}
        )
        for number, row in enumerate(summary["verdicts"], 1):
            one[f"claim{number}"] = {
                "mean": round(row["mean"], 4),
                "low": round(row["ci"][0], 4) if row["ci"] else None,
                "high": round(row["ci"][1], 4) if row["ci"] else None,
                "n": row["n"],
                "held": int(row["held"]),
                "bar": row["bar"],
                "claim": row["claim"],
            }
    return {
        "schema": 1,
        "name": "demos",
        "command": "python lecture/record_demos.py",
        "seeds": sorted(map(int, figures)),
        "n": 200,
        "set": "town:test",
        "commit": commit,
        "seconds": round(seconds),
        "machine": f"{platform.machine()}, processor seconds on 2 shared cores",
        "version of the town": 2,
        "figures": figures,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo-seeds"))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--demos", nargs="+", default=demo.names())
    asked = parser.parse_args()
    folder = asked.out.absolute()
    run_all(folder, list(asked.seeds), list(asked.demos))
    RECORD.write_text(json.dumps(gathered(folder), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
