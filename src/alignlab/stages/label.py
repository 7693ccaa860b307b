"""Pairs of answers with soft labels by an AI judge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..data.checks import with_room
from ..sampling.address import is_endpoint
from ..sampling.endpoint import EndpointSampler
from ..settings import EndpointSettings, LabelSettings, ModelSettings
from .rankings import preferences
from .stage import done, open_run, rate, result

if TYPE_CHECKING:
    pass
from .ai_judges import ai_judge, constitution_digest, finish, judge_name, lasting


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
    prompts = names.data.read(data, "prompt", seed=seed, count=count)
    kind, learn, test, said = (
        preferences(helpful, seed, 0, settings.held_out) if helpful else ([], [], None, "")
    )
    who = judge_name(judge_model, constitution, settings, labels=settings.labels)
    run = open_run(
        "label",
        out,
        lasting(settings),
        seed,
        resume,
        models=[name for name in (model, judge_model, beside) if name and not is_endpoint(name)],
        data=[prompts, *kind],
        gold=gold,
        judge=str(who),
        constitution=constitution_digest(who),
        policy=model,
        **({"beside": beside} if beside else {}),
    )
    if run.done:
        return done(run)
    from ..collecting import label as method
    from ..models.load import context_of

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
        asked, note = with_room(
            asked,
            policy.tokenizer,
            context=context_of(policy.model),
            new_tokens=settings.sampling.max_new_tokens,
        )
        run.note(note)
    run.note(said)
    summary = method.run(
        run,
        policy,
        judge,
        asked,
        settings,
        helpful=learn,
        helpful_test=test,
        gold=names.judges.maybe_judge(gold),
        beside=other[0] if other else None,
        seed=seed,
    )
    finish(run, judge, summary)
    known = f"; {rate(summary['labels']['accuracy'])} as gold has it on held-out pairs" if gold else ""
    return result(
        run,
        (
            f"{summary['comparisons']} pairs labelled, {summary['judge']['undecided']} undecided{known}; "
            f"effect of order {rate(summary['order_effect'])}"
        ),
    )
