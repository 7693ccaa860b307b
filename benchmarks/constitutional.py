"""Constitutional AI on the town over seeds: the recipe, its ablations and its controls.

    python benchmarks/constitutional.py --out runs/constitutional

The stages of the recipe are made once a seed; every ablation changes one thing and is measured like the
recipe's own models, on the exam: `town:exam`, and `town:risky-exam` for each topic. So is the critic. Reruns
go on where they were. Writes constitutional.json, which `docs/make_constitution.py` turns into the tables of
docs/constitution.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from alignlab import names, stages
from alignlab.constitution.files import load
from alignlab.evals.statistics import seeds_summary
from alignlab.models.load import load_policy
from alignlab.pipeline.runner import Pipeline
from alignlab.recipes.constitutional import constitutional
from alignlab.recipes.plan import GOLD, Plan
from alignlab.recipes.settings import PipelineSettings
from alignlab.run import read_run
from alignlab.sampling.local import LocalSampler
from alignlab.settings import LabelSettings, ModelSettings, ReviseSettings
from alignlab.studies import steps
from alignlab.studies.settings import RerankSettings
from alignlab.town.exam import EXAM, SEEDS, measured
from alignlab.town.measure import critic
from alignlab.town.world import build

SETTINGS = PipelineSettings()
FIGURES = ("helpful", "honest", "gold", "kl_from_sft", "mean_length")
TOPICS = (
    "compliance_seen",
    "compliance_held_out",
    "look_alike_refusal_seen",
    "look_alike_refusal_held_out",
    "evasive",
)
WAYS = ("", "_sampled")
"""Greedy, and at temperature 1: what is put to a figure's name."""
BY_TOPIC = ("compliance_held_out", "look_alike_refusal_held_out")
DRAFTS = SETTINGS.critic.cases
"""Requests of each split, people's drafts of which critics are measured on."""
REVISING: dict[str, tuple[str, ReviseSettings]] = {
    "no critique": ("town", replace(SETTINGS.revise, critique=False)),
    "one round": ("town", replace(SETTINGS.revise, rounds=1)),
    "principles of another world": ("elsewhere", SETTINGS.revise),
}
LABELLING: dict[str, tuple[str, LabelSettings]] = {
    "hard labels": ("town", replace(SETTINGS.label, labels="hard")),
    "verdicts, both orders": ("town", replace(SETTINGS.label, ask="verdict")),
    "principles of another world": ("elsewhere", SETTINGS.label),
}


def slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


def under(name: str) -> str:
    return slug(name).replace("-", "_")


def plan_of(out: Path, seed: int, workers: int) -> Plan:
    """The recipe, and everything that is compared with it."""
    plan = Plan(Pipeline(out, workers=workers), "town", SETTINGS, seed, side="exam")
    constitutional(plan)
    s, made = SETTINGS, {stage.name: stage for stage in plan.pipeline.stages}
    helpful, critic, sl_cai, asked = (
        made[name] for name in ("sft-helpful", "critic", "sl-cai", "collect-helpful")
    )

    # 1. other revisions, learnt in the same way
    for name, (constitution, settings) in REVISING.items():
        revised = plan.stage(
            f"revise-{slug(name)}",
            stages.revise,
            model=helpful,
            critic=critic,
            data="town:risky",
            count=s.red_team,
            constitution=constitution,
            helpful="town:fine",
            judge="",
            gold=GOLD,
            settings=settings,
        )
        model = plan.stage(f"sl-{slug(name)}", stages.sft, model="town", data=revised, settings=s.sl_cai)
        plan.measure(f"sl_{under(name)}", model, parent="helpful", topics=True)

    # 2. other labels, learnt by DPO; people's by PPO as well
    def learnt(name: str, data: Any, *, by_ppo: bool) -> None:
        dpo = plan.stage(f"dpo-{slug(name)}", stages.dpo, model=sl_cai, data=data, settings=s.dpo)
        plan.measure(f"dpo_{under(name)}", dpo, parent="sl_cai", topics=True)
        if by_ppo:
            reward = plan.stage(
                f"reward-{slug(name)}", stages.reward, model=sl_cai, data=data, settings=s.reward, gold=GOLD
            )
            ppo = plan.stage(
                f"ppo-{slug(name)}",
                stages.ppo,
                model=sl_cai,
                reward=reward,
                data="mix:0.5=town:prompts+0.5=town:risky",
                count=s.ppo_prompts,
                ptx="",
                gold=GOLD,
                settings=s.ppo,
            )
            plan.measure(f"ppo_{under(name)}", ppo, parent="sl_cai", topics=True)

    for name, (constitution, settings) in LABELLING.items():
        labels = plan.stage(
            f"label-{slug(name)}",
            stages.label_answers,
            model=sl_cai,
            beside=helpful,
            judge_model=critic,
            data="town:risky",
            count=s.labelled,
            constitution=constitution,
            helpful=asked,
            gold="town:harmless",
            settings=settings,
        )
        learnt(name, labels, by_ppo=False)

    # 3. RLHF: people rank for harm the very pairs that the judge labelled
    learnt(
        "people label harm",
        plan.stage(
            "label-people", steps.rerank, data=made["label"], settings=RerankSettings("town:harm-only")
        ),
        by_ppo=True,
    )
    return plan


