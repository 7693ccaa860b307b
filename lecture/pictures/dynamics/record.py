"""The runs behind the picture of RLHF's dynamics, and its record: PPO from one SFT model under four weights
of the KL penalty, seed by seed.

    python lecture/pictures/dynamics/record.py --recipes runs/figures/recipes --out runs/dynamics

The SFT and reward models are those of the recipe `instructgpt` of each seed. Runs that are there are not made
again.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from alignlab import stages
from alignlab.recipes.settings import on_policy
from alignlab.run import read_run

RECORD = Path(__file__).parents[2] / "record" / "dynamics.json"
ARMS = (0.0, 0.05, 0.2, 1.0)
SEEDS = (20, 21, 22)
STEPS, PROBES, EVERY = 40, 8, 4
SERIES = {
    "proxy": "objective/scores",
    "gold": "objective/gold",
    "k1": "objective/kl",
    "k3": "objective/kl_k3",
    "entropy": "policy/entropy_avg",
    "length": "completions/mean_length",
    "clipped": "policy/clipfrac_avg",
    "explained": "critic/vf_explained_var",
}
"""What the picture calls each column of a run's metrics."""


def train(recipes: Path, out: Path, seeds: Sequence[int], steps: int = STEPS, rollouts: int = 64) -> None:
    """The runs, one after the other: OUT/SEED/ARM."""
    for seed in seeds:
        recipe = recipes / f"instructgpt-{seed}"
        for arm in ARMS:
            settings = on_policy(
                kl_coef=arm, lr=5e-4, steps=steps, rollouts=rollouts, probes=PROBES, probe_every=EVERY
            )
            stages.ppo(
                model=str(recipe / "sft"),
                reward=str(recipe / "reward"),
                data="town:prompts",
                count=4000,
                gold="town:gold",
                out=out / str(seed) / f"{arm:g}",
                seed=seed,
                resume=True,
                settings=settings,
            )


def gathered(out: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """What the picture shows: of each arm the mean, lowest and highest of each series over seeds by
    step; of the first seed the answers to the probes and what `alignlab.health` said.
    """
    arms = {}
    runs = {arm: [read_run(out / str(seed) / f"{arm:g}") for seed in seeds] for arm in ARMS}
    for arm, infos in runs.items():
        rows = [info.metrics for info in infos]
        series = {}
        for name, column in SERIES.items():
            by_step = [[row[column] for row in at] for at in zip(*rows, strict=True)]
            series[name] = [[_short(of(values)) for values in by_step] for of in (mean, min, max)]
        first = infos[0].path
        arms[f"{arm:g}"] = {
            "series": series,
            "answers": _answers(_rows(first / "probes.jsonl")),
            "health": [
                {key: finding[key] for key in ("name", "verdict", "evidence", "steps", "why")}
                for finding in _rows(first / "health.jsonl")
            ],
        }
    infos = [info for one in runs.values() for info in one]
    return {
        "schema": 1,
        "name": "dynamics",
        "command": "python lecture/pictures/dynamics/record.py",
        "seeds": list(seeds),
        "n": infos[0].config["settings"]["rollouts"],
        "set": "town:prompts",
        "commit": infos[0].commit,
        "seconds": round(sum(info.cpu_seconds for info in infos)),
        "machine": f"{platform.machine()}, processor seconds on 2 shared cores",
        "version of the town": 2,
        "probes": [_asked(row) for row in _probes(_rows(runs[ARMS[0]][0].path / "probes.jsonl"))],
        "figures": {"steps": len(rows[0]), "arms": arms},
    }


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _probes(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["step"] == 0]


def _asked(row: dict[str, Any]) -> str:
    return " ".join(turn["content"] for turn in row["prompt"] if turn["role"] == "user")


def _answers(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each probe its answers, at the steps at which they were given."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        text = row["completion"] if isinstance(row["completion"], str) else row["completion"][-1]["content"]
        answer = {"step": row["step"], "text": text, "ends": row["finished"], "gold": _short(row["gold"])}
        found.setdefault(row["probe"], []).append(answer | {"reason": row["reason"]})
    return [{"answers": found[probe]} for probe in sorted(found, key=int)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/dynamics"))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    asked = parser.parse_args()
    train(asked.recipes, asked.out, asked.seeds)
    RECORD.write_text(
        json.dumps(gathered(asked.out, asked.seeds), ensure_ascii=False) + "\n", encoding="utf-8"
    )
    print(RECORD)
