"""A model's answers to held-out prompts, scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..names import known
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
    if baseline:
        known.run_of("eval")(baseline)
    run = open_run(
        "eval",
        out,
        settings,
        seed,
        resume,
        models=[model],
        data=[prompts],
        judge=judge,
        baseline=baseline,
        reference=reference,
        completions=completions,
    )
    if run.done:
        return done(run)
    from ..evals import stage as method

    path = names.known.model_path(model)
    summary = method.run(
        run,
        path,
        prompts.records,
        names.judges.judge(judge),
        settings,
        seed=seed,
        baseline=baseline,
        reference=names.known.model_path(reference) if reference else "",
        completions=completions,
        bare=judge == "town:gold" and names.models.is_base(path),
    )
    run.finish(summary)
    called = "gold" if judge == "town:gold" else judge
    said = f"{called} {rate(summary['gold'])} greedy" + (
        f", {rate(summary['gold_sampled'])} at temperature 1" if settings.sampled else ""
    )
    for how, row in (summary.get("paired") or {}).items():
        said += (
            f"\n  against {baseline}, {'greedy' if how == 'greedy' else 'temperature 1'}: {row['mean']:+.3f} [{row['ci'][0]:+.3f}, {row['ci'][1]:+.3f}], "
            f"paired on {row['n']} prompts"
        )
    return result(run, said)
