"""Forward passes as the methods need them: log-probabilities of tokens, scores at the last token, values at each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .batch import Batch


@dataclass(frozen=True, slots=True)
class TokenStats:
    """What one forward pass says about the tokens trained on; all (B, T), 0 where the loss mask is 0.

    `entropy_BT` and `correct_BT` (1 where the token was the likeliest) are detached.
    """

    logprobs_BT: Tensor
    entropy_BT: Tensor
    correct_BT: Tensor


def token_stats(model: Any, batch: Batch, *, temperature: float = 1.0) -> TokenStats:
    """Log-probability, entropy and top-1 agreement of each token trained on.

    Logits are computed only where the loss mask is 1: over a large vocabulary they are the larger part of the work.
    Equal to `losses.token_logprobs` on all logits times the mask.
    """
    predicted_BT = batch.loss_mask_BT.bool().clone()
    predicted_BT[:, 0] = False  # nothing predicts the first token
    sources_BT = predicted_BT.roll(-1, 1)
    logits_NV = _logits_at(model, batch, sources_BT).float()
    if temperature != 1.0:
        logits_NV = logits_NV / temperature
    log_p_NV = logits_NV.log_softmax(-1)
    targets_N = batch.ids_BT[predicted_BT]
    chosen_N = log_p_NV.gather(-1, targets_N[:, None]).squeeze(-1)
    with torch.no_grad():
        entropy_N = -(log_p_NV.exp() * log_p_NV).sum(-1)
        correct_N = (log_p_NV.argmax(-1) == targets_N).to(chosen_N.dtype)
    zeros = chosen_N.new_zeros(batch.ids_BT.shape)
    return TokenStats(*(zeros.masked_scatter(predicted_BT, x) for x in (chosen_N, entropy_N, correct_N)))


def token_logprobs_of(model: Any, batch: Batch, *, temperature: float = 1.0) -> Tensor:
    """(B, T) log-probabilities of the tokens trained on; see `token_stats`."""
    return token_stats(model, batch, temperature=temperature).logprobs_BT


def _logits_at(model: Any, batch: Batch, where_BT: Tensor) -> Tensor:
    """Logits (N, V) at the chosen positions, in row-major order."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = bare.config.get_text_config()
    plain = not any(getattr(config, name, None) not in (None, 0, 1, 1.0, False)
                    for name in ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier"))
    head = bare.get_output_embeddings()
    if plain and head is not None and hasattr(bare, bare.base_model_prefix):
        hidden_BTH = getattr(bare, bare.base_model_prefix)(**batch.model_inputs(), use_cache=False).last_hidden_state
        return head(hidden_BTH[where_BT])
    return model(**batch.model_inputs(), use_cache=False).logits[where_BT]


def _scores_BT(model: Any, batch: Batch) -> Tensor:
    """The scalar head at every position: (B, T), fp32."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = getattr(bare, bare.base_model_prefix)
    hidden_BTH = body(**batch.model_inputs(), use_cache=False).last_hidden_state
    return bare.score(hidden_BTH).squeeze(-1).float()


def last_token_scores(model: Any, batch: Batch) -> Tensor:
    """The score at the last real token of each row: (B,). Padding on either side, and pad = eos, change nothing."""
    positions = torch.arange(batch.ids_BT.shape[1], device=batch.ids_BT.device)
    last_B = (positions * batch.attention_mask_BT).argmax(1)
    return _scores_BT(model, batch).gather(1, last_B[:, None]).squeeze(1)


def value_BT(model: Any, batch: Batch) -> Tensor:
    """The value of the state in which each token was chosen: (B, T), the head at t - 1 set at t, as log-probabilities are."""
    return torch.nn.functional.pad(_scores_BT(model, batch)[:, :-1], (1, 0))
