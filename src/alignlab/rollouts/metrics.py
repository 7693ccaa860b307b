"""What on-policy loops log of a step, by the field's names. The legend, once for all of them:

objective/scores, scores_std     the judge's, clipped, less what an unfinished completion pays
objective/kl, kl_k2, kl_k3       nats per completion from the reference, before the update: sums over tokens of
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
completions/*, sampling/*        lengths; how far the sampler is from the trainer (`mismatch`)
judge/*, safety/*                what the judge adds; the price of cost (`Feedback`)
time/*                           seconds
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from .. import losses
from .batch import Rollouts
from .worth_reading import mean


def of_ppo(
    batch: Rollouts,
    scores_B: Tensor,
    old_logprobs_BT: Tensor,
    ref_logprobs_BT: Tensor,
    values_BT: Tensor,
    returns_BT: Tensor,
    *,
    kl_coef: float,
) -> dict[str, float]:
    """What PPO logs of a batch before it learns anything from it."""
    score = scores_B.mean().item()
    kl, kl_k2, kl_k3 = (
        kl_of(batch, old_logprobs_BT, ref_logprobs_BT, estimator) for estimator in ("k1", "k2", "k3")
    )
    return {
        "objective/kl": kl,
        "objective/kl_k2": kl_k2,
        "objective/kl_k3": kl_k3,
        "objective/entropy": -old_logprobs_BT.sum(1).mean().item(),
        "objective/scores": score,
        "objective/scores_std": scores_B.std(correction=0).item(),
        "objective/non_score_reward": -kl_coef * kl,
        "objective/rlhf_reward": score - kl_coef * kl,
        "critic/vf_explained_var": losses.explained_variance(values_BT, returns_BT, batch.mask_BT).item(),
        "val/num_eos_tokens": sum(c.finished for c in batch.completions),
        **lengths(batch),
        **mismatch(batch, old_logprobs_BT),
    }


def kl_of(batch: Rollouts, logprobs_BT: Tensor, ref_logprobs_BT: Tensor, estimator: str) -> float:
    """Nats per completion."""
    kl_BT = losses.kl_estimate(logprobs_BT, ref_logprobs_BT, estimator=estimator)
    return (kl_BT * batch.mask_BT).sum(1).mean().item()


def lengths(batch: Rollouts) -> dict[str, float]:
    """How long completions are: tokens, and the share that was cut before it ended."""
    count = len(batch.completions)
    return {
        "completions/mean_length": batch.mask_BT.sum().item() / count,
        "completions/clipped_ratio": 1 - sum(c.finished for c in batch.completions) / count,
    }


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
