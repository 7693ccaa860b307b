"""Pairs of answers with soft labels by an AI judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..records import Ranking
from ..sampling.address import is_endpoint
from ..sampling.endpoint import EndpointSampler
from ..settings import EndpointSettings, LabelSettings, ModelSettings
from .ai_judges import ai_judge, constitution_digest, finish, judge_name, lasting
from .rankings import Split, preferences
from .stage import done, open_run, rate, result, room_for_answers


def label_answers(
    *,
    model: str,
    judge_model: str,
    data: str,
    constitution: str,
    helpful: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: LabelSettings,
    count: int = 0,
    beside: str = "",
) -> dict[str, Any]:
    """Pairs of a policy's answers (and of another model's, `beside`) with soft labels by an AI judge, mixed
    with people's comparisons for helpfulness.
    """
    prompts = names.data.read_data(data, "prompt", seed=seed, count=count)
    ranked = Split[Ranking]([], [], None, "")
    if helpful:
        ranked = preferences(helpful, seed, 0, settings.held_out)
    truth = names.judges.maybe_judge(gold)
    who = judge_name(judge_model, constitution, settings, labels=settings.labels)
    run = open_run(
        "label",
        out,
        lasting(settings),
        seed,
        resume,
        uses=[*names.models.loaded_here(model, judge_model, beside), prompts, *ranked.parts, truth],
        gold=gold,
        judge=str(who),
        constitution=constitution_digest(who),
        policy=model,
        beside=beside,
    )
    if run.done:
        return done(run)
    from ..collecting import label as method

    writers = [name for name in (model, beside) if name]
    judge = ai_judge(run, who, settings, seed, others=tuple(writers))
    policy, *other = [
        names.models.sampler(
            name,
            model=ModelSettings() if is_endpoint(name) else settings.model,
            sampling=settings.sampling,
            cache=run.path / f"{part}.jsonl",
            endpoint=settings.endpoint if is_endpoint(name) else EndpointSettings(),
        )
        for name, part in zip(writers, ("policy", "beside"), strict=False)
    ]
    asked = list(prompts.records)
    if not isinstance(policy, EndpointSampler):
        asked = room_for_answers(run, asked, policy, settings.sampling)
    run.note(ranked.note)
    summary = method.run(
        run,
        policy,
        judge,
        asked,
        settings,
        helpful=ranked.train,
        helpful_test=ranked.test,
        gold=truth.load(),
        beside=other[0] if other else None,
        seed=seed,
    )
    finish(run, judge, summary)
    known = f"; {rate(summary['labels']['accuracy'])} as gold has it on held-out pairs" if gold else ""
    return result(
        run,
        f"{summary['comparisons']} pairs labelled, {summary['judge']['undecided']} undecided{known}; "
        f"effect of order {rate(summary['order_effect'])}",
    )
