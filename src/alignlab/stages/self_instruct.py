"""Demonstrations that a model makes itself from seed tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..settings import SelfInstructSettings
from .demonstrations import told
from .stage import done, open_run, rate, result


def self_instruct_demonstrations(
    *,
    model: str,
    data: str,
    avoid: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: SelfInstructSettings,
) -> dict[str, Any]:
    """Requests and answers that a model made itself from seed tasks."""
    from ..sampling.endpoint import EndpointSampler

    seeds = names.data.read_data(data, "demonstration", seed=seed, count=settings.seeds)
    test = [names.data.read_data(avoid, "prompt")] if avoid else []
    truth = names.judges.maybe_judge(gold)
    run = open_run(
        "demonstrations",
        out,
        settings,
        seed,
        resume,
        uses=[*names.models.loaded_here(model), seeds, *test, truth],
        kind="self-instruct",
        model=model,
        gold=gold,
    )
    if run.done:
        return done(run)
    from ..collecting import self_instruct as method

    sampler = names.models.sampler(
        model,
        model=settings.model,
        endpoint=settings.endpoint,
        sampling=settings.sampling,
        cache=run.path / "endpoint.jsonl",
        stop=(method.STOP,) if settings.form == "continue" else (),
        documents=settings.form == "continue",
    )
    summary = method.run(
        run,
        sampler,
        seeds.records,
        settings,
        model=model,
        avoid=[prompt for loaded in test for prompt in loaded.records],
        known=names.judges.town_requests(),
        reader=names.judges.request_reader(gold),
        gold=truth.load(),
        seed=seed,
    )
    if isinstance(sampler, EndpointSampler):
        summary["spent"] = sampler.spent
    run.finish(summary)
    valid = f"; the gold judge knows {rate(summary['valid'])} of the requests" if "valid" in summary else ""
    return result(run, f"{told(summary)}; {summary['rounds']} rounds{valid}")
