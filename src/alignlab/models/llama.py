"""The body of a Llama as one autograd step per layer, with its backward pass written out.

It is the arithmetic of transformers, with less around it: a layer of transformers records about sixty
operations, and keeps what each of them needs. Here a layer keeps its input, queries, keys, values, attention
weights and the two halves of its MLP, works in place where nobody looks, adds residuals inside the matrix
products, and hands on only those tokens that are asked for: beyond attention the last layer reads nothing
else. Values agree with transformers' to the rounding of the precision (tests/models/test_llama.py).

Suffixes: B rows, T tokens of a row, M tokens (B T, and some that are none, up to a `products.width`),
N tokens asked for (and the first once more, up to a width), H hidden, I inner, D of a head. Of what is none
the gradient is 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu
from transformers.activations import SiLUActivation
from transformers.models.llama import modeling_llama as theirs

from .attention import LONG, NAME
from .gradients import kept, product
from .products import linear, widened
from .products import product as times

ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
PARTS = ("input_layernorm", *ATTENTION, "post_attention_layernorm", *MLP)
"""The modules of a layer that hold weights, in the order in which `_Layer` takes them."""
KINDS = (theirs.LlamaRMSNorm, *[nn.Linear] * 4, theirs.LlamaRMSNorm, *[nn.Linear] * 3)


def reads(body: nn.Module, width: int) -> bool:
    """Whether `hidden_states` stands for this module on rows of so many tokens.

    It does for what it was written after, by exact type: transformers' Llama on a CPU with plain attention
    and without biases. Anything else (an adapter in place of a linear layer, a quantized one, dropout in
    attention, gradient checkpointing, autocast, somebody's hook) is left to transformers.
    """
    if type(body) is not theirs.LlamaModel or width > LONG or body.device.type != "cpu":
        return False
    config = body.config
    return (
        config._attn_implementation == NAME
        and not (config.attention_dropout and body.training)
        and not torch.is_autocast_enabled("cpu")
        and type(body.embed_tokens) is nn.Embedding
        and type(body.norm) is theirs.LlamaRMSNorm
        and all(_is_plain(layer) for layer in body.layers)
    )


def hidden_states(
    body: Any,
    ids_BT: Tensor,
    positions_BT: Tensor,
    mask_B1TT: Tensor,
    at_N: Tensor,
    *,
    head: Tensor | None = None,
) -> Tensor:
    """(N, H): the last hidden states of the tokens at `at_N`, places in the flattened (B, T).

    Args:
        mask_B1TT: additive, (B or 1, 1, T, T), in the model's precision.
        head: the weight that the hidden states are multiplied with next.
    """
    embedding = body.embed_tokens.weight
    x_MH = _Embedding.apply(embedding, widened(ids_BT.flatten()), head is embedding)
    tables = rotary_tables(body.rotary_emb, x_MH, positions_BT, body.layers[0].self_attn.scaling)
    last = len(body.layers) - 1
    for number, layer in enumerate(body.layers):
        weights = [module.weight for module in _parts(layer)]
        rows, width = ids_BT.shape
        shape = _Shape(rows, width, layer)
        here = widened(at_N) if number == last else None
        x_MH = _Layer.apply(x_MH, mask_B1TT, tables, here, shape, *weights)  # type: ignore[call-arg]
    return _Norm.apply(x_MH, body.norm.weight, body.norm.variance_epsilon)[: len(at_N)]


class _Embedding(torch.autograd.Function):
    """Rows of the embedding. Its gradient holds the tokens that were read, and is never spread over the whole
    vocabulary if that was done already: by an earlier micro-batch, or by a head of the same weight.
    """

    @staticmethod
    def forward(ctx: Any, weight_VH: Tensor, ids_M: Tensor, tied: bool) -> Tensor:
        ctx.save_for_backward(weight_VH, ids_M)
        ctx.tied = tied
        return weight_VH.index_select(0, ids_M)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight_VH, ids_M = ctx.saved_tensors
        if (grad := kept(weight_VH)) is not None:
            grad.index_add_(0, ids_M, gradients[0])
            return None, None, None
        of_rows = ids_M[None], gradients[0], weight_VH.shape
        if ctx.tied:
            return torch.sparse_coo_tensor(*of_rows, check_invariants=False), None, None
        return torch.zeros_like(weight_VH).index_add_(0, ids_M, gradients[0]), None, None


class _Shape:
    """What a layer is told beside tensors."""

    def __init__(self, rows: int, width: int, layer: Any) -> None:
        attention = layer.self_attn
        self.rows, self.width, self.dim = rows, width, attention.head_dim
        self.heads = attention.q_proj.out_features // attention.head_dim
        self.groups = attention.k_proj.out_features // attention.head_dim
        self.before = layer.input_layernorm.variance_epsilon
        self.between = layer.post_attention_layernorm.variance_epsilon

    def by_head(self, x_MH: Tensor) -> Tensor:
        """(M, heads D) as (B, heads, T, D), a view."""
        tokens = x_MH[: self.rows * self.width]
        return tokens.view(self.rows, self.width, -1, self.dim).transpose(1, 2)

    def flat(self, x_BhTD: Tensor, count: int) -> Tensor:
        """(B, heads, T, D) as (M, heads D) for M = `count`."""
        flat_MH = self.blank(x_BhTD, count)
        self.by_head(flat_MH).copy_(x_BhTD)
        return flat_MH

    def blank(self, like_BhTD: Tensor, count: int) -> Tensor:
        """(M, heads D) to be filled by `by_head`; 0 where there is no token."""
        blank_MH = like_BhTD.new_empty(count, like_BhTD.shape[1] * self.dim)
        blank_MH[self.rows * self.width :].zero_()
        return blank_MH

    def grouped(self, x_BhTD: Tensor) -> Tensor:
        """(B, Hkv, T, D) or (B, Hq, T, D) as (B Hkv, T or Hq / Hkv T, D)."""
        return x_BhTD.reshape(self.rows * self.groups, -1, self.dim)


def _parts(layer: Any) -> list[Any]:
    attention, mlp = layer.self_attn, layer.mlp
    return [
        layer.input_layernorm,
        attention.q_proj,
        attention.k_proj,
        attention.v_proj,
        attention.o_proj,
        layer.post_attention_layernorm,
        mlp.gate_proj,
        mlp.up_proj,
        mlp.down_proj,
    ]


def _is_plain(layer: Any) -> bool:
    """Whether a layer is transformers' own in every part, and nobody listens to a part."""
    if (
        type(layer) is not theirs.LlamaDecoderLayer
        or type(layer.self_attn) is not theirs.LlamaAttention
        or type(layer.mlp) is not theirs.LlamaMLP
        or type(layer.mlp.act_fn) not in (nn.SiLU, SiLUActivation)
        or (layer.gradient_checkpointing and layer.training)
    ):
        return False
    parts = _parts(layer)
    for module, kind in zip(parts, KINDS, strict=True):
        if type(module) is not kind or getattr(module, "bias", None) is not None:
            return False
    listened = (layer, layer.self_attn, layer.mlp, *parts)
    return not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in listened)


