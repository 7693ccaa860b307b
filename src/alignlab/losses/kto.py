"""Kahneman-Tversky optimization: learning from completions that were liked or not, each by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from .masked import check_same_shape


def kto_baseline(policy_logps_B: Tensor, ref_logps_B: Tensor) -> Tensor:
    """The reference point z0 of a batch (Ethayarajh et al. 2024, section 4.1): an estimate of KL(pi || ref)
    from mismatched pairs.

        z0 = max(0, mean_i log [pi(y_j | x_i) / ref(y_j | x_i)])     y_j: of another prompt of the batch

    It is biased and saves sampling; no gradient flows through it.

    Args:
        policy_logps_B, ref_logps_B: (B,) log-probability of each mismatched completion, summed over its
            tokens, in nats.

    Returns:
        0-d, detached, 0 or more.
    """
    check_same_shape(policy_logps_B=policy_logps_B, ref_logps_B=ref_logps_B)
    return (policy_logps_B - ref_logps_B).detach().mean().clamp_min(0)


def kto_loss(
    policy_logps_B: Tensor,
    ref_logps_B: Tensor,
    desirable_B: Tensor,
    *,
    baseline: Tensor | float,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """How far a completion's implicit reward is from what its label wants (Ethayarajh et al. 2024, equation
    8), one loss a completion.

        r = log [pi(y | x) / ref(y | x)]
        desirable:    lambda_D - lambda_D sigmoid(beta (r - z0)) = lambda_D sigmoid(beta (z0 - r))
        undesirable:  lambda_U - lambda_U sigmoid(beta (z0 - r)) = lambda_U sigmoid(beta (r - z0))

    Args:
        *_logps_B: (B,) log-probability of each completion, summed over its tokens, in nats.
        desirable_B: (B,) bool, the label.
        baseline: z0 of the whole batch (`kto_baseline`), one for all its micro-batches.
        beta: temperature; larger makes gains and losses saturate nearer to the reference.
        desirable_weight, undesirable_weight: lambda_D and lambda_U.

    Returns:
        losses (B,), each between 0 and its weight, and the detached implicit rewards beta r, (B,).
    """
    check_same_shape(policy_logps_B=policy_logps_B, ref_logps_B=ref_logps_B, desirable_B=desirable_B)
    gains = policy_logps_B - ref_logps_B
    wanted = beta * torch.where(desirable_B, gains - baseline, baseline - gains)
    weights = torch.full_like(gains, undesirable_weight).masked_fill(desirable_B, desirable_weight)
    return weights * torch.sigmoid(-wanted), (beta * gains).detach()
