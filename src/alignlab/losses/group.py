"""Advantages from a group of completions of one prompt: policy gradients without a value model."""

from __future__ import annotations

import torch
from torch import Tensor

from .kl import kl_estimate
from .masked import check_same_shape, masked_mean, zero_outside

KINDS = ("rloo", "grpo", "dr_grpo", "reinforce")
MEANS = ("sequence", "token", "constant")
LEVELS = ("token", "sequence")


def group_advantages(scores_PG: Tensor, *, kind: str) -> Tensor:
    """One advantage for each completion: its score minus a baseline.

    | kind | advantage | source |
    |---|---|---|
    | rloo | score - mean of the other G - 1 in the group | Kool et al. 2019; Ahmadian et al. 2024 |
    | grpo | (score - group mean) / (group standard deviation + 1e-4), ddof 1 | Shao et al. 2024, 4.1.2 |
    | dr_grpo | score - group mean | Liu et al. 2025: no division, which favors little spread |
    | reinforce | score - mean of all P x G scores | Williams 1992, the batch mean as baseline |

    rloo = dr_grpo * G / (G - 1): the mean of the others does not contain the score itself, which keeps the
    gradient unbiased. A group with equal scores gives exactly 0 in all kinds but reinforce: it teaches
    nothing.

    Args:
        scores_PG: (P, G), row = the completions of one prompt.
        kind: a row of the table.

    Returns:
        (P, G).

    Raises:
        ValueError: unknown kind; a group of one, except for reinforce.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: one of {', '.join(KINDS)}")
    if kind == "reinforce":  # Williams 1992
        return scores_PG - scores_PG.mean()
    group = scores_PG.shape[1]
    if group < 2:
        raise ValueError(
            f"kind {kind!r} compares completions of one prompt and needs at least 2 of them, not {group}"
        )
    equal_P1 = scores_PG.amax(1, keepdim=True) == scores_PG.amin(1, keepdim=True)
    # the mean of equal floats may be off by its last digit
    centered_PG = (scores_PG - scores_PG.mean(1, keepdim=True)).masked_fill(equal_P1, 0.0)
    match kind:
        case "rloo":  # Ahmadian et al. 2024
            return centered_PG * (group / (group - 1))
        case "grpo":  # Shao et al. 2024, 4.1.2
            return centered_PG / (scores_PG.std(1, keepdim=True, correction=1) + 1e-4)
        case _:  # dr_grpo: Liu et al. 2025
            return centered_PG


def token_weights(mask_BT: Tensor, *, mean: str, sequences: int, tokens: float, max_length: int) -> Tensor:
    """What each token of a minibatch weighs in the loss, so that the sum over all its micro-batches is the
    mean that is wanted.

    | mean | weight of a token | source |
    |---|---|---|
    | sequence | 1 / (sequences * length of its completion) | Shao et al. 2024, equation 3 |
    | token | 1 / tokens | Yu et al. 2025 (DAPO), equation 8: all tokens alike |
    | constant | 1 / (sequences * max_length) | Liu et al. 2025 (Dr. GRPO): the policy gradient |

    Args:
        mask_BT: (B, T), 1 on the completion tokens of a micro-batch.
        sequences, tokens: counts of the whole minibatch; max_length: the longest completion there may be.

    Returns:
        (B, T), 0 where the mask is 0.

    Raises:
        ValueError: another mean.
    """
    mask = (mask_BT != 0).to(mask_BT.dtype if mask_BT.is_floating_point() else torch.get_default_dtype())
    match mean:
        case "sequence":  # Shao et al. 2024, (3)
            return mask / (sequences * mask.sum(1, keepdim=True).clamp_min(1))
        case "token":  # Yu et al. 2025, (8)
            return mask / tokens
        case "constant":  # Liu et al. 2025
            return mask / (sequences * max_length)
        case _:
            raise ValueError(f"mean {mean!r} is not one of {', '.join(MEANS)}")


def group_policy_loss(
    logprobs_BT: Tensor,
    old_logprobs_BT: Tensor,
    advantages_B: Tensor,
    mask_BT: Tensor,
    *,
    weights_BT: Tensor,
    epsilon: float,
    epsilon_high: float | None = None,
    ref_logprobs_BT: Tensor | None = None,
    kl_coef: float = 0.0,
    estimator: str = "k3",
    ratio_level: str = "token",
) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped surrogate of a completion's one advantage, and the KL penalty where it stands in the loss
    (Shao et al. 2024, equations 3 and 4).

        r = exp(log p - log p_old)
        L = sum( w [ max(-A r, -A clip(r, 1 - e_low, 1 + e_high)) + kl_coef kl(log p, log p_ref) ] )

    At the level of a sequence all tokens of a completion share its ratio, length-normalized (GSPO, Zheng et
    al. 2025, equations 5 and 7):

        r = exp( sum_t (log p_t - log p_old,t) / length )

    At r = 1, as on a first pass, the gradient is that of REINFORCE: -sum(w A grad log p) (Williams 1992).

    On the KL term: k3 is an unbiased *value* of KL(p || p_ref) at each token, but its gradient, (1 - p_ref /
    p) grad log p, is in expectation that of KL(p_ref || p). The gradient of k2, (log p - log p_ref) grad log
    p, is in expectation that of KL(p || p_ref) (Tang and Munos 2025). Of k1 it is 0 in expectation: k1
    belongs into the reward.

    Args:
        logprobs_BT: (B, T) of the policy being trained; old_logprobs_BT of the policy that wrote the tokens;
            ref_logprobs_BT of the reference.
        advantages_B: (B,), the same for all tokens of a completion; mask_BT: (B, T), 1 on completion tokens.
        weights_BT: w, from `token_weights`, times importance weights where there are any.
        epsilon: e_low; epsilon_high: e_high, None for the same (Yu et al. 2025, equation 10, raise it:
            clip-higher).
        estimator: k3 or k2.
        ratio_level: token, or sequence.

    Returns:
        The loss, and means over the masked tokens: `clip_ratio/low_mean` and `clip_ratio/high_mean` (share of
        tokens held back at the lower and the upper clip), `clip_ratio/region_mean` (either), `ratio` (mean
        r).

    Raises:
        ValueError: k1, or a KL weight without reference; another level.
    """
    if ratio_level not in LEVELS:
        raise ValueError(f"ratio_level {ratio_level!r} is not one of {', '.join(LEVELS)}")
    check_same_shape(
        logprobs_BT=logprobs_BT, old_logprobs_BT=old_logprobs_BT, mask_BT=mask_BT, weights_BT=weights_BT
    )
    check_same_shape(advantages_B=advantages_B, **{"mask_BT[:, 0]": mask_BT[:, 0]})
    log_ratio = zero_outside(logprobs_BT - old_logprobs_BT, mask_BT)
    if ratio_level == "sequence":  # Zheng et al. 2025, (7)
        lengths_B1 = (mask_BT != 0).sum(1, keepdim=True).clamp_min(1)
        log_ratio = (log_ratio.sum(1, keepdim=True) / lengths_B1).expand_as(log_ratio)
    ratio, advantages = log_ratio.exp(), advantages_B[:, None]
    low, high = 1 - epsilon, 1 + (epsilon if epsilon_high is None else epsilon_high)
    objective = (-advantages * ratio).maximum(-advantages * ratio.clamp(low, high))
    if kl_coef:
        if ref_logprobs_BT is None or estimator == "k1":
            raise ValueError(
                "a KL term in the loss needs a reference, and k2 or k3: the expected gradient of k1 is 0"
            )
        kl = kl_estimate(
            zero_outside(logprobs_BT, mask_BT), zero_outside(ref_logprobs_BT, mask_BT), estimator=estimator
        )
        objective = objective + kl_coef * kl
    loss = (zero_outside(objective, mask_BT) * weights_BT).sum()
    with torch.no_grad():
        at_low, at_high = (ratio < low) & (advantages < 0), (ratio > high) & (advantages > 0)
        metrics = {
            "clip_ratio/low_mean": masked_mean(at_low.to(ratio.dtype), mask_BT),
            "clip_ratio/high_mean": masked_mean(at_high.to(ratio.dtype), mask_BT),
            "clip_ratio/region_mean": masked_mean((at_low | at_high).to(ratio.dtype), mask_BT),
            "ratio": masked_mean(ratio, mask_BT),
        }
    return loss, metrics


@torch.no_grad()
def truncated_importance_weights(
    old_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor, mask_BT: Tensor, *, cap: float
) -> Tensor:
    """Weights of tokens that another distribution than the trainer's policy drew: top-p, lower precision,
    older weights (Espeholt et al. 2018; Ionides 2008).

        w_t = min(p_old(y_t) / p_sampler(y_t), cap)

    An unbiased gradient needs the ratio; the cap bounds its variance at the price of some bias (Yao et al.
    2025 take 2).

    Args:
        old_logprobs_BT: (B, T) of the trainer's policy before the update; sampler_logprobs_BT of the
            distribution the tokens were drawn from.

    Returns:
        (B, T), without gradient, 0 where the mask is 0.
    """
    check_same_shape(
        old_logprobs_BT=old_logprobs_BT, sampler_logprobs_BT=sampler_logprobs_BT, mask_BT=mask_BT
    )
    log_ratio = zero_outside(old_logprobs_BT - sampler_logprobs_BT, mask_BT)
    return zero_outside(log_ratio.exp().clamp_max(cap), mask_BT)
