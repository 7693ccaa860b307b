"""Attention by plain matrix products, which beats the fused kernel on a CPU at the lengths of a chat.

Heads that share keys and values are multiplied together instead of repeating keys and values; a decode step
is two small products and a softmax. Registered with transformers, so that any architecture can use it; long
sequences go to the fused kernel, which does not keep the (queries x keys) weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

NAME = "alignlab_plain"
# queries x keys above LONG^2 go to the fused kernel: kept for the backward pass, the weights would outgrow
# all else
LONG = 512


def plain_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """softmax(q k^T s + mask) v for grouped heads.

    Args:
        query: (B, Hq, Tq, D); key, value: (B, Hkv, Tk, D) with Hq a multiple of Hkv.
        attention_mask: (B or 1, 1 or Hq, Tq, Tk), additive, or True where attention is allowed. None means
            causal, with the queries last, unless `is_causal` (or the module's own) says otherwise. A sliding
            window comes as a mask.
        softcap: scores become softcap * tanh(scores / softcap) before the mask (Gemma 2).
        position_bias: (B or 1, Hq, Tq, Tk), added to the scores (ALiBi).

    Returns:
        (B, Tq, Hq, D) and None.
    """
    batch, heads, n_query, dim = query.shape
    groups, n_key = key.shape[1], key.shape[2]
    scale = dim**-0.5 if scaling is None else scaling
    dropout = dropout if module.training else 0.0
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if attention_mask is None and causal and n_query > 1:
        attention_mask = torch.ones(n_query, n_key, dtype=torch.bool, device=query.device).tril(
            n_key - n_query
        )[None, None]
    if n_query * n_key > LONG * LONG and softcap is None and position_bias is None:
        out = nn.functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attention_mask,
            dropout_p=dropout,
            scale=scale,
            enable_gqa=heads != groups,
        )
        return out.transpose(1, 2).contiguous(), None
    grouped = (query * scale).reshape(batch, groups, heads // groups * n_query, dim)
    scores = (grouped @ key.transpose(-1, -2)).view(batch, groups, heads // groups, n_query, n_key)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if position_bias is not None:
        scores = scores + _by_group(position_bias, groups)
    if attention_mask is not None:
        mask = _by_group(attention_mask, groups)
        scores = (
            scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
            if mask.dtype == torch.bool
            else scores + mask
        )
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    if dropout:
        weights = nn.functional.dropout(weights, dropout)
    out = weights.view(batch, groups, heads // groups * n_query, n_key) @ value
    return out.view(batch, heads, n_query, value.shape[-1]).transpose(1, 2).contiguous(), None


def _by_group(x: Tensor, groups: int) -> Tensor:
    """(B, 1 or Hq, Tq, Tk) set out to go with scores of (B, Hkv, Hq / Hkv, Tq, Tk)."""
    return x.unsqueeze(2) if x.shape[1] == 1 else x.unflatten(1, (groups, -1))


AttentionInterface.register(NAME, plain_attention)
AttentionMaskInterface.register(NAME, eager_mask)


def use_plain_attention(model: PreTrainedModel) -> None:
    """Switch a model on a CPU to plain attention.

    Elsewhere nothing changes, nor for a model whose attention is more than this one: without transformers'
    interface, or without its fused kernel for another reason than a softcap (attention sinks, say).
    """
    same = (
        getattr(model, "_supports_sdpa", False)
        or getattr(model.config, "attn_logit_softcapping", None) is not None
    )
    if model.device.type == "cpu" and same and getattr(model, "_supports_attention_backend", False):
        model.set_attn_implementation(NAME)
