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
    """K completions per prompt, ranked."""
    start, prompts = names.models.model(model), names.data.read_data(data, "prompt", seed=seed, count=count)
    person = names.people.annotator(annotator, seed=derive_seed(seed, "annotator"))
    theirs = names.data.other_completions(others, per_prompt=settings.per_prompt, seed=seed)
    truth = names.judges.maybe_judge(gold)
    run = open_run(
        "collect",
        out,
        settings,
        seed,
        resume,
        uses=[start, prompts, person, theirs, truth],
        annotator=annotator,
        others=others,
        gold=gold,
    )
    if run.done:
        return done(run)
    from ..collecting import collect as method
    from ..models.load import load_policy

    policy = load_policy(start.path, settings.model)
    asked = room_for_answers(run, prompts.records, policy, settings.sampling)
    summary = method.run(
        run, policy, person.load(), asked, settings, others=theirs.load()(asked), gold=truth.load(), seed=seed
    )
    run.finish(summary)
    return result(run, f"{summary['rankings']} rankings, {summary['pairs']} pairs, {summary['ties']} ties")
