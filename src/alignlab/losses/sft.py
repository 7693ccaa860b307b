"""Supervised fine-tuning."""

from __future__ import annotations

from torch import Tensor


def sft_loss(logprobs_BT: Tensor, loss_mask_BT: Tensor, *, denominator: Tensor | float) -> tuple[Tensor, dict[str, Tensor]]:
    """Negative log-likelihood of the tokens trained on (Ouyang et al. 2022, section 3.5, step 1).

        L = - sum_{b,t} mask_bt log p(y_bt) / denominator

    It sums, so that micro-batches add up to the batch: the caller passes the token count of the *whole* batch.

    Args:
        logprobs_BT: (B, T) from `token_logprobs`.
        loss_mask_BT: (B, T), 1 on completion tokens and the end token.
        denominator: usually the sum of the mask over all micro-batches of the optimiser step.

    Returns:
        The loss, and `num_tokens`: tokens trained on in this micro-batch.
    """
    mask = loss_mask_BT.to(logprobs_BT.dtype)
    return -(logprobs_BT * mask).sum() / denominator, {"num_tokens": mask.sum()}