def mean_of(found: Any) -> float | None:
    return found["mean"] if isinstance(found, dict) else found


def models_of(plan: Plan) -> dict[str, Any]:
    """Each model's figures; those on topics greedy and at temperature 1, and topic by topic where they are of
    topics that are new; and how many prompts are behind a figure.
    """
    models: dict[str, dict[str, Any]] = {}
    by_topic: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for name, stage in plan.evals.items():
        found = dict(read_run(stage.out).summary)
        keys = [f"{key}{way}" for key in ("helpful", "honest", "gold") for way in WAYS]
        keys += ["kl_from_sft", "mean_length"]
        if name in plan.topics:
            asked = read_run(plan.topics[name].out).summary
            on_topics = [f"{key}{way}" for key in TOPICS for way in WAYS]
            found |= {key: asked[key] for key in on_topics}
            keys += on_topics
            by_topic[name] = {
                f"{key}{way}": {
                    topic: row["mean"] for topic, row in asked[f"by_topic{way}"][key]["topics"].items()
                }
                for key in BY_TOPIC
                for way in WAYS
            }
        models[name] = {key: mean_of(found.get(key)) for key in keys}
        counts |= {key: found[key]["n"] for key in keys if isinstance(found.get(key), dict)}
    return {"models": models, "topics": by_topic, "counts": counts}


def critic_figures(folder: Path, seed: int) -> dict[str, dict[str, float]]:
    """What the critic does with drafts of requests of the exam, and of training's as the contrast."""
    torch.set_num_threads(1)
    policy = load_policy(names.models.model(str(folder / "critic")).path, ModelSettings())
    reader, world = LocalSampler.of(policy, slots=256, documents=True), build()
    rows: dict[str, dict[str, float]] = {}
    for which, kinds in critic.CASES.items():
        asked = critic.asked(world, DRAFTS, seed=seed, kinds=kinds, side="exam")
        drafts = critic.drafts_of_people(world, asked, seed=seed)
        found = critic.measure(world, reader, load("town"), drafts, seed=seed)
        rows[which] = {}
        for part in ("critiques", "verdicts"):
            for split, rates in found[part].items():
                for name, value in rates.items() if isinstance(rates, dict) else ():
                    if isinstance(value, dict) and "mean" in value:
                        rows[which][f"{part} {name}, {split}"] = value["mean"]
    return rows


def figures(plan: Plan) -> dict[str, Any]:
    """Of one seed: each model, the chains and labels of each way, and the critic."""
    chains, labels, rewards = {}, {}, {}
    for stage in plan.pipeline.stages:
        s = read_run(stage.out).summary
        if stage.target is stages.revise:
            gold = s["gold"]
            chains[stage.name] = {
                "kept": s["kept"]["mean"],
                "drafts help with harm": gold["compliance"]["drafts"]["mean"],
                "revisions help": gold["compliance"]["revisions"]["mean"],
                **{
                    key.replace("_", " "): gold[key]["mean"]
                    for key in ("critiques_right", "revisions_right")
                    if key in gold
                },
            }
        elif stage.target is stages.label_answers:
            effect = s["order_effect"]
            labels[stage.name] = {
                "accuracy": s["labels"]["accuracy"]["mean"],
                "ECE": s["calibration"]["ece_before"]["mean"],
                "ECE, scaled": s["calibration"]["ece_after"]["mean"],
                "effect of order": effect["mean"] if effect else None,
            }
        elif stage.target is stages.reward:
            rewards[stage.name] = {
                "accuracy": s["accuracy"]["mean"],
                "right about gold": (s.get("gold_accuracy") or {}).get("mean"),
            }
    return models_of(plan) | {
        "chains": chains,
        "labels": labels,
        "rewards": rewards,
        **critic_figures(plan.pipeline.folder, plan.seed),
    }


def size_of(name: str) -> int:
    return len(names.data.read_data(name, "prompt").records)


def over_seeds(rows: list[Any]) -> Any:
    """The same tree with mean, deviation and n over seeds in place of each number."""
    if isinstance(rows[0], dict):
        return {key: over_seeds([row[key] for row in rows if key in row]) for key in rows[0]}
    known = [float(row) for row in rows if row is not None]
    return seeds_summary(known) if known else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/constitutional"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument(
        "--workers", type=int, default=0, help="stages side by side; 0 = one for each core, 2 at most"
    )
    args = parser.parse_args()
    found: dict[int, Any] = {}
    for seed in args.seeds:
        plan = plan_of(args.out / f"seed-{seed}", seed, args.workers)
        plan.pipeline.run()
        found[seed] = figures(plan)
        (args.out / "constitutional.json").write_text(
            json.dumps(
                {
                    "measured": measured(
                        list(found),
                        {EXAM: found[seed]["counts"]["gold"], "town:risky-exam": size_of("town:risky-exam")},
                    ),
                    "drafts": DRAFTS,
                    "red_team": SETTINGS.red_team,
                    "labelled": SETTINGS.labelled,
                    "table": over_seeds(list(found.values())),
                    "by_seed": found,
                },
                indent=1,
            )
        )
        for name, row in found[seed]["models"].items():
            print(
                f"seed {seed} {name:<34}",
                "  ".join(f"{key} {value:.3f}" for key, value in row.items() if value is not None),
                flush=True,
            )


if __name__ == "__main__":
    main()
