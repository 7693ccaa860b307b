"""A model's answers to held-out prompts, scored, and what follows from the scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..feedback import Judge
from ..models.batch import chunks
from ..models.chat import Rendered, prompt_ids
from ..models.forward import laid_out, token_logprobs_of
from ..models.load import Policy
from ..records import Completion, Prompt, Score
from ..sampling import Sampler, Sampling
from .statistics import mean_ci, win_rate

Results = Sequence[tuple[Completion, Score]]

PARTS = {
    "helpful": "helpful",
    "harmless": "harmless",
    "honest": "honest",
    "compliance_with_harm": "complied",
    "over_refusal": "over_refused",
    "instruction_format": "in_form",
    "known_facts": "known_fact",
    "compliance_seen": "complied_seen",
    "compliance_held_out": "complied_held_out",
    "look_alike_refusal": "over_refused",
    "look_alike_refusal_seen": "over_refused_seen",
    "look_alike_refusal_held_out": "over_refused_held_out",
    "evasive": "evasive",
}
"""Figures of the summary that are the mean of a part, over the completions that have it."""


def evaluate(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    judge: Judge,
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    source: str = "",
) -> list[tuple[Completion, Score]]:
    """One completion of each prompt with its score."""
    groups = sampler.sample(
        prompts, Sampling(max_new_tokens=max_new_tokens, temperature=temperature), seed=seed
    )
    completions = [group[0] for group in groups]
    return list(zip(completions, judge.score(completions), strict=True))


def summarise(
    greedy: Results,
    sampled: Results | None = None,
    beside: tuple[Sequence[float], Sequence[float]] | None = None,
) -> dict[str, Any]:
    """M of `summary.json`: every figure an S (mean, interval, n), or None where it does not apply.

    Args:
        sampled: answers to the same prompts at temperature 1.
        beside: gold scores at temperature 1 of this model and of the baseline, prompt by prompt.
    """
    summary: dict[str, Any] = {"gold": mean_ci([score.value for _, score in greedy])}
    summary["gold_sampled"] = mean_ci([score.value for _, score in sampled]) if sampled else None
    for figure, part in PARTS.items():
        values = [score.parts[part] for _, score in greedy if part in score.parts]
        summary[figure] = mean_ci(values) if values else None
    summary["win_rate_vs_sft"] = win_rate(*beside) if beside else None
    summary["kl_from_sft"] = None
    summary["mean_length"] = sum(len(c.ids) or len(c.text.split()) for c, _ in greedy) / max(1, len(greedy))
    return summary


def breakdown(results: Results, key: str) -> dict[str, dict[str, Any]]:
    """Gold by a key of the prompts' meta (kind, split)."""
    groups: dict[str, list[float]] = {}
    for completion, score in results:
        if key in completion.prompt.meta:
            groups.setdefault(str(completion.prompt.meta[key]), []).append(score.value)
    return {name: mean_ci(values) for name, values in sorted(groups.items())}


TOPIC_FIGURES = {
    "compliance_seen": "complied_seen",
    "compliance_held_out": "complied_held_out",
    "look_alike_refusal_seen": "over_refused_seen",
    "look_alike_refusal_held_out": "over_refused_held_out",
}


def by_topic(results: Results) -> dict[str, dict[str, Any]]:
    """Help with harm, and refusals of harmless look-alikes, of each topic (`meta["params"]["topic"]`), for
    seen and held-out topics apart.

    A model takes a topic as a whole, so the prompts of one are no independent draws: `mean` of a figure is
    over topics, its interval too.
    """
    found = {}
    for figure, part in TOPIC_FIGURES.items():
        topics: dict[str, list[float]] = {}
        for completion, score in results:
            if part in score.parts and "topic" in (completion.prompt.meta.get("params") or {}):
                topics.setdefault(completion.prompt.meta["params"]["topic"], []).append(score.parts[part])
        if topics:
            rows = {topic: mean_ci(values) for topic, values in sorted(topics.items())}
            found[figure] = mean_ci([row["mean"] for row in rows.values()]) | {"topics": rows}
    return found


@torch.inference_mode()
def kl_from(completions: Sequence[Completion], policy: Policy, reference: Policy) -> dict[str, Any]:
    """KL(policy || reference) in nats a completion: mean over the policy's own samples of the sum over tokens
    of log p - log p_ref (k1).
    """
    rows = []
    for c in completions:
        before = prompt_ids(policy.tokenizer, c.prompt)
        rows.append(Rendered([*before, *c.ids], [0] * len(before) + [1] * len(c.ids)))
    sums = [0.0] * len(rows)
    for chunk in chunks(rows, 4096):
        layouts = [
            (model, laid_out(model, [rows[i] for i in chunk], policy.pad_id))
            for model in (policy.model, reference.model)
        ]
        ours, theirs = (
            layout.back(token_logprobs_of(model, layout.batch)).sum(1) for model, layout in layouts
        )
        for i, value in zip(chunk, (ours - theirs).tolist(), strict=True):
            sums[i] = value
    return mean_ci(sums)
