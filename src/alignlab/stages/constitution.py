"""A constitution by itself: shown, linted; and the critic who learns to work under it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..constitution import files
from ..constitution.lint import firing, lint
from ..constitution.principles import Constitution
from ..errors import DataError, UserError
from ..names import things as names
from ..run import derive_seed, writing
from ..settings import CriticSettings
from ..text.lines import read_lines
from .stage import done, open_run, rate, result


def show_constitution(*, file: str) -> dict[str, Any]:
    """The principles of a constitution, with their tags."""
    found = files.load(file or "town")
    lines = [
        (
            f"{found.name}, version {found.version or '-'}, {found.digest}: {len(found.principles)} "
            f"principles, {len(found.exemplars)} examples for all"
        )
    ]
    for p in found.principles:
        lines += [
            "",
            f"{p.id}  [{', '.join(p.tags)}]" + (f"  {len(p.exemplars)} examples" if p.exemplars else ""),
            f"  critique: {p.critique}",
            f"  revise:   {p.revise}",
            f"  compare:  {p.compare}",
        ]
    return {**found.to_json(), "digest": found.digest, "text": "\n".join(lines)}


def lint_constitution(*, file: str, chains: str) -> dict[str, Any]:
    """What is wrong with a constitution; exit code 5 if a principle cannot be used. Chains are a run of
    `alignlab constitution revise`, or its file of chains.
    """
    found = files.read(file or "town")
    findings = lint(found, firing(_rows(Path(chains))) if chains else None)
    errors = sum(f.severity == "error" for f in findings)
    lines = [
        (
            f"{f.severity}  {f.kind}: "
            f"{', '.join(f.ids[:5])}{f' and {len(f.ids) - 5} more' if len(f.ids) > 5 else ''}: {f.text}"
        )
        for f in findings[:200]
    ]
    lines += [f"and {len(findings) - 200} more; --json prints all"] if len(findings) > 200 else []
    lines.append(
        (
            f"{found.name}: {len(found.principles)} principles, {errors} errors, {len(findings) - errors} "
            "warnings"
        )
        if findings
        else f"{found.name}: {len(found.principles)} principles, nothing to say"
    )
    return {
        "constitution": found.name,
        "digest": found.digest,
        "principles": len(found.principles),
        "findings": [f.to_json() for f in findings],
        "text": "\n".join(lines),
        "exit_code": 5 if errors else 0,
    }


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a chains file, or of the one in a run."""
    inside = path / "data" / "chains.jsonl"
    file = inside if inside.is_file() else path
    try:
        yield from (row for _, row in read_lines(file) if isinstance(row, dict))
    except OSError as error:
        raise DataError(
            f"cannot read the chains: {error}",
            where=str(file),
            remedy="a run of `alignlab constitution revise`, or its chains.jsonl",
        ) from None


def critic(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: CriticSettings, count: int = 0
) -> dict[str, Any]:
    """A base model of the town reads the columns of an editor who works under given principles; then its
    critiques, revisions and verdicts are measured.
    """
    from ..town import base, world

    path = names.model_path(model)
    if not names.is_base(path):
        raise UserError(
            f"{model!r} is no base model of the town, and the columns are written for one",
            where="--model",
            remedy="--model town; any model that chats is a critic as it is, by the dialogue form",
        )
    columns = names.data(data, "text", seed=seed, count=count)
    constitution = files.load("town")
    run = open_run(
        "critic",
        out,
        settings,
        seed,
        resume,
        models=[model],
        data=[columns],
        constitution=constitution.digest,
    )
    if run.done:
        return done(run)
    import torch

    from ..data.packing import whole_rows
    from ..methods.pretrain import pretrain as train
    from ..models.load import load_policy, save_policy

    torch.set_num_threads(settings.model.threads or 1)
    policy = load_policy(path, settings.model, trainable=True)
    town, tokenizer = world.build(), policy.tokenizer
    documents = [
        base.document_ids(tokenizer, record.text, record.meta.get("learnt")) for record in columns.records
    ]
    kept = base.corpus_ids(town, tokenizer, seed=derive_seed(seed, "corpus"))
    rows, weights = whole_rows(
        documents, kept, tokens=settings.tokens, context=settings.context, keep=settings.keep
    )
    run.add_data("columns", columns.records)
    summary = train(run, policy.model, rows, settings, weights)
    if settings.cases:
        summary |= _measured(town, policy, constitution, settings.cases, seed)
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=_card(model, seed, summary))
    run.finish(summary)
    if not settings.cases:
        return result(run, f"held-out loss {summary['eval_loss']:.3f}")
    found = summary["critic"]
    return result(
        run,
        f"criticises what breaks the principle {rate(found['critiques']['all']['fires'])}, leaves the rest {rate(found['critiques']['all']['silent'])}; "
        f"revisions that gold accepts {rate(found['critiques']['all']['mends'])}; verdicts "
        f"{rate(found['verdicts']['all']['verdicts'])}",
    )


def _measured(town: Any, policy: Any, constitution: Constitution, cases: int, seed: int) -> dict[str, Any]:
    """`critic`: on drafts of requests of every kind; `critic_risky`: on those of harmful requests and their
    look-alikes, which SL-CAI is about.
    """
    from ..sampling.local import LocalSampler
    from ..town.columns import KINDS
    from ..town.measure.critic import drafts_of_people, measure

    reader = LocalSampler.of(policy, slots=256, documents=True)
    found = {}
    for name, kinds in (("critic", tuple(KINDS)), ("critic_risky", ("harmful", "look_alike"))):
        found[name] = measure(
            town, reader, constitution, drafts_of_people(town, cases, seed=seed, kinds=kinds), seed=seed
        )
        for part in found[name].values():
            part["failed"] = part["failed"][:20]
    return found


def _card(model: str, seed: int, summary: dict[str, Any]) -> str:
    lines = [
        "# Critic",
        "",
        f"A critic of the town: `{model}` read the columns of an editor who works under a given principle. "
        f"Made by `alignlab constitution critic --seed {seed}`.",
        "",
        f"- tokens: {summary['num_tokens']:,}",
        f"- held-out loss: {summary['eval_loss']:.4f} nats a token",
    ]
    if found := summary.get("critic"):
        lines += [
            f"- {part} {name}, {split}: {rate(value)}"
            for part in ("critiques", "verdicts")
            for split in ("train", "entity", "phrasing")
            for name, value in found[part].get(split, {}).items()
        ]
    return "\n".join(lines) + "\n"
