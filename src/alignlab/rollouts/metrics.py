"""What on-policy loops log of a step, by the field's names. The legend, once for all of them:

objective/scores, scores_std     the judge's, clipped, less what an unfinished completion pays
objective/kl, kl_k2, kl_k3       nats per completion from the reference, before the update: the sums of
                                 k1, k2 and k3 (`losses.kl_estimate`); RLOO and GRPO call them kl and kl_k3
objective/non_score_reward       the KL penalty; objective/rlhf_reward: the score less it
objective/entropy                nats per completion, from the log-probabilities that were sampled
objective/gold                   a judge that knows the truth, never optimized
policy/*, loss/*, val/*          means over the updates of means over the masked tokens
val/ratio_first                  the ratio on the first minibatch, 1 in fp32
critic/vf_explained_var          of the returns, by the values before the update
reward, reward_std               RLOO and GRPO: score less KL penalty, if it is in the reward; its deviation
                                 within a prompt
frac_reward_zero_std             share of prompts whose completions all have one score: dead groups
completions/marks_ratio          share of completions with special tokens inside, which every judge sees
completions/*, sampling/*        lengths; how far the sampler is from the trainer (`mismatch`), and how many
                                 updates older its weights are (`staleness`)
judge/*, safety/*                what the judge adds; the price of cost (`Feedback`)
time/*                           seconds
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from .. import losses
from ..models.chat_template import marks
from ..records import Completion
from .batch import Rollouts
from .worth_reading import mean


class PPOBatch(Protocol):
    """What PPO knows of a batch before it learns anything from it (`methods.ppo.Batch`)."""

    @property
    def rollouts(self) -> Rollouts: ...
    @property
    def scores_B(self) -> Tensor: ...
    @property
    def old_logprobs_BT(self) -> Tensor: ...
    @property
    def ref_logprobs_BT(self) -> Tensor: ...
    @property
    def old_values_BT(self) -> Tensor: ...
    @property
    def returns_BT(self) -> Tensor: ...


def of_ppo(batch: PPOBatch, kl_coef: float) -> dict[str, float]:
    """What PPO logs of it."""
    r, old_BT, ref_BT = batch.rollouts, batch.old_logprobs_BT, batch.ref_logprobs_BT
    score = batch.scores_B.mean().item()
    kl, kl_k2, kl_k3 = (kl_of(r, old_BT, ref_BT, estimator) for estimator in ("k1", "k2", "k3"))
    variance = losses.explained_variance(batch.old_values_BT, batch.returns_BT, r.mask_BT)
    return {
        "objective/kl": kl,
        "objective/kl_k2": kl_k2,
        "objective/kl_k3": kl_k3,
        "objective/entropy": -old_BT.sum(1).mean().item(),
        "objective/scores": score,
        "objective/scores_std": batch.scores_B.std(correction=0).item(),
        "objective/non_score_reward": -kl_coef * kl,
        "objective/rlhf_reward": score - kl_coef * kl,
        "critic/vf_explained_var": variance.item(),
        "val/num_eos_tokens": sum(c.finished for c in r.completions),
        **lengths(r),
        **mismatch(r, old_BT),
    }


def kl_of(batch: Rollouts, logprobs_BT: Tensor, ref_logprobs_BT: Tensor, estimator: str) -> float:
    """Nats per completion."""
    kl_BT = losses.kl_estimate(logprobs_BT, ref_logprobs_BT, estimator=estimator)
    return (kl_BT * batch.mask_BT).sum(1).mean().item()


def lengths(batch: Rollouts) -> dict[str, float]:
    """How long completions are: tokens, the share that was cut before it ended, and that with marks."""
    count = len(batch.completions)
    return {
        "completions/mean_length": batch.mask_BT.sum().item() / count,
        "completions/clipped_ratio": 1 - sum(c.finished for c in batch.completions) / count,
        "completions/marks_ratio": marks_ratio(batch.policy.tokenizer, batch.completions),
    }


def marks_ratio(tokenizer: Any, completions: Sequence[Completion]) -> float:
    """The share of completions in which marks of the tokenizer stand: special tokens that did not end it."""
    known = marks(tokenizer)
    return mean([known.search(c.text) is not None for c in completions])


def mismatch(batch: Rollouts, old_logprobs_BT: Tensor, mask_BT: Tensor | None = None) -> dict[str, float]:
    """How far the sampler is from the trainer: the difference of their log-probabilities, nats per token, and
    the ratio trainer over sampler. The mask says where, if not everywhere.
    """
    kept = (batch.mask_BT if mask_BT is None else mask_BT).bool()
    log_ratio_N = old_logprobs_BT[kept] - batch.sampler_logprobs_BT[kept]
    ratio_N = log_ratio_N.exp()
    return {
        "sampling/sampling_logp_difference/mean": (log_ratio_N.abs().sum() / kept.sum()).item(),
        "sampling/sampling_logp_difference/max": log_ratio_N.abs().max().item(),
        "sampling/importance_sampling_ratio/min": ratio_N.min().item(),
        "sampling/importance_sampling_ratio/mean": ratio_N.mean().item(),
        "sampling/importance_sampling_ratio/max": ratio_N.max().item(),
    }


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure the mean over the updates of a step; none of no update."""
    return {name: mean([row[name] for row in rows]) for name in (rows[0] if rows else ())}
