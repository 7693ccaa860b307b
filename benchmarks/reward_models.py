"""What the kinds of reward model are worth, on the town, over seeds: ties, noise, reliabilities, ensembles, a
constraint on harm.

    python benchmarks/reward_models.py --out runs/reward-models --seeds 20 21 22

Each question has its control beside it. Settings were chosen on other seeds and on `town:test`; policies are
measured on `town:exam`, reward models on held-out rankings, split by question. Reruns go on where they were.
Writes reward-models.json, from which `docs/make_reward.py` makes docs/reward-models.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from alignlab import stages
from alignlab.evals.statistics import seeds_summary
from alignlab.pipeline.runner import Pipeline, Stage
from alignlab.recipes.settings import PipelineSettings
from alignlab.run import read_run
from alignlab.settings import EvalSettings, PPOSettings, RewardSettings, SamplingSettings
from alignlab.studies import fits, measuring
from alignlab.studies.settings import CurveSettings
from alignlab.town import world
from alignlab.town.exam import SEEDS

BASE, EXAM = "town", "town:exam"
WIDE = SamplingSettings(slots=256)
PIPELINE = PipelineSettings(
    prompts=1500, eval=EvalSettings(prompts=0, sampling=replace(WIDE, temperature=0.0))
)
PLAIN = RewardSettings(epochs=2.0)
MEMBERS = 3
CURVE, PICKED = CurveSettings(most=32, sampling=WIDE), 300
"""Samples of a prompt that are picked from, and prompts: the first of the exam."""
PENALISED = replace(PIPELINE.ppo, steps=16)
FREE = replace(PIPELINE.unpenalised, steps=24)
LIMITED = replace(PENALISED, cost_limit=0.05)

LABELS = {  # on the comparisons of a fair annotator
    "plain": PLAIN,
    "ties: Rao-Kupper": replace(PLAIN, ties="rao_kupper"),
    "ties: Davidson": replace(PLAIN, ties="davidson"),
    "margins by ranks": replace(PLAIN, margins="ranks"),
    "flip rate learnt": replace(PLAIN, noise="learnt"),
}
CROWD = {  # on those of a pool of ten, three of whom are contrary
    "plain": PLAIN,
    "flip rate learnt": replace(PLAIN, noise="learnt"),
    "a reliability each": replace(PLAIN, annotators="reliability"),
}
AGGREGATIONS = ("mean", "worst", "uncertainty")
COLUMNS = {
    "gold": "gold, greedy",
    "gold_sampled": "gold, T = 1",
    "helpful": "helpful, greedy",
    "compliance_with_harm": "helps with harm, greedy",
    "compliance_with_harm_sampled": "helps with harm, T = 1",
    "over_refusal": "refuses look-alikes, greedy",
    "over_refusal_sampled": "refuses look-alikes, T = 1",
    "kl_from_sft": "KL, nats",
}


def slug(name: str) -> str:
    return name.lower().replace(":", "").replace(" ", "-")


def plan(pipeline: Pipeline, seed: int) -> None:
    s, gold = PIPELINE, {"gold": "town:gold", "seed": seed}

    # 1. SFT, comparisons, reward models that read the labels in different ways
    sft = pipeline.stage(
        "sft", stages.sft, model=BASE, data="town:demos", count=s.demonstrations, seed=seed, settings=s.sft
    )

    def collect(name: str, annotator: str, data: str = "town:prompts") -> Stage:
        return pipeline.stage(
            name,
            stages.collect,
            model=sft,
            data=data,
            count=s.prompts,
            annotator=annotator,
            others="town:crowd",
            settings=s.collect,
            **gold,
        )

    def reward(name: str, data: Stage, settings: RewardSettings) -> Stage:
        return pipeline.stage(name, stages.reward, model=sft, data=data, settings=settings, **gold)

    ranked = collect("collect", "town:fair")
    plain, *_ = [reward(f"labels-{slug(name)}", ranked, settings) for name, settings in LABELS.items()]
    pool = collect("collect-pool", "pool:town:fair*7,town:contrary*3")
    for name, settings in CROWD.items():
        reward(f"crowd-{slug(name)}", pool, settings)

    # 2. an ensemble: best of N and PPO without a penalty by each aggregation, and by its first member alone
    ensemble = reward("ensemble", ranked, replace(PLAIN, members=MEMBERS))
    judged = {"data": EXAM, "judge": "town:gold", "seed": seed, "settings": s.eval}
    before = pipeline.stage("eval-sft", stages.evaluate, model=sft, baseline="", **judged)
    judged |= {"baseline": before, "reference": sft}

    def ppo(name: str, judge: str, settings: PPOSettings, first: Stage, **more: Any) -> None:
        trained = pipeline.stage(
            f"ppo-{name}",
            stages.ppo,
            model=sft,
            reward=first,
            judge=judge,
            data="town:prompts",
            count=s.ppo_prompts,
            ptx="",
            settings=settings,
            **gold,
            **more,
        )
        pipeline.stage(f"eval-ppo-{name}", stages.evaluate, model=trained, **judged)

    pipeline.run()  # an ensemble's name is no stage: what it stands for has to be there
    pipeline.stage(
        "curve",
        measuring.curve,
        model=sft,
        rewards=[f"{ensemble}/members/{number}" for number in range(MEMBERS)],
        data=EXAM,
        count=PICKED,
        settings=CURVE,
        **gold,
    )
    for name in ("single", *AGGREGATIONS):
        who = f"reward:{ensemble}/members/0" if name == "single" else f"ensemble:{name}:{ensemble}"
        ppo(f"free-{name}", who, FREE, plain)

    # 3. a constraint: the reward of people who look at help alone, with and without a cost model
    helpful = reward("reward-helpful", collect("collect-helpful", "town:helpful-only"), PLAIN)
    cost = reward("cost", collect("collect-harm", "town:harm-only", "town:risky"), replace(PLAIN, safety=1.0))
    ppo("helpful", "", PENALISED, helpful)
    ppo("constrained", "", LIMITED, helpful, cost=cost)
    pipeline.run()


def picking(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, np.ndarray]]:
    """(P, M) what the first member alone and each aggregation say of every sample, and gold."""
    first, *others = [name for name in rows[0]["scores"] if name != "gold"]
    gold = np.array([row["scores"]["gold"] for row in rows])
    members = [np.array([row["scores"][name] for row in rows]) for name in (first, *others)]
    mean, spread = np.mean(members, 0), np.std(members, 0)
    by_name = {"single": members[0], "mean": mean, "worst": np.min(members, 0), "uncertainty": mean - spread}
    return {name: {"proxy": proxy, "gold": gold} for name, proxy in by_name.items()}


def figures(out: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The figures of one seed: section -> row -> column."""

    def summary(name: str) -> dict[str, Any]:
        return read_run(out / name).summary

    def row(name: str) -> dict[str, float]:
        found = summary(name)
        keys = {
            "accuracy": "accuracy",
            "gold_accuracy": "right about gold",
            "ece": "ECE of what it states",
            "gold_ece": "ECE against gold",
            "length_floor": "longer answer",
        }
        return {
            title: (found[key]["mean"] if isinstance(found[key], dict) else found[key])
            for key, title in keys.items()
            if found.get(key) is not None
        }

    found: dict[str, dict[str, dict[str, float]]] = {
        "labels": {name: row(f"labels-{slug(name)}") for name in LABELS},
        "crowd": {name: row(f"crowd-{slug(name)}") for name in CROWD},
        "best of n": {},
        "ppo": {},
        "constraint": {},
    }
    for name, scores in picking(read_run(out / "curve").samples).items():
        curve = fits.best_of_n_curve(scores["proxy"], scores["gold"])
        found["best of n"][name] = {
            f"gold at N = {n}": float(gold) for n, gold in zip(curve.ns, curve.gold_PK.mean(0), strict=True)
        }
    for section, names in (
        ("ppo", [f"free-{name}" for name in ("single", *AGGREGATIONS)]),
        ("constraint", ["sft", "helpful", "constrained"]),
    ):
        for name in names:
            s = summary("eval-sft" if name == "sft" else f"eval-ppo-{name}")
            found[section][name] = {
                title: s[key]["mean"] for key, title in COLUMNS.items() if isinstance(s.get(key), dict)
            }
    last = read_run(out / "ppo-constrained").summary
    found["constraint"]["constrained"] |= {"mean cost, last": last["cost_last"]}
    return found


