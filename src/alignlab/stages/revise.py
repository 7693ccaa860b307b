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
    from ..sampling.address import is_endpoint
    from ..sampling.endpoint import EndpointSampler

    if not model or not data:
        raise UserError(
            "revise needs an author and red-team prompts",
            remedy="alignlab constitution revise --model RUN --critic C --data D --constitution F --out RUN",
        )
    loaded, by = files.load(constitution), critic or model
    pool_of(loaded, settings)
    prompts = names.data.read(data, "prompt", seed=seed, count=count)
    harmless = (
        names.data.read(helpful, "prompt", seed=seed, count=settings.helpful_count)
        if helpful and settings.helpful_count
        else names.data.Data([], "", "")
    )
    run = open_run(
        "revise",
        out,
        settings,
        seed,
        resume,
        models=[name for name in dict.fromkeys((model, by)) if not is_endpoint(name)],
        data=[prompts, *([harmless] if harmless.records else [])],
        author=model,
        critic=by,
        constitution=f"{loaded.name} {loaded.version} {loaded.digest}",
        judge=judge,
        gold=gold,
    )
    if run.done:
        return done(run)
    from ..collecting import revise as method

    truth = names.judges.maybe_judge(gold)
    if truth and gold.startswith("town:"):
        truth.score(
            [Completion(prompt, "") for prompt in prompts.records]
        )  # a prompt that it cannot judge is an error now, and not after all the work
    team = workshop(model, by, loaded, settings, judge=judge, run=run)
    if not harmless.records:
        run.note(
            "revise: no helpful answers are mixed in (--helpful D); a model that learns from revisions "
            "alone tends to refuse what is harmless"
        )
    kind = [prompt for prompt in harmless.records if prompt.meta.get("kind") != "harmful"]
    if len(kind) < len(harmless.records):
        run.note(
            f"revise: {len(harmless.records) - len(kind)} of {len(harmless.records)} prompts of "
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
    judge: str = "",
    run: RunDir | None = None,
) -> Workshop:
    """Author and critic with what each needs: settings of this process for a local model, budget and cache
    for a server. One that is both is loaded once.
    """
    from ..collecting.revise import Workshop
    from ..constitution.forms import form_of
    from ..sampling.address import is_endpoint

    remote = [is_endpoint(name) for name in (model, critic)]
    form = form_of(settings.form, "" if remote[1] else names.known.model_path(critic), constitution)

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
        names.judges.maybe_judge(judge),
    )
