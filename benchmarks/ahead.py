"""One step ahead: seconds per step with and without it, and what it costs in learning.

    python benchmarks/ahead.py --model runs/sft --out runs/ahead

A server of its own writes the completions of RLOO on the town; the runs of a seed are made in turns, one with
`staleness` 0 and one with 1, on a machine that has nothing else to do. The first step, which nothing is
written ahead of, and the one that imports still weigh on are left out.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from statistics import fmean as mean

COMMAND = [sys.executable, "-m", "alignlab.cli"]


def served(model: Path, out: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A server of the model, once it answers, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*COMMAND, "serve", f"policy={model}", "--updates", str(out), "--port", str(port)],
        stderr=subprocess.DEVNULL,
    )
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/weight_info", timeout=5)
            return server, port
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not begin to answer within a minute")


def trained(model: Path, run: Path, port: int, seed: int, staleness: int, steps: int) -> dict[str, float]:
    """What a run came to: seconds per step and of its parts, and the score over its last tenth."""
    subprocess.run(
        [*COMMAND, "rloo", "--model", str(model), "--judge", "town:gold", "--out", str(run)]
        + ["--seed", str(seed), "--steps", str(steps), "--staleness", str(staleness)]
        + ["--sampler", f"http://127.0.0.1:{port}/v1#policy"],
        check=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][2:]
    parts = {
        name: mean([row[f"time/{name}"] for row in rows]) for name in ("sampling", "feedback", "updating")
    }
    gap = mean([row["sampling/sampling_logp_difference/mean"] for row in rows])
    score = json.loads((run / "summary.json").read_text())["score_last"]
    return parts | {"step": sum(parts.values()), "gap": gap, "score": score}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="20,21,22")
    parser.add_argument("--steps", type=int, default=32)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    server, port = served(args.model, args.out)
    try:
        for seed in map(int, args.seeds.split(",")):
            both = [
                trained(args.model, args.out / f"{seed}-{ahead}", port, seed, ahead, args.steps)
                for ahead in (0, 1)
            ]
            for ahead, found in enumerate(both):
                print(
                    f"seed {seed} staleness {ahead}", *(f"{k} {v:.4f}" for k, v in found.items()), flush=True
                )
            print(
                f"seed {seed} seconds per step, 1 over 0: {both[1]['step'] / both[0]['step']:.3f}", flush=True
            )
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
