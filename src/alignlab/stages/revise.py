"""The supervised stage of Constitutional AI: demonstrations from critiques and revisions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import UserError
from ..records import Completion
from ..run import RunDir
from ..settings import ChainSettings, EndpointSettings, ModelSettings, ReviseSettings
from .stage import done, open_run, rate, result, room_for_answers

if TYPE_CHECKING:
    from ..collecting.revise import Workshop
    from ..constitution.principles import Constitution
    from ..feedback import Judge
    from ..sampling import ModelSampler


def revise(
    *,
    model: str,
    critic: str,
    data: str,
    constitution: str,
    helpful: str,
    judge: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: ReviseSettings,
    count: int = 0,
) -> dict[str, Any]:
    """Red-team prompts -> drafts -> critiques -> revisions, and the author's answers to harmless prompts:
    demonstrations for `alignlab sft --data RUN`.
    """
    from ..collecting.revise import pool_of
    from ..constitution import files
    from ..sampling.endpoint import EndpointSampler

    if not model or not data:
        raise UserError(
            "revise needs an author and red-team prompts",
            remedy="alignlab constitution revise --model RUN --critic C --data D --constitution F --out RUN",
        )
    loaded, by = files.load(constitution), critic or model
    pool_of(loaded, settings)
    prompts = names.data.read_data(data, "prompt", seed=seed, count=count)
    harmless = []
    if helpful and settings.helpful_count:
        harmless = [names.data.read_data(helpful, "prompt", seed=seed, count=settings.helpful_count)]
    checker, named_truth = names.judges.maybe_judge(judge), names.judges.maybe_judge(gold)
    run = open_run(
        "revise",
        out,
        settings,
        seed,
        resume,
        uses=[*names.models.loaded_here(model, by), prompts, *harmless, checker, named_truth],
        author=model,
        critic=by,
        constitution=f"{loaded.name} {loaded.version} {loaded.digest}",
        judge=judge,
        gold=gold,
    )
    if run.done:
        return done(run)
    from ..collecting import revise as method

    truth = named_truth.load()
    if truth and gold.startswith("town:"):
        # a prompt that it cannot judge is an error now, and not after all the work
        truth.score([Completion(prompt, "") for prompt in prompts.records])
    team = workshop(model, by, loaded, settings, judge=checker.load(), run=run)
    asked = [prompt for data in harmless for prompt in data.records]
    if not asked:
        run.note(
            "revise: no helpful answers are mixed in (--helpful D); a model that learns from revisions "
            "alone tends to refuse what is harmless"
        )
    kind = [prompt for prompt in asked if prompt.meta.get("kind") != "harmful"]
    if len(kind) < len(asked):
        run.note(
            f"revise: {len(asked) - len(kind)} of {len(asked)} prompts of "
            f"{helpful} are harmful and not answered"
        )
    if not isinstance(team.author, EndpointSampler):
        prompts = replace(
            prompts, records=room_for_answers(run, prompts.records, team.author, settings.sampling)
        )
        kind = room_for_answers(run, kind, team.author, settings.sampling) if kind else []
    summary = method.revise(
        run,
        team,
        prompts.records,
        settings,
        helpful=kind,
        gold=truth,
        breaks=names.judges.breach_reader(gold),
        seed=seed,
    )
    spent = {
        who: sampler.spent
        for who, sampler in (("author", team.author), ("critic", team.critic))
        if isinstance(sampler, EndpointSampler)
    }
    if spent:
        summary["spent"] = spent
    for sampler in {id(s): s for s in (team.author, team.critic)}.values():
        sampler.close()
    run.finish(summary)
    lines = [
        (
            f"{summary['revisions']} revisions and {summary['helpful']} helpful answers; of "
            f"{summary['chains']} chains {rate(summary['kept'])} are kept"
        )
        + "".join(f", {number} dropped: {reason}" for reason, number in summary["reasons"].items()),
        f"critiques found something in {rate(summary['fired'])}",
    ]
    if found := summary.get("gold"):
        lines.append(
            f"help with harm: drafts {rate(found['compliance']['drafts'])}, revisions "
            f"{rate(found['compliance']['revisions'])}; critiques right {rate(found['critiques_right'])}"
        )
    return result(run, "\n".join(lines))


def workshop(
    model: str,
    critic: str,
    constitution: Constitution,
    settings: ChainSettings,
    *,
    judge: Judge | None = None,
    run: RunDir | None = None,
) -> Workshop:
    """Author and critic with what each needs: settings of this process for a local model, budget and cache
    for a server. One that is both is loaded once.
    """
    from ..collecting.revise import Workshop
    from ..constitution.forms import form_of
    from ..sampling.address import is_endpoint

    remote = [is_endpoint(name) for name in (model, critic)]
    form = form_of(settings.form, "" if remote[1] else names.models.model(critic).path, constitution)

    def sampler(name: str, part: str, *, documents: bool = False) -> ModelSampler:
        here = not is_endpoint(name)
        return names.models.sampler(
            name,
            model=settings.model if here or all(remote) else ModelSettings(),
            endpoint=EndpointSettings() if here and any(remote) else settings.endpoint,
            sampling=settings.critic_sampling if part == "critic" else settings.sampling,
            cache=run.path / f"endpoint-{part}.jsonl" if run else None,
            stop=form.stop if documents else (),
            documents=documents,
        )

    author = sampler(model, "author")
    same = critic == model and not form.documents
    return Workshop(
        author,
        author if same else sampler(critic, "critic", documents=form.documents),
        constitution,
        form,
        model,
        critic,
        judge,
    )
