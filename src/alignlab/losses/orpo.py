"""Odds-ratio preference optimization: SFT on the chosen completion and a push away from the rejected one,
without a reference.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .masked import check_same_shape, token_mean


def orpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float = 0.1,
) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """Negative log-likelihood of the chosen completion plus the odds-ratio term (Hong et al. 2024, equation
    6), one loss a comparison.

        log P(y | x) = (1 / |y|) sum_t log p(y_t | x, y_<t)          equation 2: the mean over tokens
        log odds(y) = log P(y) - log(1 - P(y))                                             equation 3
        L = -log P(chosen) - beta log sigmoid(log odds(chosen) - log odds(rejected))       equations 6 and 7

    `beta` is the paper's lambda, under the name that TRL gave it. The likelihood is that of the completion,
    each comparison weighing the same; TRL takes it over prompt and completion, and over all tokens of a
    micro-batch together. The odds part is the same as TRL's.

    log(1 - P) is log(-expm1(log P)); P is held at 1 - eps of the dtype, where odds have no end, so that all
    is finite.

    Args:
        chosen_logps, rejected_logps: (B,) log-probability of the completion, summed over its tokens, in nats.
        chosen_lengths, rejected_lengths: (B,) tokens of each completion, 1 or more, with its end token.

    Returns:
        losses (B,); the detached rewards beta log P of chosen and rejected, (B,) each; and, detached and (B,)
        each, `nll_loss` and the odds term: `log_odds_chosen`, the log of the odds ratio, and
        `log_odds_ratio`, its log sigmoid.
    """
    check_same_shape(chosen_logps=chosen_logps, rejected_logps=rejected_logps)
    chosen, rejected = token_mean(chosen_logps, chosen_lengths), token_mean(rejected_logps, rejected_lengths)
    log_odds = _log_odds(chosen) - _log_odds(rejected)
    ratio = logsigmoid(log_odds)
    metrics = {
        "nll_loss": -chosen.detach(),
        "log_odds_chosen": log_odds.detach(),
        "log_odds_ratio": ratio.detach(),
    }
    return -chosen - beta * ratio, (beta * chosen).detach(), (beta * rejected).detach(), metrics


def _log_odds(log_p: Tensor) -> Tensor:
    log_p = log_p.clamp_max(-torch.finfo(log_p.dtype).eps)
    return log_p - torch.log(-torch.expm1(log_p))