# rotary positions (Su et al. 2021)

Tables = tuple[Tensor, Tensor, Tensor, Tensor]
"""Cosines and sines of keys (B or 1, 1, T, D) and of queries, which carry the scale of attention."""


def rotary_tables(rotary: Any, like: Tensor, positions_BT: Tensor, scaling: float) -> Tables:
    """The tables of a layer's `rotate`, once per forward pass."""
    cos, sin = (x[:, None] for x in rotary(like, positions_BT))
    return cos, sin, cos * scaling, sin * scaling


def rotate(x_BhTD: Tensor, cos: Tensor, sin: Tensor, out: Tensor, *, back: bool = False) -> Tensor:
    """Each half of a head turned against the other, into `out`; `back` turns them the other way.

    x cos + (-x2, x1) sin, as transformers has it, without the copies.
    """
    half = x_BhTD.shape[-1] // 2
    sin, sign = sin[..., :half], -1.0 if back else 1.0
    torch.mul(x_BhTD, cos, out=out)
    out[..., :half].addcmul_(x_BhTD[..., half:], sin, value=-sign)
    out[..., half:].addcmul_(x_BhTD[..., :half], sin, value=sign)
    return out


# root mean square norm (Zhang and Sennrich 2019)


def inverse_rms(x_MH: Tensor, eps: float) -> Tensor:
    """(M, 1) in fp32: 1 / sqrt(mean(x^2) + eps)."""
    norm_M1 = torch.linalg.vector_norm(x_MH, dim=-1, keepdim=True, dtype=torch.float32)
    return norm_M1.square_().div_(x_MH.shape[-1]).add_(eps).rsqrt_()


