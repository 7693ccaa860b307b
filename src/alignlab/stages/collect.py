"""A policy answers prompts, and somebody ranks the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..run import derive_seed
from ..settings import CollectSettings
from .stage import done, open_run, result, room_for_answers


def collect(
    *,
    model: str,
    data: str,
    annotator: str,
    gold: str,
    others: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: CollectSettings,
    count: int = 0,
) -> dict[str, Any]:
    """K completions a prompt, ranked."""
    prompts = names.data.read(data, "prompt", seed=seed, count=count)
    run = open_run(
        "collect",
        out,
        settings,
        seed,
        resume,
        models=[model],
        data=[prompts],
        annotator=annotator,
        others=others,
        gold=gold,
    )
    if run.done:
        return done(run)
    from ..collecting import collect as method
    from ..models.load import load_policy

    policy = load_policy(names.known.model_path(model), settings.model)
    asked = room_for_answers(run, prompts.records, policy, settings.sampling)
    other = names.data.other_completions(others, asked, per_prompt=settings.per_prompt, seed=seed)
    summary = method.run(
        run,
        policy,
        names.people.annotator(annotator, seed=derive_seed(seed, "annotator")),
        asked,
        settings,
        others=other,
        gold=names.judges.maybe_judge(gold),
        seed=seed,
    )
    run.finish(summary)
    return result(run, f"{summary['rankings']} rankings, {summary['pairs']} pairs, {summary['ties']} ties")