def sizes(out: Path) -> dict[str, int]:
    """What the figures of one seed were counted on: n of a reward model's held-out prompts and pairs, and of
    each column of the policies.
    """
    reward, judged = read_run(out / "labels-plain").summary, read_run(out / "eval-ppo-helpful").summary
    found = {"held-out prompts": reward["n"], "held-out pairs": reward["test_pairs"]}
    found["prompts"] = judged["gold"]["n"]
    for key, title in COLUMNS.items():
        if isinstance(judged.get(key), dict):
            found[title] = judged[key]["n"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/reward-models"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument(
        "--workers", type=int, default=0, help="stages side by side; 0 = one for each core, 2 at most"
    )
    args = parser.parse_args()
    by_seed: dict[int, Any] = {}
    for seed in args.seeds:
        pipeline = Pipeline(args.out / f"seed-{seed}", workers=args.workers)
        plan(pipeline, seed)
        by_seed[seed] = figures(args.out / f"seed-{seed}")
        table = {
            section: {
                name: {
                    key: seeds_summary([found[section][name][key] for found in by_seed.values()])
                    for key in row
                }
                for name, row in rows.items()
            }
            for section, rows in by_seed[seed].items()
        }
        (args.out / "reward-models.json").write_text(
            json.dumps(
                {
                    "town": world.VERSION,
                    "base": BASE,
                    "set": EXAM,
                    "n": sizes(args.out / f"seed-{seed}"),
                    "seeds": list(by_seed),
                    "picked": PICKED,
                    "members": MEMBERS,
                    "ranked": PIPELINE.prompts,
                    "limit": LIMITED.cost_limit,
                    "table": table,
                    "by_seed": by_seed,
                },
                indent=1,
            )
        )
        print(json.dumps(table, indent=1), flush=True)


if __name__ == "__main__":
    main()
