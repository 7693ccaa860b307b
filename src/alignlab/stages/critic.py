"""The critic of the town, who learns to work under a constitution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..constitution import files
from ..constitution.principles import Constitution
from ..errors import UserError
from ..run import derive_seed
from ..settings import CriticSettings
from .stage import done, keep, open_run, rate, result


def critic(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: CriticSettings, count: int = 0
) -> dict[str, Any]:
    """A base model of the town reads the columns of an editor who works under given principles; then its
    critiques, revisions and verdicts are measured.
    """
    from ..town import base, world

    start = names.models.model(model)
    if not start.is_base:
        raise UserError(
            f"{model!r} is no base model of the town, and the columns are written for one",
            where="--model",
            remedy="--model town; any model that chats is a critic as it is, by the dialogue form",
        )
    columns = names.data.read_data(data, "text", seed=seed, count=count)
    constitution = files.load("town")
    run = open_run(
        "critic", out, settings, seed, resume, uses=[start, columns], constitution=constitution.digest
    )
    if run.done:
        return done(run)
    import torch

    from ..data.packing import whole_rows
    from ..methods.pretrain import pretrain as train
    from ..models.load import load_policy
    from ..models.saving import save_policy

    torch.set_num_threads(settings.model.threads or 1)
    policy = load_policy(start.path, settings.model, trainable=True)
    town, tokenizer = world.build(), policy.tokenizer
    documents = [base.document_ids(tokenizer, text.text, text.meta.get("learnt")) for text in columns.records]
    kept = base.corpus_ids(town, tokenizer, seed=derive_seed(seed, "corpus"))
    rows, weights = whole_rows(
        documents, kept, tokens=settings.tokens, context=settings.context, keep=settings.keep
    )
    run.add_data("columns", columns.records)
    summary = train(run, policy.model, rows, settings, weights)
    if settings.cases:
        summary |= _measured(town, policy, constitution, settings.cases, seed)
    keep(run, policy, summary, save_policy, _card(model, seed, summary))
    if not settings.cases:
        return result(run, f"held-out loss {summary['eval_loss']:.3f}")
    critiques, verdicts = (summary["critic"][part]["all"] for part in ("critiques", "verdicts"))
    return result(
        run,
        f"criticises what breaks the principle {rate(critiques['fires'])}, leaves the rest "
        f"{rate(critiques['silent'])}; revisions that gold accepts {rate(critiques['mends'])}; verdicts "
        f"{rate(verdicts['verdicts'])}",
    )


def _measured(town: Any, policy: Any, constitution: Constitution, cases: int, seed: int) -> dict[str, Any]:
    """The critic on people's drafts of requests of each of the CASES, by their names."""
    from ..sampling.local import LocalSampler
    from ..town.measure.critic import CASES, asked, drafts_of_people, measure

    reader = LocalSampler.of(policy, documents=True)
    found = {}
    for name, kinds in CASES.items():
        drafts = drafts_of_people(town, asked(town, cases, seed=seed, kinds=kinds), seed=seed)
        found[name] = measure(town, reader, constitution, drafts, seed=seed)
        for part in found[name].values():
            part["failed"] = part["failed"][:20]
    return found


def _card(model: str, seed: int, summary: dict[str, Any]) -> str:
    from ..town.measure.critic import SPLITS

    lines = [
        "# Critic",
        "",
        f"A critic of the town: `{model}` read the columns of an editor who works under a given principle. "
        f"Made by `alignlab constitution critic --seed {seed}`.",
        "",
        f"- tokens: {summary['num_tokens']:,}",
        f"- held-out loss: {summary['eval_loss']:.4f} nats per token",
    ]
    if found := summary.get("critic"):
        lines += [
            f"- {part} {name}, {split}: {rate(value)}"
            for part in ("critiques", "verdicts")
            for split in SPLITS
            for name, value in found[part].get(split, {}).items()
        ]
    return "\n".join(lines) + "\n"
