"""What a model makes of text that it did not write: its loss on documents and demonstrations, and how much
likelier it finds the chosen completion of a comparison.

No judge is asked and nothing is sampled, so that it is a second opinion on a policy that was trained against
a judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.checks import fit
from ..errors import DataError
from ..models.batch import chunks
from ..models.chat import Rendered, example, text_ids
from ..models.forward import completion_logprobs
from ..models.policy import Policy
from ..records import Comparison, Demonstration, Text
from ..run import RunDir, read_run
from . import statistics

Figures = dict[str, dict[str, float]]
"""For each figure the value of each record, by a key that names the record's text."""


def run(
    run: RunDir,
    policy: Policy,
    demonstrations: Sequence[Demonstration],
    comparisons: Sequence[Comparison],
    documents: Sequence[Text] = (),
    *,
    max_length: int,
    baseline: str = "",
) -> dict[str, Any]:
    """Measure one model on records that it was not trained on.

    Args:
        documents: measured up to `max_length` tokens each, every token given those before it and the first
            given the begin token.
        baseline: a finished run of this kind on the same records: the differences from it are taken record by
            record.

    Returns:
        Each an S (mean, interval, n) by prompt (`statistics.mean_by_prompt`), a document being one of its
        own: of documents `text_loss` (nats per token); of demonstrations `loss` (nats per token of the
        completion, its end token among them); of comparisons `margin` (log p(chosen) - log p(rejected),
        nats), `chosen_likelier` (its sign: a tie counts half), `chosen_logp` and `rejected_logp`.
        `token_loss` is the mean over tokens, as the `eval_loss` of SFT. With a baseline
        `paired`: the differences of all but the share.

    Raises:
        DataError: nothing fits; a baseline that measured none of these records.
    """
    figures: Figures = {}
    prompts: dict[str, str] = {}  # of each record; a document is one of its own
    summary: dict[str, Any] = {}
    if demonstrations:
        shown, report = fit(demonstrations, policy.tokenizer, max_length)
        run.note(f"likelihood: {report}")
        rows = [example(policy.tokenizer, d.prompt, d.completion) for d in shown]
        sums_N, lengths_N = logps_of(policy, rows)
        keys = [key_of(d.prompt.id, d.completion) for d in shown]
        prompts |= zip(keys, [d.prompt.id for d in shown], strict=True)
        figures["loss"] = dict(zip(keys, (-sums_N / lengths_N).tolist(), strict=True))
        summary["token_loss"] = -(sums_N.sum() / lengths_N.sum()).item()
    if comparisons:
        decided, report = fit([c for c in comparisons if not c.tie], policy.tokenizer, max_length)
        run.note(f"likelihood: {report}")
        rows, keys = [], []
        for c in decided:
            rows.append(example(policy.tokenizer, c.prompt, c.chosen, finished=c.chosen_finished))
            rows.append(example(policy.tokenizer, c.prompt, c.rejected, finished=c.rejected_finished))
            keys.append(key_of(c.prompt.id, c.chosen, c.rejected))
            prompts[keys[-1]] = c.prompt.id
        sums_N2 = logps_of(policy, rows)[0].view(-1, 2)
        for name, values in (
            ("chosen_logp", sums_N2[:, 0]),
            ("rejected_logp", sums_N2[:, 1]),
            ("margin", sums_N2[:, 0] - sums_N2[:, 1]),
        ):
            figures[name] = dict(zip(keys, values.tolist(), strict=True))
        summary["chosen_likelier"] = statistics.win_rate(
            sums_N2[:, 0].tolist(), sums_N2[:, 1].tolist(), prompts=[prompts[key] for key in keys]
        )
    if documents:
        figures["text_loss"] = text_loss(policy, documents, max_length)
    samples: list[dict[str, Any]] = []
    for name, values in figures.items():
        of = [prompts.get(key, key) for key in values]
        for (key, value), prompt in zip(values.items(), of, strict=True):
            samples.append({"figure": name, "record": key, "prompt": prompt, "value": value})
        summary[name] = statistics.mean_by_prompt(values.values(), of)
    run.log_samples(0, samples)
    if baseline:
        summary["paired"] = beside(baseline, figures, prompts)
    return summary


def text_loss(policy: Policy, documents: Sequence[Text], max_length: int) -> dict[str, float]:
    """Nats per token of each document, by its key. Raises DataError if none has a token to predict."""
    read: dict[str, list[int]] = {}
    for document in documents:
        ids = text_ids(policy.tokenizer, document.text)[:max_length]
        if len(ids) > 1:
            read[key_of(document.text)] = ids
    if not read:
        raise DataError(
            f"none of the {len(documents)} documents has two tokens",
            remedy="documents with text, and a larger max_length",
        )
    sums_N, lengths_N = logps_of(policy, [Rendered(ids, [0, *[1] * (len(ids) - 1)]) for ids in read.values()])
    return dict(zip(read, (-sums_N / lengths_N).tolist(), strict=True))


def logps_of(policy: Policy, rows: Sequence[Rendered]) -> tuple[Tensor, Tensor]:
    """(N,) log-probability of each completion, nats, and its tokens."""
    sums_N = completion_logprobs(policy.model, rows, chunks(rows, 4096), policy.pad_id)
    return sums_N.double(), torch.tensor([sum(row.loss_mask) for row in rows], dtype=torch.float64)


def key_of(*texts: str) -> str:
    """Sixteen hex digits that name a record by its texts."""
    return hashlib.sha256("\x1f".join(texts).encode()).hexdigest()[:16]


def beside(
    baseline: str, figures: Mapping[str, Mapping[str, float]], prompts: Mapping[str, str]
) -> dict[str, Any]:
    """For each figure the mean difference (here less baseline) over the records that both have measured, by
    prompt, with interval, n and p.
    """
    there: Figures = {}
    for row in read_run(baseline).samples:
        there.setdefault(row["figure"], {})[row["record"]] = row["value"]
    differences: dict[str, Any] = {}
    for name, values in figures.items():
        theirs = there.get(name, {})
        both = [key for key in values if key in theirs]
        if both:
            differences[name] = statistics.paired_difference(
                [values[key] for key in both],
                [theirs[key] for key in both],
                [prompts.get(key, key) for key in both],
            )
    if not differences:
        raise DataError(
            "the baseline measured none of these records",
            where=baseline,
            remedy="a run of `alignlab likelihood` on the same data",
        )
    return differences
