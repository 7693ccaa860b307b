"""Supervised fine-tuning."""

from __future__ import annotations

from torch import Tensor

from .masked import check_same_shape, masked_mean, zero_outside


def sft_loss(
    logprobs_BT: Tensor, loss_mask_BT: Tensor, *, denominator: Tensor | float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Negative log-likelihood of the tokens trained on (Ouyang et al. 2022, section 3.5, step 1).

        L = - sum_{b,t} mask_bt log p(y_bt) / denominator

    It sums, so that micro-batches add up to the batch: the caller passes the token count of the *whole*
    batch.

    Args:
        logprobs_BT: (B, T) from `token_logprobs`.
        loss_mask_BT: (B, T), 1 on completion tokens and the end token.
        denominator: usually the sum of the mask over all micro-batches of the optimizer step.

    Returns:
        The loss, and for this micro-batch alone `num_tokens`, the tokens trained on, and `loss`, their mean
        negative log-likelihood in nats whatever the denominator (weight it by `num_tokens` to average
        micro-batches).
    """
    check_same_shape(logprobs_BT=logprobs_BT, loss_mask_BT=loss_mask_BT)
    nll_BT = -zero_outside(logprobs_BT, loss_mask_BT)
    metrics = {"loss": masked_mean(nll_BT.detach(), loss_mask_BT), "num_tokens": (loss_mask_BT != 0).sum()}
    return (nll_BT * loss_mask_BT).sum() / denominator, metrics
