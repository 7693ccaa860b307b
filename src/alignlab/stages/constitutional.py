"""The supervised stage of Constitutional AI: demonstrations from critiques and revisions; and the same, one
prompt at a time, to look at.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckFailed, UserError
from ..names import things as names
from ..records import Completion, Prompt
from ..run import RunDir, check_file, is_page, write_document
from ..settings import ChainSettings, EndpointSettings, ModelSettings, ReviseSettings, WalkSettings
from ..text.escapes import visible
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
    from ..sampling.endpoint import EndpointSampler, is_endpoint

    if not model or not data:
        raise UserError(
            "revise needs an author and red-team prompts",
            remedy="alignlab constitution revise --model RUN --critic C --data D --constitution F --out RUN",
        )
    loaded, by = files.load(constitution), critic or model
    pool_of(loaded, settings)
    prompts = names.data(data, "prompt", seed=seed, count=count)
    harmless = (
        names.data(helpful, "prompt", seed=seed, count=settings.helpful_count)
        if helpful and settings.helpful_count
        else names.Data([], "", "")
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

    truth = names.maybe_judge(gold)
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
        breaks=names.breach_reader(gold),
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


TABLE = b'{\n "schema": 1,\n "author": '
"""How the table beside a page of a walk begins."""


def walk(
    *,
    prompt: str,
    model: str,
    critic: str,
    constitution: str,
    data: str,
    count: int,
    judge: str,
    gold: str,
    page: str,
    settings: WalkSettings,
) -> dict[str, Any]:
    """One prompt, or the prompts of a data set: draft, critique with its principle, revision, and what
    changed. `--page FILE.html` also writes FILE.json.
    """
    from ..collecting import revise as method
    from ..constitution import files
    from ..evals.statistics import mean_ci
    from ..report import walk as report

    if bool(prompt) == bool(data):
        raise UserError(
            "walk needs a prompt or a data set"
            if not prompt
            else "walk takes a prompt or a data set, not both",
            remedy='alignlab constitution walk "How do I pick a lock?", or --data D --count N',
        )
    if not model:
        raise UserError(
            "walk needs an author", remedy="--model M: a run, a folder, or http://host:port/v1#model"
        )
    if page:
        if not page.endswith((".html", ".htm")):
            raise UserError(
                f"--page {page!r} is no name for a page",
                remedy="--page FILE.html; the same as JSON goes beside it",
            )
        check_file(Path(page), ours=is_page, option="--page")
        check_file(
            Path(page).with_suffix(".json"), ours=lambda content: content.startswith(TABLE), option="--page"
        )
    loaded, by = files.load(constitution), critic or model
    method.pool_of(loaded, settings)
    read = names.request_reader(gold)
    asked: list[Prompt] = (
        list(names.data(data, "prompt", seed=settings.seed, count=count).records)
        if data
        else [read(prompt) or Prompt.user(prompt) if read else Prompt.user(prompt)]
    )
    team = workshop(model, by, loaded, settings, judge=judge)
    chains = method.revised(team, dict(enumerate(asked)), settings, seed=settings.seed)
    known = [
        "params" in chain.prompt.meta for chain in chains
    ]  # where a judge that knows the truth reads what was asked
    truth = names.maybe_judge(gold)
    scored = iter(
        truth.score(
            [
                Completion(c.prompt, text)
                for c, ours in zip(chains, known, strict=True)
                if ours
                for text in (c.draft, c.text)
            ]
        )
        if truth
        else []
    )
    rows = [
        report.walked(chain, loaded, (next(scored), next(scored)) if truth and ours else None)
        for chain, ours in zip(chains, known, strict=True)
    ]
    facts = [
        ("author", model),
        ("critic", by),
        ("constitution", f"{loaded.name} {loaded.version} ({loaded.digest})"),
        ("seed", str(settings.seed)),
    ]
    summary = {
        "kept": mean_ci([float(not chain.dropped) for chain in chains]),
        "fired": mean_ci([float(chain.fired) for chain in chains]),
        "changed": mean_ci([float(chain.text != chain.draft) for chain in chains if not chain.dropped]),
    }
    document: dict[str, Any] = {
        **dict(facts[:2]),
        "constitution": {"name": loaded.name, "version": loaded.version, "digest": loaded.digest},
        "seed": settings.seed,
        **summary,
        "rows": rows,
    }
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    said = [report.told(rows, colour=colour)]
    note = (
        (
            f"Critiques found something in {rate(summary['fired'])} of the drafts; "
            f"{rate(summary['changed'])} were changed."
        )
        if len(rows) > 1
        else ""
    )
    if note:
        said.append(note)
    if page:
        file = Path(page)
        report.write_walk(
            rows,
            file,
            title="Draft, critique, revision" if len(rows) == 1 else f"Before and after: {data}",
            facts=facts,
            note=note,
        )
        table = file.with_suffix(".json")
        write_document(table, {"schema": 1, **document})
        document |= {"page": str(file), "table": str(table)}
        said.append(visible(f"{file}, {table}"))
    if all(chain.dropped for chain in chains):
        said.append("Nothing is left to learn from: every chain was dropped.")
        document["exit_code"] = CheckFailed.exit_code
    return document | {"text": "\n\n".join(said), "styled": colour}


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
    from ..sampling.endpoint import is_endpoint

    remote = [is_endpoint(name) for name in (model, critic)]
    form = form_of(settings.form, "" if remote[1] else names.model_path(critic), constitution)

    def sampler(name: str, part: str, *, documents: bool = False) -> ModelSampler:
        here = not is_endpoint(name)
        return names.sampler(
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
        names.maybe_judge(judge),
    )
