"""Where demonstrations come from: people, a crowd, a stronger model, the model itself. `alignlab sft --data
RUN` trains on each alike.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from .. import names
from ..errors import DataError, UserError
from ..run import derive_seed
from ..settings import CrowdSettings, DistilSettings, HumanSettings, SelfInstructSettings
from .stage import done, open_run, rate, result, room_for_answers


def human_demonstrations(
    *, data: str, answers: str, out: Path, seed: int, resume: bool, settings: HumanSettings, count: int = 0
) -> dict[str, Any]:
    """What people wrote into the file of answers; without one, the file to fill in."""
    from ..collecting import human as method

    file = Path(answers) if answers else out.with_name(f"{out.name}-answers.jsonl")
    if not file.exists():
        prompts = names.data.read(data, "prompt", seed=seed, count=count).records
        if file.suffix != ".jsonl":
            raise UserError(
                f"there is no file {file}, and one to fill in would be JSONL",
                remedy="a name that ends in .jsonl, or a file that exists",
            )
        method.write_template(file, prompts)
        return {
            "answers": str(file),
            "prompts": len(prompts),
            "text": (
                f"{file}: {len(prompts)} prompts to answer. Fill in completion, who, when and source; then "
                "the same command reads them."
            ),
        }
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise DataError(f"the answers cannot be read: {error.strerror}", where=str(file)) from None
    run = open_run(
        "demonstrations",
        out,
        settings,
        seed,
        resume,
        data=[names.data.Data([], str(file), digest)],
        kind="human",
    )
    if run.done:
        return done(run)
    summary = method.run(run, file, settings)
    run.finish(summary)
    return result(run, f"{told(summary)}; {summary['unanswered']} prompts are not answered yet")


def crowd_demonstrations(
    *, data: str, gold: str, out: Path, seed: int, resume: bool, settings: CrowdSettings, count: int = 0
) -> dict[str, Any]:
    """The answers that a crowd wrote, voted for and settled on."""
    prompts = names.data.read(data, "prompt", seed=seed, count=count)
    written, reviewing = (
        [part.strip() for part in text.split(",") if part.strip()]
        for text in (settings.writers, settings.reviewers)
    )
    writers = [
        names.people.writer(name, seed=derive_seed(seed, "writer", i)) for i, name in enumerate(written)
    ]
    digests = [names.data.read(name, "demonstration") for name in written if not name.startswith("town:")]
    run = open_run(
        "demonstrations",
        out,
        settings,
        seed,
        resume,
        data=[prompts, *digests],
        kind="crowd",
        gold=gold,
        **{f"reviewer {i}": name for i, name in enumerate([*reviewing, settings.adjudicator])},
    )
    if run.done:
        return done(run)
    from ..collecting import crowd as method

    reviewers = [
        names.people.annotator(name, seed=derive_seed(seed, "reviewer", i))
        for i, name in enumerate(reviewing)
    ]
    adjudicator = names.people.annotator(settings.adjudicator, seed=derive_seed(seed, "adjudicator"))
    summary = method.run(
        run,
        writers,
        reviewers,
        adjudicator,
        prompts.records,
        settings,
        gold=names.judges.maybe_judge(gold),
        seed=seed,
    )
    run.finish(summary)
    found, ways = summary["agreement"], summary["settled"]
    agreed = (
        f"; reviewers agree on {found['raw']:.0%} of pairs, alpha {found['krippendorff_alpha']:.2f}"
        if found
        else ""
    )
    return result(
        run,
        (
            f"{told(summary)}; {ways['vote']} by vote, {ways['adjudicated']} adjudicated, "
            f"{ways['the same']} unanimous{agreed}"
        ),
    )


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
    from ..sampling.endpoint import EndpointSampler, is_endpoint

    if not model:
        raise UserError("distillation needs a teacher", remedy="--model RUN, or http://host:port/v1#model")
    prompts = names.data.read(data, "prompt", seed=seed, count=count)
    run = open_run(
        "demonstrations",
        out,
        settings,
        seed,
        resume,
        models=[] if is_endpoint(model) else [model],
        data=[prompts],
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
        run,
        sampler,
        asked,
        settings,
        teacher=model,
        judge=names.judges.maybe_judge(judge),
        gold=names.judges.maybe_judge(gold),
        seed=seed,
    )
    if isinstance(sampler, EndpointSampler):
        summary["spent"] = sampler.spent
    run.finish(summary)
    return result(run, f"{told(summary)}; {rate(summary['finished'])} of the answers were finished")


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
    from ..sampling.endpoint import EndpointSampler, is_endpoint

    seeds = names.data.read(data, "demonstration", seed=seed, count=settings.seeds)
    test = [names.data.read(avoid, "prompt")] if avoid else []
    run = open_run(
        "demonstrations",
        out,
        settings,
        seed,
        resume,
        models=[] if is_endpoint(model) else [model],
        data=[seeds, *test],
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
        avoid={prompt.text for loaded in test for prompt in loaded.records},
        reader=names.judges.request_reader(gold),
        gold=names.judges.maybe_judge(gold),
        seed=seed,
    )
    if isinstance(sampler, EndpointSampler):
        summary["spent"] = sampler.spent
    run.finish(summary)
    valid = f"; the gold judge knows {rate(summary['valid'])} of the requests" if "valid" in summary else ""
    return result(run, f"{told(summary)}; {summary['rounds']} rounds{valid}")


def told(summary: dict[str, Any]) -> str:
    """The counts of a collection in words."""
    why = ", ".join(f"{count} {reason}" for reason, count in summary["reasons"].items())
    return f"{summary['demonstrations']} demonstrations; {summary['rejected']} rejected" + (
        f" ({why})" if why else ""
    )
