"""From scores to advantages: shaped rewards, GAE, whitening, group baselines."""

from __future__ import annotations

import torch
from torch import Tensor

GROUP_KINDS = ("rloo", "grpo", "dr_grpo", "reinforce")


def kl_shaped_rewards(scores_B: Tensor, logprobs_BT: Tensor, ref_logprobs_BT: Tensor, mask_BT: Tensor, *, kl_coef: float) -> Tensor:
    """The reward of each completion token (Ouyang et al. 2022, equation 2; Ziegler et al. 2019, equation 2).

        r_t = -kl_coef (log p_t - log p_ref,t) on every completion token, plus the score on the last one.

    Args:
        scores_B: (B,); logprobs_BT, ref_logprobs_BT: (B, T); mask_BT: (B, T), 1 on completion tokens, its end token included.

    Returns:
        (B, T), 0 where the mask is 0. A row with an empty mask stays 0.
    """
    mask = mask_BT.to(logprobs_BT.dtype)
    rewards = -kl_coef * (logprobs_BT - ref_logprobs_BT) * mask
    positions = torch.arange(mask.shape[1], device=mask.device)
    last_B = (positions * (mask != 0)).argmax(1)
    at_last = torch.nn.functional.one_hot(last_B, mask.shape[1]).to(rewards.dtype) * mask
    return rewards + at_last * scores_B.to(rewards.dtype)[:, None]


def gae(rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, *, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, equations 11, 12 and 16).

        delta_t = r_t + gamma V_next - V_t,    A_t = delta_t + gamma lambda A_next,    R_t = A_t + V_t

    `next` is the next unmasked position of the row; after the last one value and advantage are 0 (the episode is over).

    Args:
        rewards_BT, values_BT: (B, T); mask_BT: (B, T), 1 where a token was sampled.

    Returns:
        advantages and returns, (B, T), 0 where the mask is 0.
    """
    mask = mask_BT.to(values_BT.dtype)
    advantages = torch.zeros_like(values_BT)
    next_value = next_advantage = torch.zeros_like(values_BT[:, 0])
    for t in range(values_BT.shape[1] - 1, -1, -1):
        here = mask[:, t]
        delta = rewards_BT[:, t] + gamma * next_value - values_BT[:, t]
        advantage = delta + gamma * lam * next_advantage
        advantages[:, t] = torch.where(here != 0, advantage, 0.0)
        next_value = torch.where(here != 0, values_BT[:, t], next_value)
        next_advantage = torch.where(here != 0, advantage, next_advantage)
    return advantages, (advantages + values_BT) * mask


def masked_whiten(x_BT: Tensor, mask_BT: Tensor, *, shift_mean: bool = True) -> Tensor:
    """To mean 0 and variance 1 over the unmasked positions (population variance, epsilon 1e-8, as in lm-human-preferences).

    With `shift_mean=False` the mean is kept: for rewards. Masked positions become 0.
    """
    mask = mask_BT.to(x_BT.dtype)
    count = mask.sum().clamp_min(1)
    mean = (x_BT * mask).sum() / count
    variance = ((x_BT - mean).square() * mask).sum() / count
    whitened = (x_BT - mean) * torch.rsqrt(variance + 1e-8)
    return (whitened if shift_mean else whitened + mean) * mask


def group_advantages(scores_PG: Tensor, *, kind: str) -> Tensor:
    """Advantages of G completions of each of P prompts, with the group as the baseline: (P, G) -> (P, G).

        rloo       score - mean of the other G - 1                                Ahmadian et al. 2024, equation 8
        dr_grpo    score - mean of the group                                      Liu et al. 2025
        grpo       that / (sample standard deviation of the group + 1e-4)         Shao et al. 2024, section 4.1.2
        reinforce  score - mean of the whole batch                                Williams 1992

    Raises:
        ValueError: another kind, or a group of one where the others are needed.
    """
    if kind not in GROUP_KINDS:
        raise ValueError(f"kind {kind!r} is not one of {', '.join(GROUP_KINDS)}")
    if kind == "reinforce":
        return scores_PG - scores_PG.mean()
    group = scores_PG.shape[1]
    if group < 2:
        raise ValueError(f"{kind} compares completions of one prompt: it needs at least 2 of each, not {group}")
    centred = scores_PG - scores_PG.mean(1, keepdim=True)
    if kind == "rloo":
        return centred * (group / (group - 1))
    return centred if kind == "dr_grpo" else centred / (scores_PG.std(1, keepdim=True) + 1e-4)


def explained_variance(values_BT: Tensor, returns_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over the unmasked positions: 1 is perfect, below 0 is worse than a constant; 0 if returns do not vary."""
    kept = mask_BT.bool()
    values, returns = values_BT[kept], returns_BT[kept]
    spread = returns.var(correction=0)
    return torch.where(spread > 0, 1 - (returns - values).var(correction=0) / spread.clamp_min(1e-12), torch.zeros_like(spread))
