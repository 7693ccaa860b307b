"""`alignlab run`."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..names import known
from ..pipeline.runner import Pipeline
from ..run import check_file, is_page, is_summary
from ..settings.defaults import followed
from .catalogue import RECIPES, check
from .plan import Plan
from .settings import FAST, PipelineSettings
from .summary import closing, summarize


def run_command(
    *,
    model: str,
    recipe: str,
    fast: bool,
    out: Path,
    seed: int,
    resume: bool,
    settings: PipelineSettings,
    side: str = "test",
) -> dict[str, Any]:
    """`alignlab run`: plan the recipe, run it, write summary.json and report.html, say what to do next.

    `side` is "exam" for figures on a page alone.
    """
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
        Pipeline(
            out, workers=settings.workers, executor=settings.executor, resume=resume, tracker=settings.tracker
        ),
        model,
        settings,
        seed,
        side=side,
    )
    RECIPES[recipe].build(plan)
    plan.pipeline.run()
    summary = summarize(out, recipe, plan, seconds=time.perf_counter() - started)
    page = write_report([out], out / "report.html")
    return summary | {"text": closing(summary, page, out)}
