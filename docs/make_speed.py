"""Write docs/speed.md from what benchmarks/peers.py measured: python docs/make_speed.py peers.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

GOALS = {"generate": 4.0, "sft": 2.0, "dpo": 2.0, "reward": 2.0, "rloo": 3.0, "grpo": 3.0, "ppo": 3.0}
MEMORY = 0.6
PEERS = {"generate": "transformers `generate()`", "ppo": "TRL 1.12 PPO"}


def line(work: str, row: dict[str, Any]) -> str:
    peer, ours = row["peer"], row["ours"]
    met = "yes" if row["speed"] >= GOALS[work] and row["memory"] <= MEMORY else "speed" if row["speed"] >= GOALS[work] else "memory" if row["memory"] <= MEMORY else "no"
    return (f"| {work} | {PEERS.get(work, f'TRL 1.16 {work}')} | {peer['a_second']:.3g} | {ours['a_second']:.3g} | {row['speed']:.2f}x (goal {GOALS[work]:g}x) | "
            f"{peer['peak_mb'] / 1000:.2f} | {ours['peak_mb'] / 1000:.2f} | {row['memory']:.2f}x (goal {MEMORY:g}x) | {met} | "
            f"{timed(row, 'peer')} / {timed(row, 'ours')} |")


def timed(row: dict[str, Any], side: str) -> str:
    """Steps that were timed, over all rounds; of `generate` the rounds."""
    runs = row["runs"][side]
    return str(sum(run.get("steps", 1) for run in runs))


def main() -> None:
    book = json.loads(Path(sys.argv[1]).read_text())
    parts = ["# Speed and memory against the peers", "",
             "Made by `python docs/make_speed.py` from what `python benchmarks/peers.py` measured: the same model, rows and machine, both sides in turn, medians of the rounds."]
    for setting, table in book.items():
        machine = table["machine"]
        parts += ["", f"## {setting}", "",
                  f"{table['date']}, {machine['cpus']} CPUs ({machine['machine']}, bf16 in hardware: {'yes' if machine['bf16'] else 'no'}), torch {machine['torch']}, {table['precision']} on both sides.", "",
                  "| work | peer | peer, a second | ours, a second | speed | peer, GB | ours, GB | memory | goals met | steps timed |", "|---|---|---|---|---|---|---|---|---|---|",
                  *(line(work, row) for work, row in table["works"].items() if "speed" in row)]
    parts += ["", "Tokens a second for `generate`, samples (sequences, pairs or completions) a second elsewhere; memory is the peak resident memory of a process."]
    Path(__file__).with_name("speed.md").write_text("\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
