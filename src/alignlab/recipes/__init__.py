"""How organisations put the pipeline together, as plain functions that read from top to bottom.

`alignlab run --recipe NAME`. Each recipe says what was published, what stands for it on the town, and what
was left out. All but `instructgpt` share out `budget` completions, about as many as that one samples to learn
from, so that a table can compare them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..names import known
from ..pipeline.runner import Pipeline
from ..run import check_file, is_page, is_summary
from ..settings import FAST, PipelineSettings
from ..settings.defaults import followed
from .constitutional import constitutional
from .instructgpt import instructgpt
from .llama2 import llama2
from .llama3 import llama3
from .plan import Plan
from .summary import closing, summarise
from .tulu3 import tulu3
from .zephyr import zephyr


@dataclass(frozen=True)
class Recipe:
    """A recipe and the settings of the pipeline that it reads beside those that all read."""

    build: Callable[[Plan], None]
    reads: frozenset[str]


COMMON = frozenset({"workers", "tracker", "demonstrations", "sft", "collect", "eval"})
RECIPES = {
    "instructgpt": Recipe(
        instructgpt,
        frozenset(
            {
                "prompts",
                "ppo_prompts",
                "annotator",
                "hacking",
                "reward",
                "ppo",
                "dpo",
                "best_of_n",
                "unpenalised",
            }
        ),
    ),
    "llama2": Recipe(llama2, frozenset({"budget", "ppo_prompts", "rounds", "reward", "rejection", "ppo"})),
    "llama3": Recipe(llama3, frozenset({"budget", "annotator", "rounds", "reward", "rejection", "dpo"})),
    "zephyr": Recipe(zephyr, frozenset({"budget", "teacher", "distil", "dpo"})),
    "constitutional": Recipe(
        constitutional,
        frozenset(
            {
                "constitution",
                "critic",
                "red_team",
                "revise",
                "sl_cai",
                "labelled",
                "compared",
                "label",
                "reward",
                "ppo_prompts",
                "ppo",
                "dpo",
            }
        ),
    ),
    "tulu3": Recipe(tulu3, frozenset({"budget", "dpo", "rlvr"})),
}


def run_command(
    *, model: str, recipe: str, fast: bool, out: Path, seed: int, resume: bool, settings: PipelineSettings
) -> dict[str, Any]:
    """`alignlab run`: plan the recipe, run it, write summary.json and report.html, say what to do next."""
    from ..report.page import write_report

    known.one_of(recipe, RECIPES, "there is no recipe")
    check(recipe, settings, followed(FAST if fast else PipelineSettings(), model))
    settings = replace(
        settings, eval=replace(settings.eval, sampling=replace(settings.eval.sampling, temperature=0.0))
    )
    check_file(out / "summary.json", ours=is_summary)
    check_file(out / "report.html", ours=is_page)
    started = time.perf_counter()
    plan = Plan(
        Pipeline(out, workers=settings.workers, resume=resume, tracker=settings.tracker),
        model,
        settings,
        seed,
    )
    RECIPES[recipe].build(plan)
    plan.pipeline.run()
    summary = summarise(out, recipe, plan, seconds=time.perf_counter() - started)
    page = write_report([out], out / "report.html")
    return summary | {"text": closing(summary, page, out)}


def check(recipe: str, settings: PipelineSettings, default: PipelineSettings) -> None:
    """Raise ConfigError for a setting that was changed and that this recipe would never read."""
    for item in fields(PipelineSettings):
        if item.name not in COMMON | RECIPES[recipe].reads and getattr(settings, item.name) != getattr(
            default, item.name
        ):
            users = ", ".join(name for name, other in RECIPES.items() if item.name in other.reads)
            raise ConfigError(
                f"the recipe {recipe} does not read {item.name!r}", remedy=f"leave it out; read by: {users}"
            )
