"""From scores to advantages: shaped rewards, GAE, whitening."""

from __future__ import annotations

import torch
from torch import Tensor

from .masked import check_same_shape, masked_mean, zero_outside


@torch.no_grad()
def kl_shaped_rewards(
    scores_B: Tensor, logprobs_BT: Tensor, ref_logprobs_BT: Tensor, mask_BT: Tensor, *, kl_coef: float
) -> Tensor:
    """The reward of each completion token (Ouyang et al. 2022, equation 2; Ziegler et al. 2019, equation 2).

        r_t = -kl_coef (log p_t - log p_ref,t) on every completion token, plus the score on the last one.

    Args:
        scores_B: (B,); logprobs_BT, ref_logprobs_BT: (B, T); mask_BT: (B, T), 1 on completion tokens, its end
            token included.

    Returns:
        (B, T), without gradient, 0 where the mask is 0. A row with an empty mask stays 0.
    """
    check_same_shape(logprobs_BT=logprobs_BT, ref_logprobs_BT=ref_logprobs_BT, mask_BT=mask_BT)
    check_same_shape(scores_B=scores_B, **{"mask_BT[:, 0]": mask_BT[:, 0]})
    rewards = zero_outside(-kl_coef * (logprobs_BT - ref_logprobs_BT), mask_BT)
    inside = mask_BT != 0
    at_last = inside & (inside.flip(1).cumsum(1).flip(1) == 1)  # one token left, itself included
    return rewards + zero_outside(scores_B.to(rewards.dtype)[:, None].expand_as(rewards), at_last)


@torch.no_grad()
def gae(
    rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation (Schulman et al. 2016, equations 11, 12 and 16).

        delta_t = r_t + gamma V_next - V_t,    A_t = delta_t + gamma lambda A_next,    R_t = A_t + V_t

    `next` is the next unmasked position of the row; after the last one value and advantage are 0 (the episode
    is over).

    Args:
        rewards_BT, values_BT: (B, T); mask_BT: (B, T), 1 where a token was sampled.

    Returns:
        advantages and returns, (B, T), without gradient, 0 where the mask is 0.
    """
    check_same_shape(rewards_BT=rewards_BT, values_BT=values_BT, mask_BT=mask_BT)
    inside = mask_BT != 0
    advantages = torch.zeros_like(values_BT)
    next_value = next_advantage = torch.zeros_like(values_BT[:, 0])
    for t in range(values_BT.shape[1] - 1, -1, -1):
        here = inside[:, t]
        delta = rewards_BT[:, t] + gamma * next_value - values_BT[:, t]
        advantage = delta + gamma * lam * next_advantage
        advantages[:, t] = torch.where(here, advantage, 0.0)
        next_value = torch.where(here, values_BT[:, t], next_value)
        next_advantage = torch.where(here, advantage, next_advantage)
    return advantages, advantages + zero_outside(values_BT, mask_BT)


def masked_whiten(x_BT: Tensor, mask_BT: Tensor, *, shift_mean: bool = True) -> Tensor:
    """To mean 0 and variance 1 over the unmasked positions (population variance, epsilon 1e-8, as in
    lm-human-preferences).

    With `shift_mean=False` the mean is kept: for rewards. Masked positions become 0.
    """
    check_same_shape(x_BT=x_BT, mask_BT=mask_BT)
    mean = masked_mean(x_BT, mask_BT)
    variance = masked_mean((x_BT - mean).square(), mask_BT)
    whitened = (x_BT - mean) * torch.rsqrt(variance + 1e-8)
    return zero_outside(whitened if shift_mean else whitened + mean, mask_BT)
