"""Attention by plain matrix products, which beats the fused kernel on a CPU at the lengths of a chat.

Heads that share keys and values are multiplied together instead of repeating keys and values; a decode step is two small
products and a softmax. Registered with transformers, so that any architecture can use it; long sequences go to the
fused kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

NAME = "alignlab_plain"
LONG = 1024  # queries x keys above LONG^2 go to the fused kernel


def plain_attention(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float | None = None,
                    dropout: float = 0.0, softcap: float | None = None, **_: Any) -> tuple[Tensor, Tensor | None]:
    """softmax(q k^T s + mask) v for grouped heads.

    Args:
        query: (B, Hq, Tq, D); key, value: (B, Hkv, Tk, D) with Hq a multiple of Hkv.
        attention_mask: (B or 1, 1, Tq, Tk), additive, or True where attention is allowed; None means causal.

    Returns:
        (B, Tq, Hq, D) and None.
    """
    batch, heads, n_query, dim = query.shape
    groups, n_key = key.shape[1], key.shape[2]
    scale = dim**-0.5 if scaling is None else scaling
    if n_query * n_key > LONG * LONG and softcap is None:
        out = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, dropout_p=dropout if module.training else 0.0, scale=scale,
            is_causal=attention_mask is None, enable_gqa=heads != groups)
        return out.transpose(1, 2).contiguous(), None
    if attention_mask is None and n_query > 1:
        attention_mask = torch.ones(n_query, n_key, dtype=torch.bool, device=query.device).tril(n_key - n_query)[None, None]
    grouped = (query * scale).reshape(batch, groups, heads // groups * n_query, dim)
    scores = (grouped @ key.transpose(-1, -2)).view(batch, groups, heads // groups, n_query, n_key)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if attention_mask is not None:
        mask = attention_mask[:, :, None, :, :n_key]
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    if dropout and module.training:
        weights = nn.functional.dropout(weights, dropout)
    out = weights.view(batch, groups, heads // groups * n_query, n_key) @ value
    return out.view(batch, heads, n_query, dim).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, plain_attention)
AttentionMaskInterface.register(NAME, eager_mask)


def use_plain_attention(model: PreTrainedModel) -> None:
    """Switch a model on a CPU to plain attention; elsewhere, and for models with an attention of their own, nothing changes."""
    if model.device.type != "cpu" or not getattr(model, "_supports_attention_backend", False):
        return
    model.set_attn_implementation(NAME)
