"""Proximal policy optimization."""

from __future__ import annotations

import torch
from torch import Tensor

from .masked import check_same_shape, masked_mean, zero_outside


def ppo_policy_loss(
    logprobs_BT: Tensor,
    old_logprobs_BT: Tensor,
    advantages_BT: Tensor,
    mask_BT: Tensor,
    *,
    cliprange: float,
    denominator: Tensor | float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped surrogate (Schulman et al. 2017, equation 7), negated, summed over tokens, over a given
    count.

        r = exp(log p - log p_old)
        L = sum( mask max(-A r, -A clip(r, 1 - c, 1 + c)) ) / denominator

    Args:
        logprobs_BT: (B, T) of the policy being trained; old_logprobs_BT of the policy that wrote the tokens.
        advantages_BT: (B, T); mask_BT: (B, T), 1 on completion tokens.
        denominator: token count of the whole minibatch, so that micro-batches add up.

    Returns:
        The loss, and means over the masked tokens: `policy/approxkl_avg` (k3 against the old policy),
        `policy/approxkl_k1`, `policy/clipfrac_avg` (share of tokens at which the clipped side was the
        larger), `val/ratio` (mean r).
    """
    check_same_shape(
        logprobs_BT=logprobs_BT, old_logprobs_BT=old_logprobs_BT, advantages_BT=advantages_BT, mask_BT=mask_BT
    )
    log_ratio = zero_outside(logprobs_BT - old_logprobs_BT, mask_BT)
    advantages = zero_outside(advantages_BT, mask_BT)
    ratio = log_ratio.exp()
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - cliprange, 1 + cliprange)
    loss = (plain.maximum(clipped) * mask_BT).sum() / denominator
    with torch.no_grad():
        metrics = {
            "policy/approxkl_avg": masked_mean(torch.expm1(log_ratio) - log_ratio, mask_BT),
            "policy/approxkl_k1": masked_mean(-log_ratio, mask_BT),
            "policy/clipfrac_avg": masked_mean((clipped > plain).to(ratio.dtype), mask_BT),
            "val/ratio": masked_mean(ratio, mask_BT),
        }
    return loss, metrics


def ppo_value_loss(
    values_BT: Tensor,
    old_values_BT: Tensor,
    returns_BT: Tensor,
    mask_BT: Tensor,
    *,
    cliprange_value: float,
    denominator: Tensor | float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped value loss (Schulman et al. 2017, baselines implementation; Huang et al. 2024, detail 12).

        L = 0.5 sum( mask max((v - R)^2, (clip(v, v_old - c, v_old + c) - R)^2) ) / denominator

    Args:
        values_BT: (B, T) of the value model being trained; old_values_BT those the returns were computed
            from.
        returns_BT: (B, T) targets from `gae`; mask_BT: (B, T), 1 on completion tokens.
        denominator: token count of the whole minibatch, so that micro-batches add up.

    Returns:
        The loss, not yet times `vf_coef`, and `val/clipfrac_avg`: share of masked tokens at which the clipped
        side was the larger.
    """
    check_same_shape(values_BT=values_BT, old_values_BT=old_values_BT, returns_BT=returns_BT, mask_BT=mask_BT)
    values, old_values, returns = (zero_outside(x, mask_BT) for x in (values_BT, old_values_BT, returns_BT))
    clipped = values.clamp(old_values - cliprange_value, old_values + cliprange_value)
    plain_error, clipped_error = (values - returns).square(), (clipped - returns).square()
    loss = 0.5 * (plain_error.maximum(clipped_error) * mask_BT).sum() / denominator
    with torch.no_grad():
        return loss, {"val/clipfrac_avg": masked_mean((clipped_error > plain_error).to(loss.dtype), mask_BT)}
