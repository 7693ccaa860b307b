"""Simple preference optimization: the mean log-probability of a completion as its reward, without a
reference.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from .masked import check_same_shape, token_mean


def simpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float = 2.0,
    gamma: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses on the margin between length-averaged rewards (Meng et al. 2024, equation 6), one per
    comparison.

        r(y) = (beta / |y|) log pi(y | x)                                  equation 4
        L = -log sigmoid(r(chosen) - r(rejected) - gamma)                  equation 6

    Args:
        chosen_logps, rejected_logps: (B,) log-probability of the completion, summed over its tokens, in nats.
        chosen_lengths, rejected_lengths: (B,) tokens of each completion, 1 or more, with its end token.
        beta: scales the reward.
        gamma: the margin between the rewards that is aimed for, in the units of the reward (TRL's
            `simpo_gamma`).

    Returns:
        losses (B,), and the detached rewards of chosen and rejected, (B,) each.
    """
    check_same_shape(chosen_logps=chosen_logps, rejected_logps=rejected_logps)
    chosen, rejected = (
        beta * token_mean(chosen_logps, chosen_lengths),
        beta * token_mean(rejected_logps, rejected_lengths),
    )
    return -logsigmoid(chosen - rejected - gamma), chosen.detach(), rejected.detach()
