"""A model's answers to held-out prompts, scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..settings import EvalSettings
from .stage import done, open_run, rate, result


def evaluate(
    *,
    model: str,
    data: str,
    judge: str,
    baseline: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: EvalSettings,
    reference: str = "",
    completions: str = "",
) -> dict[str, Any]:
    """Held-out prompts answered greedily and at temperature 1, scored, and compared with a baseline prompt by
    prompt.

    `completions` names a best-of-n run whose picks are scored instead of the model's own answers.
    """
    if not judge:
        raise UserError("eval needs a judge", remedy="--judge town:gold, or reward:RUN")
    prompts = names.data.read(data, "prompt", seed=0, count=settings.prompts)
    start, scorer = names.models.model(model), names.judges.judge(judge)
    before, picked = names.data.run(baseline, "eval"), names.data.run(completions)
    others = [names.models.model(reference)] if reference else []
    run = open_run(
        "eval",
        out,
        settings,
        seed,
        resume,
        uses=[start, prompts, scorer, before, *others, picked],
        judge=judge,
        baseline=baseline,
        reference=reference,
        completions=completions,
    )
    if run.done:
        return done(run)
    from ..evals import stage as method

    summary = method.run(
        run,
        start.path,
        prompts.records,
        scorer.load(),
        settings,
        seed=seed,
        baseline=baseline,
        reference="".join(other.path for other in others),
        completions=completions,
        bare=judge == "town:gold" and start.is_base,
    )
    run.finish(summary)
    called = "gold" if judge == "town:gold" else judge
    text = f"{called} {rate(summary['gold'])} greedy"
    if settings.sampled:
        text += f", {rate(summary['gold_sampled'])} at temperature 1"
    for how, row in (summary.get("paired") or {}).items():
        (low, high), decoded = row["ci"], "greedy" if how == "greedy" else "temperature 1"
        text += (
            f"\n  against {baseline}, {decoded}: {row['mean']:+.3f} [{low:+.3f}, {high:+.3f}], "
            f"paired on {row['n']} prompts"
        )
    return result(run, text)
