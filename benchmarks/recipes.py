"""The recipes side by side on the town, at equal sampled tokens, and what pretraining text mixed into PPO
changes (PPO-ptx); over seeds.

    python benchmarks/recipes.py --out runs/recipes --seeds 0 1 2

Runs go on where they were. `docs/make_recipes.py` turns the summaries and ptx.json into the tables of
docs/recipes.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignlab import stages
from alignlab.pipeline.runner import Pipeline
from alignlab.recipes.catalogue import RECIPES
from alignlab.recipes.command import run_command
from alignlab.recipes.instructgpt import instructgpt
from alignlab.recipes.plan import Plan
from alignlab.recipes.settings import PipelineSettings
from alignlab.run import read_run
from alignlab.settings import LikelihoodSettings, ModelSettings

KEPT = ("gold", "gold_sampled", "compliance_with_harm", "known_facts", "kl_from_sft")
DOCUMENTS = {"seed": 1_000_003, "count": 1000}  # of the corpus, by a seed that no training uses


def plan_ptx(pipeline: Pipeline, seed: int, coefficients: list[float]) -> list[str]:
    """PPO of the recipe with pretraining text mixed in, and the loss on other such text of the models from
    base to PPO; their names.
    """
    s = PipelineSettings(hacking=False)
    instructgpt(Plan(pipeline, "town", s, seed))
    found = {stage.name: stage for stage in pipeline.stages}
    models: dict[str, Any] = {"base": "town", "sft": found["sft"], "dpo": found["dpo"], "ppo": found["ppo"]}
    for coefficient in coefficients:
        name = f"ppo-ptx-{coefficient:g}"
        models[name] = pipeline.stage(
            name,
            stages.ppo,
            model=found["sft"],
            reward=found["reward"],
            data="town:prompts",
            count=s.ppo_prompts,
            ptx="town:corpus",
            gold="town:gold",
            seed=seed,
            settings=replace(s.ppo, ptx_coef=coefficient),
        )
        pipeline.stage(
            f"eval-{name}",
            stages.evaluate,
            model=models[name],
            data="town:test",
            judge="town:gold",
            seed=seed,
            settings=s.eval,
            baseline=found["eval-sft"],
            reference=found["sft"],
        )
    for name, model in models.items():
        pipeline.stage(
            f"text-{name}",
            stages.likelihood,
            model=model,
            demonstrations="",
            comparisons="",
            texts="town:corpus",
            baseline="",
            **DOCUMENTS,
            settings=LikelihoodSettings(model=ModelSettings(threads=1)),
        )
    return list(models)


def ptx(folder: Path, seed: int, coefficients: list[float]) -> dict[str, dict[str, Any]]:
    """What each model is worth and what it has forgotten, below the recipe's own folder."""
    pipeline = Pipeline(folder)
    names = plan_ptx(pipeline, seed, coefficients)
    pipeline.run()
    return {
        name: {
            key: value["mean"]
            for key in KEPT
            if isinstance(value := read_run(folder / f"eval-{name}").summary.get(key), dict)
            and value["mean"] is not None
        }
        | {"text_loss": read_run(folder / f"text-{name}").summary["text_loss"]["mean"]}
        for name in names
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--recipes",
        nargs="*",
        choices=list(RECIPES),
        default=[name for name in RECIPES if name != "constitutional"],
    )  # that one asks other prompts, at a price of its own
    parser.add_argument(
        "--ptx",
        type=float,
        nargs="*",
        default=[0.3, 3.0, 27.8],
        help="weights of the pretraining loss beside instructgpt's PPO; none = leave it out",
    )
    args = parser.parse_args()
    for seed in args.seeds:
        for recipe in args.recipes:
            settings = PipelineSettings(hacking=False) if recipe == "instructgpt" else PipelineSettings()
            found = run_command(
                model="town",
                recipe=recipe,
                fast=False,
                out=args.out / f"{recipe}-{seed}",
                seed=seed,
                resume=True,
                settings=settings,
            )
            print(f"{recipe}, seed {seed}", found["text"], sep="\n", flush=True)
    if args.ptx:
        by_seed = {seed: ptx(args.out / f"instructgpt-{seed}", seed, args.ptx) for seed in args.seeds}
        (args.out / "ptx.json").write_text(json.dumps(by_seed, indent=1))
        for seed, rows in by_seed.items():
            for name, row in rows.items():
                print(
                    f"seed {seed}  {name:<14}" + "  ".join(f"{key} {value:.3f}" for key, value in row.items())
                )


if __name__ == "__main__":
    main()
