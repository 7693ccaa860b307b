"""Demonstrations by a stronger model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..settings import DistilSettings
from .demonstrations import told
from .stage import done, open_run, rate, result, room_for_answers


def distilled_demonstrations(
    *,
    model: str,
    data: str,
    judge: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: DistilSettings,
    count: int = 0,
) -> dict[str, Any]:
    """The answers of a stronger model."""
    from ..sampling.endpoint import EndpointSampler

    if not model:
        raise UserError("distillation needs a teacher", remedy="--model RUN, or http://host:port/v1#model")
    prompts = names.data.read_data(data, "prompt", seed=seed, count=count)
    checker, truth = names.judges.maybe_judge(judge), names.judges.maybe_judge(gold)
    run = open_run(
        "demonstrations",
        out,
        settings,
        seed,
        resume,
        uses=[*names.models.loaded_here(model), prompts, checker, truth],
        kind="distil",
        teacher=model,
        judge=judge,
        gold=gold,
    )
    if run.done:
        return done(run)
    from ..collecting import distil as method

    sampler = names.models.sampler(
        model,
        model=settings.model,
        endpoint=settings.endpoint,
        sampling=settings.sampling,
        cache=run.path / "endpoint.jsonl",
    )
    asked = (
        prompts.records
        if isinstance(sampler, EndpointSampler)
        else room_for_answers(run, prompts.records, sampler, settings.sampling)
    )
    summary = method.run(
        run, sampler, asked, settings, teacher=model, judge=checker.load(), gold=truth.load(), seed=seed
    )
    if isinstance(sampler, EndpointSampler):
        summary["spent"] = sampler.spent
    run.finish(summary)
    return result(run, f"{told(summary)}; {rate(summary['finished'])} of the answers were finished")
