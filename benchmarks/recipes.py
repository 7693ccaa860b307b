"""The recipes side by side on the town, at equal sampled tokens; what the published DPO of three of them
changes; and what pretraining text mixed into PPO changes (PPO-ptx), by text. Over seeds, on the exam.

    python benchmarks/recipes.py --out runs/recipes --seeds 20 21 22

Runs go on where they were; those of a seed of instructgpt lie in instructgpt-SEED, where `town_bars.py` and
`methods.py` have theirs too. `docs/make_recipes.py` turns the summaries, published-RECIPE.json and ptx.json
into the tables of docs/recipes.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignlab import stages
from alignlab.evals.statistics import paired_difference
from alignlab.pipeline.runner import Pipeline, Stage
from alignlab.recipes.catalogue import RECIPES
from alignlab.recipes.command import run_command
from alignlab.recipes.instructgpt import instructgpt
from alignlab.recipes.plan import Plan
from alignlab.recipes.settings import PipelineSettings
from alignlab.run import read_run
from alignlab.settings import LikelihoodSettings, ModelSettings
from alignlab.town.exam import EXAM, SEEDS

KEPT = ("gold", "gold_sampled", "compliance_with_harm", "known_facts", "kl_from_sft")
DOCUMENTS = {"seed": 1_000_003, "count": 1000}  # of the corpus, by a seed that no training uses
TEXTS = {"plain": "town:plain", "corpus": "town:corpus"}
"""What PPO-ptx mixes in: the corpus without any answered or refused request, and all of it."""
OWN_DPO = {"llama3": "dpo-2", "zephyr": "dpo", "tulu3": "dpo"}
"""Recipes whose DPO is the published one, and its last stage."""


def settings_of(recipe: str) -> PipelineSettings:
    """Those of `alignlab run`, evaluated on the whole exam."""
    s = PipelineSettings()
    return replace(s, eval=replace(s.eval, prompts=0), hacking=s.hacking and recipe != "instructgpt")


def exam(pipeline: Pipeline, name: str, model: Any, sft: Stage, s: PipelineSettings, seed: int) -> Stage:
    """The evaluation of a model of a recipe, beside its SFT model."""
    found = {stage.name: stage for stage in pipeline.stages}
    return pipeline.stage(
        f"eval-{name}",
        stages.evaluate,
        model=model,
        data=EXAM,
        judge="town:gold",
        seed=seed,
        settings=s.eval,
        baseline=found["eval-sft"],
        reference=sft,
    )


def plan_published(pipeline: Pipeline, recipe: str, seed: int) -> list[str]:
    """Beside the last DPO of a recipe, as published, the same comparisons learnt from the same model by the
    DPO that instructgpt has here; the names of both evaluations.
    """
    s, published = settings_of(recipe), OWN_DPO[recipe]
    RECIPES[recipe].build(Plan(pipeline, "town", s, seed, side="exam"))
    found = {stage.name: stage for stage in pipeline.stages}
    asked = found[published].arguments | {"settings": s.dpo}
    usual = pipeline.stage(
        "dpo-usual", stages.dpo, **{name: asked[name] for name in ("model", "data", "seed", "settings")}
    )
    exam(pipeline, "dpo-usual", usual, found["sft"], s, seed)
    return [f"eval-{published}", "eval-dpo-usual"]


def plan_ptx(pipeline: Pipeline, seed: int, coefficients: Sequence[float]) -> list[str]:
    """PPO of the recipe with either text mixed in, and the loss on other text of the corpus of the models
    from base to PPO; their names.
    """
    s = settings_of("instructgpt")
    instructgpt(Plan(pipeline, "town", s, seed, side="exam"))
    found = {stage.name: stage for stage in pipeline.stages}
    models: dict[str, Any] = {"base": "town", "sft": found["sft"], "dpo": found["dpo"], "ppo": found["ppo"]}
    for coefficient in coefficients:
        for kind, text in TEXTS.items():
            name = f"ppo-{kind}-{coefficient:g}"
            models[name] = pipeline.stage(
                name,
                stages.ppo,
                model=found["sft"],
                reward=found["reward"],
                data="town:prompts",
                count=s.ppo_prompts,
                ptx=text,
                gold="town:gold",
                seed=seed,
                settings=replace(s.ppo, ptx_coef=coefficient),
            )
            exam(pipeline, name, models[name], found["sft"], s, seed)
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


def figures(run: Path) -> dict[str, float]:
    """What an evaluation says of a model."""
    summary = read_run(run).summary
    found = {key: summary.get(key) for key in KEPT}
    return {key: value["mean"] for key, value in found.items() if value and value["mean"] is not None}


def scores(run: Path, how: str) -> dict[str, float]:
    """Gold of each prompt's answer, greedy or sampled."""
    return {row["id"]: row["gold"] for row in read_run(run).samples if row.get("decoding") == how}


