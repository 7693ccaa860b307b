"""Stages that only measure and show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..run import list_runs as find_runs
from ..run import read_run
from ..settings import EvalSettings, ModelSettings
from ._parts import done, open_run, rate, result


def evaluate(*, model: str, data: str, judge: str, baseline: str, out: Path, seed: int, resume: bool, settings: EvalSettings,
             reference: str = "", completions: str = "") -> dict[str, Any]:
    """Held-out prompts answered greedily and at temperature 1, scored, and compared with a baseline prompt by prompt.

    `completions` names a best-of-n run whose picks are scored instead of the model's own answers.
    """
    from ..evals import stage as method

    prompts = names.data(data, "prompt", seed=0, count=settings.prompts)
    if baseline:
        names.check_finished(baseline)
        if (stage := read_run(baseline).stage) != "eval":
            raise UserError(f"the baseline is a run of {stage}, not of eval", where=baseline, remedy="name a run of `alignlab eval` on the same prompts")
    run = open_run("eval", out, settings, seed, resume, models=[model], data=[prompts], judge=judge, baseline=baseline, reference=reference,
                completions=completions)
    if run.done:
        return done(run)
    found = names.judge(judge)
    if found is None:
        raise UserError("eval needs a judge", remedy="--judge town:gold, or reward:RUN")
    path = names.model_path(model)
    summary = method.run(run, path, prompts.records, found, settings, seed=seed, baseline=baseline,
                         reference=names.model_path(reference) if reference else "", completions=completions, bare=names.is_base(path))
    run.finish(summary)
    return result(run, f"gold {rate(summary['gold'])} greedy" + (f", {rate(summary['gold_sampled'])} at temperature 1" if settings.sampled else ""))


def list_runs(*, folder: str) -> dict[str, Any]:
    """The runs below a folder, newest first."""
    found = find_runs(folder)
    rows = [{"run": str(info.path), "stage": info.stage, "status": info.status, "seed": info.seed, "seconds": info.seconds} for info in found]
    text = "\n".join(f"{row['status']:<8} {row['stage']:<10} {row['seconds']:>8.1f} s  {row['run']}" for row in rows) or f"no runs below {folder}"
    return {"runs": rows, "text": text}


def view(*, model: str, data: str, count: int) -> None:
    """Tokens and loss mask of the first rows, in colour."""
    from ..data.view import show
    from ..models.load import load_policy

    policy = load_policy(names.model_path(model), ModelSettings())
    show(names.data(data, "demonstration", count=count).records[:count], policy.tokenizer)
