"""What the on-policy methods do alike: prompts of a step, completions into rows and minibatches, what policy
and reference say of them, how far the sampler is from the trainer, and which completions are worth looking
at.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from ..data.checks import FitReport, fit
from ..errors import DataError
from ..feedback import Judge
from ..models.batch import pad
from ..models.chat import Rendered, prompt_ids
from ..models.forward import laid_out, token_logprobs_of
from ..models.load import Policy, context_of
from ..records import Completion, Prompt, Score
from ..run import RunDir, derive_seed, guard_finite
from ..settings import GroupSettings, OnlineDPOSettings, PPOSettings, RejectionSettings

Minibatch = list[list[int]]
"""The rows of one optimiser update, cut into micro-batches."""


# settings and prompts


def prompts_that_fit(
    run: RunDir,
    policy: Policy,
    prompts: Sequence[Prompt],
    settings: PPOSettings | GroupSettings | OnlineDPOSettings | RejectionSettings,
) -> tuple[list[Prompt], FitReport]:
    """The prompts of at most `max_prompt_length` tokens that leave room for an answer; what was cut or
    dropped is said, and they go into the run's data.

    Raises:
        DataError: no prompt fits, or most of them are lost.
    """
    name, sampling = run.info["stage"], settings.sampling
    longest = min(settings.max_prompt_length, context_of(policy.model) - sampling.max_new_tokens)
    prompts, report = fit(
        prompts,
        policy.tokenizer,
        longest,
        truncate=settings.truncate,
        anyway=settings.anyway,
        setting="max_prompt_length",
    )
    cut = f", {report.cut} of them cut from the left" if report.cut else ""
    run.note(
        f"{name}: {report.kept} of {report.read} prompts fit into {longest} tokens (longest "
        f"{report.longest}){cut}"
    )
    if sampling.top_p < 1:
        run.note(
            f"{name}: top_p {sampling.top_p} samples from less than the policy; ratios and KL are those "
            "of the whole policy"
        )
    run.add_data("prompts", prompts)
    return prompts, report


def prompts_of_step(prompts: Sequence[Prompt], count: int, step: int, seed: int) -> list[Prompt]:
    """The prompts of one step: every prompt once an epoch, in an order that follows from the seed."""
    places = (divmod(place, len(prompts)) for place in range(step * count, (step + 1) * count))
    return [prompts[_order(len(prompts), derive_seed(seed, "prompts", epoch))[i]] for epoch, i in places]


@lru_cache(maxsize=2)
def _order(length: int, seed: int) -> list[int]:
    order = list(range(length))
    random.Random(seed).shuffle(order)
    return order


# feedback


def judged_by(judge: Judge, completions: Sequence[Completion], step: int) -> list[Score]:
    """What a judge says of each completion.

    Raises:
        GuardStop: a score that is not finite, with the step and the completion.
    """
    scores = judge.score(completions)
    for completion, score in zip(completions, scores, strict=True):
        guard_finite(
            score.value,
            step=step,
            what=f"the score of {judge.name}",
            sample=f"{completion.prompt.text} | {completion.text}",
        )
    return scores


def scores_of(judge: Judge, completions: Sequence[Completion], step: int) -> list[float]:
    """What a judge gives each completion; raises as `judged_by`."""
    return [score.value for score in judged_by(judge, completions, step)]


def shaped_scores(
    scores: Sequence[float],
    completions: Sequence[Completion],
    *,
    clip: float,
    missing_end_penalty: float,
    device: torch.device | str = "cpu",
) -> Tensor:
    """(B,) scores clipped to plus and minus `clip` (0 = off), less `missing_end_penalty` where a completion
    was cut before it ended.
    """
    scores_B = torch.tensor(scores, device=device)
    if clip:
        scores_B = scores_B.clamp(-clip, clip)
    return scores_B - missing_end_penalty * torch.tensor([not c.finished for c in completions], device=device)


# rows, minibatches and log-probabilities; (B, T) tensors hold a completion a row and are 0 outside of it


def rows_of(policy: Policy, completions: Sequence[Completion]) -> tuple[list[Rendered], Tensor]:
    """Prompt and sampled ids of each completion, as they were sampled, and the mask (B, T) of the sampled
    ones, on the policy's device.
    """
    rows = []
    for c in completions:
        before = prompt_ids(policy.tokenizer, c.prompt)
        rows.append(Rendered([*before, *c.ids], [0] * len(before) + [1] * len(c.ids)))
    return rows, pad(rows, policy.pad_id).loss_mask_BT.to(policy.device)


def minibatches(
    count: int, *, per_prompt: int, minibatch: int, micro_batch: int, seed: int
) -> list[Minibatch]:
    """All rows once, in an order that follows from the seed, the completions of a prompt side by side:
    minibatches of micro-batches of rows.

    Args:
        micro_batch: rows a forward pass; 0 = the whole minibatch.
    """
    groups = [list(range(at, min(at + per_prompt, count))) for at in range(0, count, per_prompt)]
    random.Random(seed).shuffle(groups)
    order = [row for group in groups for row in group]
    size = micro_batch or minibatch
    return [
        [rows[i : i + size] for i in range(0, len(rows), size)]
        for rows in (order[i : i + minibatch] for i in range(0, count, minibatch))
    ]


Asked = Callable[[], AbstractContextManager[Any]]
"""Opens the model that is asked."""


def current(policy: Policy) -> Asked:
    """The policy as it is."""
    return partial(nullcontext, policy.model)


def frozen(policy: Policy, reference: Policy | None) -> Asked:
    """The reference: a model of its own or, for None, the policy with its adapter off."""
    return policy.reference if reference is None else partial(nullcontext, reference.model)


@torch.no_grad()
def logprobs_under(
    asked: Sequence[Asked],
    policy: Policy,
    rows: Sequence[Rendered],
    pieces: Sequence[Sequence[int]],
    *,
    temperature: float,
) -> list[Tensor]:
    """(B, T) log-probabilities of the completions under each model asked, a forward pass for each piece (rows
    that are read together).

    With the micro-batches of an update as pieces they are the update's own to the last bit, so that its first
    ratio is exactly 1.
    """
    found = [torch.zeros(len(rows), max(len(row.ids) for row in rows), device=policy.device) for _ in asked]
    for piece in pieces:
        layout = laid_out(policy.model, [rows[i] for i in piece], policy.pad_id)
        for logprobs_BT, opened in zip(found, asked, strict=True):
            with opened() as model:
                logprobs_BT[place_of(piece, rows)] = layout.back(
                    token_logprobs_of(model, layout.batch, temperature=temperature)
                )
    return found


def place_of(piece: Sequence[int], rows: Sequence[Rendered]) -> tuple[Tensor, slice]:
    """Where rows that were read together stand in a (B, T) tensor: they are as wide as the longest of them."""
    return torch.tensor(piece), slice(max(len(rows[i].ids) for i in piece))


# sampler and trainer


def sampler_logprobs(completions: Sequence[Completion], mask_BT: Tensor) -> Tensor:
    """(B, T) log-probabilities under the distribution the tokens were drawn from, as the sampler gave them.

    Raises:
        DataError: a sampler that gave no log-probability for each token.
    """
    for c in completions:
        if len(c.logprobs) != len(c.ids):
            raise DataError(
                f"the sampler gave {len(c.logprobs)} log-probabilities for {len(c.ids)} tokens",
                where=f"{c.prompt.text} | {c.text}"[:300],
                remedy="a sampler that returns the log-probability of each token it draws",
            )
    flat = torch.tensor([p for c in completions for p in c.logprobs], device=mask_BT.device)
    return torch.zeros(mask_BT.shape, device=mask_BT.device).masked_scatter(mask_BT.bool(), flat)


def mismatch(old_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor, mask_BT: Tensor) -> dict[str, float]:
    """How far the sampler is from the trainer: the difference of their log-probabilities, nats a token, and
    the ratio trainer over sampler.
    """
    kept = mask_BT.bool()
    log_ratio_N = old_logprobs_BT[kept] - sampler_logprobs_BT[kept]
    ratio_N = log_ratio_N.exp()
    return {
        "sampling/sampling_logp_difference/mean": (log_ratio_N.abs().sum() / kept.sum()).item(),
        "sampling/sampling_logp_difference/max": log_ratio_N.abs().max().item(),
        "sampling/importance_sampling_ratio/min": ratio_N.min().item(),
        "sampling/importance_sampling_ratio/mean": ratio_N.mean().item(),
        "sampling/importance_sampling_ratio/max": ratio_N.max().item(),
    }


# what is worth looking at


def samples_of_step(
    completions: Sequence[Completion],
    proxy: Sequence[float],
    kl: Sequence[float] | None,
    truth: Sequence[Score] | None,
) -> list[dict[str, Any]]:
    """Rows for samples.jsonl: the best two by proxy and the worst, and up to three that mislead."""
    misled = misleading(proxy, [score.value for score in truth] if truth else None)
    return [
        completions[i].to_json()
        | {
            "proxy": proxy[i],
            "kl": kl[i] if kl else None,
            "gold": truth[i].value if truth else None,
            "reason": truth[i].reason if truth else "",
            "misleading": i in misled,
        }
        for i in dict.fromkeys([*best_and_worst(proxy), *misled[:3]])
    ]


def best_and_worst(proxy: Sequence[float]) -> list[int]:
    """The two best of a step by proxy, and the worst."""
    order = sorted(range(len(proxy)), key=lambda i: -proxy[i])
    return [*order[:2], order[-1]]


def misleading(proxy: Sequence[float], gold: Sequence[float] | None) -> list[int]:
    """Where the proxy is above the batch's mean and gold below it: what the judge likes and should not.
    Lowest gold first, then highest proxy.
    """
    if not gold:
        return []
    liked, right = mean(proxy), mean(gold)
    found = [i for i in range(len(proxy)) if proxy[i] > liked and gold[i] < right]
    return sorted(found, key=lambda i: (gold[i], -proxy[i]))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def ends(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The means of the first and of the last tenth."""
    few = max(1, len(values) // 10)
    return (mean(values[:few]), mean(values[-few:])) if values else (None, None)


def first_and_last(history: Sequence[dict[str, float | None]], *names: str) -> dict[str, float | None]:
    """For each name `NAME_first` and `NAME_last`: its means over the first and the last tenth of the steps
    that have it.
    """
    found: dict[str, float | None] = {}
    for name in names:
        found[f"{name}_first"], found[f"{name}_last"] = ends(
            [value for row in history if (value := row[name]) is not None]
        )
    return found