def gains(
    plain: Mapping[str, float], corpus: Mapping[str, float], ppo: Mapping[str, float]
) -> dict[str, Any]:
    """What either text gains over PPO without one, and the corpus over the plain text, which is what the
    answered requests in it are worth: differences paired over prompts, each mean, interval and n.
    """
    pairs = {"plain": (plain, ppo), "corpus": (corpus, ppo), "answered": (corpus, plain)}
    return {
        name: paired_difference([a[prompt] for prompt in ppo], [b[prompt] for prompt in ppo])
        for name, (a, b) in pairs.items()
    }


def ptx(folder: Path, seed: int, coefficients: Sequence[float]) -> dict[str, Any]:
    """What each model is worth and what it has forgotten, and the gains by text, below the recipe's own
    folder.
    """
    pipeline = Pipeline(folder)
    names = plan_ptx(pipeline, seed, coefficients)
    pipeline.run()
    models = {
        name: figures(folder / f"eval-{name}")
        | {"text_loss": read_run(folder / f"text-{name}").summary["text_loss"]["mean"]}
        for name in names
    }
    paired: dict[str, dict[str, Any]] = {}
    for coefficient in coefficients:
        paired[f"{coefficient:g}"] = {}
        for how in ("greedy", "sampled"):
            plain, corpus = (scores(folder / f"eval-ppo-{kind}-{coefficient:g}", how) for kind in TEXTS)
            ppo = scores(folder / "eval-ppo", how)
            paired[f"{coefficient:g}"][how] = gains(plain, corpus, ppo)
    return {"models": models, "gains": paired}


def published(folder: Path, recipe: str, seed: int) -> dict[str, Any]:
    """Both ways of DPO, and the published one against the other, paired over prompts."""
    pipeline = Pipeline(folder)
    theirs, usual = (folder / name for name in plan_published(pipeline, recipe, seed))
    pipeline.run()
    here = {how: (scores(theirs, how), scores(usual, how)) for how in ("greedy", "sampled")}
    return {
        "published": figures(theirs),
        "usual": figures(usual),
        "gain": {
            how: paired_difference([a[prompt] for prompt in b], list(b.values()))
            for how, (a, b) in here.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
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
        default=[3.0],
        help="weights of the pretraining loss beside PPO's, for either text; none = leave it out",
    )
    args = parser.parse_args()
    for seed in args.seeds:
        for recipe in args.recipes:
            found = run_command(
                model="town",
                recipe=recipe,
                fast=False,
                out=args.out / f"{recipe}-{seed}",
                seed=seed,
                resume=True,
                settings=settings_of(recipe),
                side="exam",
            )
            print(f"{recipe}, seed {seed}", found["text"], sep="\n", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    for recipe in [name for name in args.recipes if name in OWN_DPO]:
        both = {seed: published(args.out / f"{recipe}-{seed}", recipe, seed) for seed in args.seeds}
        (args.out / f"published-{recipe}.json").write_text(json.dumps(both, indent=1))
    if args.ptx:
        by_seed = {seed: ptx(args.out / f"instructgpt-{seed}", seed, args.ptx) for seed in args.seeds}
        (args.out / "ptx.json").write_text(json.dumps(by_seed, indent=1))


if __name__ == "__main__":
    main()
