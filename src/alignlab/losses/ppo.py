"""Proximal policy optimisation."""

from __future__ import annotations

from torch import Tensor

from .kl import kl_estimate


def ppo_policy_loss(logprobs_BT: Tensor, old_logprobs_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, *, cliprange: float,
                    denominator: Tensor | float) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped surrogate (Schulman et al. 2017, equation 7), negated, summed over tokens, over a given count.

        r = exp(log p - log p_old)
        L = sum( mask max(-A r, -A clip(r, 1 - c, 1 + c)) ) / denominator

    Args:
        logprobs_BT: (B, T) of the policy being trained; old_logprobs_BT of the policy that wrote the tokens.
        advantages_BT: (B, T); mask_BT: (B, T), 1 on completion tokens.
        denominator: token count of the whole minibatch, so that micro-batches add up.

    Returns:
        The loss, and means over the masked tokens: `policy/approxkl_avg` (k3 against the old policy), `policy/approxkl_k1`,
        `policy/clipfrac_avg` (share of tokens at which the clipped side was the larger), `val/ratio` (mean r).
    """
    mask = mask_BT.to(logprobs_BT.dtype)
    count = mask.sum().clamp_min(1)
    log_ratio = (logprobs_BT - old_logprobs_BT) * mask
    ratio = log_ratio.exp()
    plain, clipped = -advantages_BT * ratio, -advantages_BT * ratio.clamp(1 - cliprange, 1 + cliprange)
    loss = (plain.maximum(clipped) * mask).sum() / denominator
    k3 = kl_estimate(old_logprobs_BT * mask, logprobs_BT.detach() * mask, estimator="k3")
    return loss, {
        "policy/approxkl_avg": (k3 * mask).sum() / count, "policy/approxkl_k1": -log_ratio.detach().sum() / count,
        "policy/clipfrac_avg": ((clipped > plain).to(mask.dtype) * mask).sum() / count, "val/ratio": (ratio.detach() * mask).sum() / count,
    }


def ppo_value_loss(values_BT: Tensor, old_values_BT: Tensor, returns_BT: Tensor, mask_BT: Tensor, *, cliprange_value: float,
                   denominator: Tensor | float) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped value loss (Schulman et al. 2017, baselines implementation; Huang et al. 2024, detail 12).

        L = 0.5 sum( mask max((v - R)^2, (clip(v, v_old - c, v_old + c) - R)^2) ) / denominator

    Returns:
        The loss, and `val/clipfrac_avg`: share of masked tokens at which the clipped side was the larger.
    """
    mask = mask_BT.to(values_BT.dtype)
    clipped = values_BT.clamp(old_values_BT - cliprange_value, old_values_BT + cliprange_value)
    plain_error, clipped_error = (values_BT - returns_BT).square(), (clipped - returns_BT).square()
    loss = 0.5 * (plain_error.maximum(clipped_error) * mask).sum() / denominator
    fraction = ((clipped_error > plain_error).to(mask.dtype) * mask).sum() / mask.sum().clamp_min(1)
    return loss, {"val/clipfrac_avg": fraction}
