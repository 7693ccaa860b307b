"""How organisations put the pipeline together, as plain functions that read from top to bottom."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import stages
from .errors import UserError
from .pipeline import Pipeline, Stage
from .run import read_run
from .settings import PipelineSettings


def instructgpt(pipeline: Pipeline, model: str, settings: PipelineSettings, seed: int) -> dict[str, Stage]:
    """InstructGPT (Ouyang et al. 2022), figure 2, on the town: SFT, comparisons, reward model, PPO; DPO and best-of-N beside it.

    Returns the evaluation of each model by name.
    """
    s, gold, judged = settings, {"gold": "town:gold", "seed": seed}, {"data": "town:test", "judge": "town:gold", "seed": seed, "settings": settings.eval}

    # 1. supervised fine-tuning on demonstrations
    sft = pipeline.stage("sft", stages.sft, model=model, data="town:demos", count=s.demonstrations, seed=seed, settings=s.sft)
    base_eval = pipeline.stage("eval-base", stages.evaluate, model=model, baseline="", **judged)

    # 2. completions of the SFT model and of other people, ranked
    ranked = pipeline.stage("collect", stages.collect, model=sft, data="town:prompts", count=s.prompts, annotator=s.annotator, others="town:crowd",
                            settings=s.collect, **gold)
    sft_eval = pipeline.stage("eval-sft", stages.evaluate, model=sft, baseline="", **judged)

    # 3. a reward model; DPO needs none
    reward = pipeline.stage("reward", stages.reward, model=sft, data=ranked, settings=s.reward, **gold)
    dpo = pipeline.stage("dpo", stages.dpo, model=sft, data=ranked, seed=seed, settings=s.dpo)

    # 4. the policy against the reward model, with a KL penalty and with none at all (before the short stages: it is long); the best of N samples
    ppo = pipeline.stage("ppo", stages.ppo, model=sft, reward=reward, data="town:prompts", count=s.ppo_prompts, ptx="town:corpus", settings=s.ppo, **gold)
    if s.hacking:
        hacked = pipeline.stage("ppo-unpenalised", stages.ppo, model=sft, reward=reward, data="town:prompts", count=s.ppo_prompts, ptx="town:corpus",
                                settings=s.unpenalised, **gold)
    best = pipeline.stage("best-of-n", stages.best_of_n, model=sft, reward=reward, data="town:test", count=s.eval.prompts, settings=s.best_of_n, **gold)
    compared = judged | {"baseline": sft_eval, "reference": sft}
    evals = {
        "base": base_eval, "sft": sft_eval,
        "dpo": pipeline.stage("eval-dpo", stages.evaluate, model=dpo, **compared),
        "best_of_n": pipeline.stage("eval-best-of-n", stages.evaluate, model=sft, completions=best, **compared),
    }
    if s.hacking:
        evals["unpenalised"] = pipeline.stage("eval-unpenalised", stages.evaluate, model=hacked, **compared)
    evals["ppo"] = pipeline.stage("eval-ppo", stages.evaluate, model=ppo, **compared)
    return evals


RECIPES: dict[str, Callable[[Pipeline, str, PipelineSettings, int], dict[str, Stage]]] = {"instructgpt": instructgpt}
ORDER = ("base", "sft", "dpo", "best_of_n", "ppo", "unpenalised")
PARENT = {"base": "", "sft": "base", "ppo": "sft", "dpo": "sft", "best_of_n": "sft", "unpenalised": "sft"}


def run_command(*, model: str, recipe: str, fast: bool, out: Path, seed: int, resume: bool, settings: PipelineSettings) -> dict[str, Any]:
    """`alignlab run`: plan the recipe, run it, write summary.json and report.html, say what to do next."""
    from .report.page import write_report

    if recipe not in RECIPES:
        raise UserError(f"there is no recipe {recipe!r}", remedy="one of: " + ", ".join(RECIPES))
    settings = replace(settings, eval=replace(settings.eval, sampling=replace(settings.eval.sampling, temperature=0.0)))
    started = time.perf_counter()
    pipeline = Pipeline(out, workers=settings.workers, resume=resume, tracker=settings.tracker)
    evals = RECIPES[recipe](pipeline, model, settings, seed)
    pipeline.run()
    summary = summarise(out, recipe, seed, pipeline.stages, evals, seconds=time.perf_counter() - started)
    page = write_report([out], out / "report.html")
    return summary | {"text": closing(summary, page, out)}


def summarise(out: Path, recipe: str, seed: int, planned: list[Stage], evals: dict[str, Stage], *, seconds: float) -> dict[str, Any]:
    """`summary.json` of a pipeline, from its run folders (schema 1)."""
    models = {}
    for name in [n for n in ORDER if n in evals]:
        info = read_run(evals[name].out)
        path = Path(str(evals[name].arguments["completions"] if "completions" in evals[name].arguments else evals[name].arguments["model"]))
        made = read_run(path).seconds if (path / "run.json").exists() else 0.0
        models[name] = {"path": str(path), "parent": PARENT[name], "seconds": made, **info.summary}
    reward = read_run(out / "reward").summary
    reward = reward | {key: reward[key]["mean"] for key in ("accuracy", "length_floor")}
    summary = {
        "schema": 1, "recipe": recipe, "seed": seed, "seconds": round(seconds, 1),
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "models": models, "reward_model": reward,
        "stages": [{"name": s.name, "run": s.name, "seconds": round(s.seconds, 1), "parents": [n.name for n in s.needs]} for s in planned],
    }
    staging = out / "summary.json.partial"
    staging.write_text(json.dumps(summary, indent=1))
    staging.replace(out / "summary.json")
    return summary


COLUMNS = (
    ("gold", "gold"), ("gold_sampled", "at T=1"), ("helpful", "helpful"), ("harmless", "harmless"), ("honest", "honest"),
    ("compliance_with_harm", "helps harm"), ("over_refusal", "over-refusal"), ("win_rate_vs_sft", "beats SFT"), ("kl_from_sft", "KL"), ("mean_length", "tokens"),
)


def closing(summary: dict[str, Any], page: Path, out: Path) -> str:
    """The table at the end of a run, the report's path and three things to try."""
    rows = [["", *(title for _, title in COLUMNS)]]
    for name, figures in summary["models"].items():
        row = [name]
        for key, _ in COLUMNS:
            value = figures.get(key)
            mean = value.get("mean") if isinstance(value, dict) else value
            row.append("-" if mean is None else f"{mean:.1f}" if key == "mean_length" else f"{mean:.2f}")
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
                      for row in rows)
    reward = summary["reward_model"]
    n = next(iter(summary["models"].values()))["gold"]["n"]
    return "\n".join((
        "", table, "",
        f"Shares from 0 to 1 on {n} held-out prompts, by the gold judge; reward model {reward['accuracy']:.2f} right on held-out pairs "
        f"(longer answer: {reward['length_floor']:.2f}).",
        f"{summary['seconds']:.0f} s in all. The report: {page}", "",
        "Next, you could",
        f"  alignlab chat --model {out}/sft --beside {out}/ppo      ask both the same thing",
        f"  alignlab ppo --model {out}/sft --reward {out}/reward --gold town:gold --kl-coef 0.5 --out runs/careful      a dearer KL penalty",
        "  alignlab run --annotator town:flattered --out runs/flattered      the same pipeline, taught by people who love flattery",
    ))