def rms_norm(x_MH: Tensor, weight_H: Tensor, rms_M1: Tensor) -> Tensor:
    """w x / rms(x); rounded to the precision of x before the weight, as transformers does."""
    return (x_MH * rms_M1).to(x_MH.dtype).mul_(weight_H)


def _norm_backward(
    grad_MH: Tensor, x_MH: Tensor, weight_H: Tensor, rms_M1: Tensor, into: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Gradients of the norm's input, added to `into`, and of its weight; `grad_MH` is used up.

    With n = x / rms: dx = (w g - n mean(w g n)) / rms.
    """
    fine_MH = x_MH * rms_M1
    grad_MH = grad_MH.to(fine_MH.dtype)
    product_MH = grad_MH * fine_MH
    weight = weight_H.to(fine_MH.dtype)
    of_weight = product_MH.sum(0)
    mean_M1 = (product_MH @ weight)[:, None].div_(weight_H.shape[0])
    inner_MH = grad_MH.mul_(weight).addcmul_(fine_MH, mean_M1, value=-1)
    if into is None:
        of_x = inner_MH.mul_(rms_M1).to(x_MH.dtype)
    elif into.dtype == inner_MH.dtype:
        of_x = into.addcmul_(inner_MH, rms_M1)
    else:
        of_x = into.add_(inner_MH.mul_(rms_M1))
    return of_x, of_weight.to(weight_H.dtype)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_MH: Tensor, weight_H: Tensor, eps: float) -> Tensor:
        rms_M1 = inverse_rms(x_MH, eps)
        ctx.save_for_backward(x_MH, weight_H, rms_M1)
        return rms_norm(x_MH, weight_H, rms_M1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x_MH, weight_H, rms_M1 = ctx.saved_tensors
        return *_norm_backward(gradients[0].clone(), x_MH, weight_H, rms_M1), None


# a layer


class _Layer(torch.autograd.Function):
    """x + o(attention(norm(x))), then y + down(silu(gate(norm(y))) up(norm(y)))."""

    @staticmethod
    def forward(
        ctx: Any,
        x_MH: Tensor,
        mask_B1TT: Tensor,
        tables: Tables,
        at_N: Tensor | None,
        shape: _Shape,
        *weights: Tensor,
    ) -> Tensor:
        before, w_q, w_k, w_v, w_o, between, w_gate, w_up, w_down = weights
        rows, width, groups, each = shape.rows, shape.width, shape.groups, shape.heads // shape.groups
        cos, sin, cos_q, sin_q = tables

        # attention
        rms_M1 = inverse_rms(x_MH, shape.before)
        normed_MH = rms_norm(x_MH, before, rms_M1)
        q_BhTD = x_MH.new_empty(rows, shape.heads, width, shape.dim)
        k_BhTD = x_MH.new_empty(rows, groups, width, shape.dim)
        rotate(shape.by_head(linear(normed_MH, w_q)), cos_q, sin_q, q_BhTD)
        rotate(shape.by_head(linear(normed_MH, w_k)), cos, sin, k_BhTD)
        q, k = shape.grouped(q_BhTD), shape.grouped(k_BhTD)
        v = shape.grouped(shape.by_head(linear(normed_MH, w_v)))
        scores = torch.bmm(q, k.transpose(1, 2))
        scores.view(rows, groups, each, width, width).add_(mask_B1TT[:, :, None])
        p = torch.softmax(scores, -1)
        mixed_MH = shape.flat((p @ v).view(rows, shape.heads, width, shape.dim), len(x_MH))

        # beyond attention only what is asked for
        mixed_NH = mixed_MH if at_N is None else mixed_MH.index_select(0, at_N)
        x_NH = x_MH if at_N is None else x_MH.index_select(0, at_N)
        y_NH = linear(mixed_NH, w_o, plus=x_NH)
        rms_N1 = inverse_rms(y_NH, shape.between)
        normed_NH = rms_norm(y_NH, between, rms_N1)
        gate_NI, up_NI = linear(normed_NH, w_gate), linear(normed_NH, w_up)
        out_NH = linear(silu(gate_NI).mul_(up_NI), w_down, plus=y_NH)
        ctx.save_for_backward(
            x_MH, rms_M1, q, k, v, p, mixed_NH, y_NH, rms_N1, gate_NI, up_NI, at_N, *tables, *weights
        )
        ctx.shape = shape
        return out_NH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        shape, saved = ctx.shape, ctx.saved_tensors
        x_MH, rms_M1, q, k, v, p, mixed_NH, y_NH, rms_N1, gate_NI, up_NI, at_N, *saved = saved
        cos, sin, cos_q, sin_q, before, w_q, w_k, w_v, w_o, between, w_gate, w_up, w_down = saved
        rows, width = shape.rows, shape.width
        grad_NH = gradients[0]
        wanted = ctx.needs_input_grad[5:]

        # the MLP
        of_inner = times(grad_NH, w_down)
        open_NI = silu(gate_NI)
        of_down = product(w_down, grad_NH.t(), open_NI * up_NI, wanted=wanted[8])
        of_up_NI = open_NI.mul_(of_inner)
        of_gate_NI = torch.ops.aten.silu_backward(of_inner.mul_(up_NI), gate_NI)
        of_normed = times(of_up_NI, w_up, plus=times(of_gate_NI, w_gate))
        normed_NH = rms_norm(y_NH, between, rms_N1)
        of_gate = product(w_gate, of_gate_NI.t(), normed_NH, wanted=wanted[6])
        of_up = product(w_up, of_up_NI.t(), normed_NH, wanted=wanted[7])
        of_y, of_between = _norm_backward(of_normed, y_NH, between, rms_N1, grad_NH.clone())

        # attention
        of_o = product(w_o, of_y.t(), mixed_NH, wanted=wanted[4])
        of_mixed = times(of_y, w_o)
        of_x = of_y
        if at_N is not None:
            of_mixed = x_MH.new_zeros(len(x_MH), of_mixed.shape[1]).index_add_(0, at_N, of_mixed)
            of_x = torch.zeros_like(x_MH).index_add_(0, at_N, of_y)
        of_out = shape.grouped(shape.by_head(of_mixed))
        of_v = p.transpose(1, 2) @ of_out
        of_p = torch.ops.aten._softmax_backward_data(of_out @ v.transpose(1, 2), p, -1, p.dtype)
        of_q, of_k = of_p @ k, of_p.transpose(1, 2) @ q
        made = []
        for of_part, c, s in ((of_q, cos_q, sin_q), (of_k, cos, sin), (of_v, None, None)):
            part_BhTD = of_part.view(rows, -1, width, shape.dim)
            if c is None or s is None:
                made.append(shape.flat(part_BhTD, len(x_MH)))
            else:
                made.append(shape.blank(part_BhTD, len(x_MH)))
                rotate(part_BhTD, c, s, shape.by_head(made[-1]), back=True)
        normed_MH = rms_norm(x_MH, before, rms_M1)
        of_weights = [
            product(weight, part.t(), normed_MH, wanted=want)
            for weight, part, want in zip((w_q, w_k, w_v), made, wanted[1:4], strict=True)
        ]
        of_normed = times(made[0], w_q)
        of_normed = times(made[1], w_k, plus=of_normed)
        of_normed = times(made[2], w_v, plus=of_normed)
        of_x, of_before = _norm_backward(of_normed, x_MH, before, rms_M1, of_x)
        return of_x, None, None, None, None, of_before, *of_weights, of_o, of_between, of_gate, of_up, of_down
