"""A Llama, read by hand: what its forward pass in transformers computes, in a third of the calls.

For the 64 or 256 tokens of a decode step of a small model the calls into PyTorch take longer than the
arithmetic, so there are few: no mask is built anew in each layer, no cache object is asked, keys and values
go straight into the slab. Tokens lie one behind the other, N of them, whatever sequence they are of: nothing
is padded but the attention over a batch of prompts. The weights are the model's own, looked up at
each call: nothing has to be copied after a training step, and nothing can be stale.

Suffixes: N tokens, B rows of the slab, P prompts, T columns, H width of the model, D of a head, Q heads, K
heads of keys and values (each serves Q / K heads, G), V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear, rms_norm, silu
from transformers.models.llama import modeling_llama as theirs

from ..models.attention import plain_attention
from ..models.products import FROM, onednn, widened
from .slab import Rows, Slab

# rotary frequencies that do not depend on how long the text is
ROTARY = {"default", "linear", "llama3", "yarn"}

# of a layer's number, its queries (N, Q, D), keys and values (N, K, D): what it looked up, (N, Q * D)
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


class LlamaReader:
    """Reads prompts and writes by a Llama's weights as they are; see `alignlab.sampling.reading.Reader`."""

    def __init__(self, model: Any) -> None:
        config, body = model.config, model.model
        self.queries, self.heads = config.num_attention_heads, config.num_key_value_heads
        self.dim = body.layers[0].self_attn.head_dim
        self.layers = [_Layer(layer) for layer in body.layers]
        self.embedding_VH, self.rotary = body.embed_tokens.weight, body.rotary_emb
        self.norm, self.head = _Norm(body.norm), _Product(model.lm_head)

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether the model is a Llama to the letter: not a subclass, no module replaced (but products by an
        adapter), no hook that would not be called.
        """
        if type(model) is not theirs.LlamaForCausalLM or model.config.hidden_act != "silu":
            return False
        rotary = model.model.rotary_emb
        exact = {
            theirs.LlamaForCausalLM,
            theirs.LlamaModel,
            theirs.LlamaDecoderLayer,
            theirs.LlamaAttention,
            theirs.LlamaMLP,
            theirs.LlamaRMSNorm,
            theirs.LlamaRotaryEmbedding,
        }
        parts = [model, model.model, *model.model.layers]
        parts += [part for layer in model.model.layers for part in layer.children()]
        parts += [model.model.norm, rotary, model.model.embed_tokens]
        return (
            getattr(rotary, "rope_type", None) in ROTARY
            and type(model.model.embed_tokens) is nn.Embedding
            and all(type(part) in {*exact, nn.Embedding} and not _hooked(part) for part in parts)
        )

    def prefill(self, prompts: Sequence[list[int]]) -> tuple[Tensor, list[Tensor]]:
        """Logits (P, V) after each prompt, and keys and values, each (P, K, T, D), padded on the left."""
        device, longest = self.embedding_VH.device, max(map(len, prompts))
        lengths_P = torch.tensor([len(ids) for ids in prompts], device=device)
        columns_PT = torch.arange(longest, device=device).expand(len(prompts), longest)
        real_PT = columns_PT >= (longest - lengths_P)[:, None]
        prompt_N, column_N = real_PT.nonzero(as_tuple=True)
        seen_P1TT = real_PT[:, None, None, :] & real_PT.new_ones(longest, longest).tril()
        count = len(prompt_N)
        found: list[Tensor] = []

        def attend(number: int, q_NQD: Tensor, k_NKD: Tensor, v_NKD: Tensor) -> Tensor:
            """Each token looks at those of its prompt up to itself."""
            q, k, v = (_padded(x[:count], prompt_N, column_N, real_PT) for x in (q_NQD, k_NKD, v_NKD))
            found.extend((k, v))
            looked_up_PTQD, _ = plain_attention(self.layers[number].attention, q, k, v, seen_P1TT)
            return widened(looked_up_PTQD[prompt_N, column_N].flatten(1))

        ids_N = widened(torch.tensor([token for ids in prompts for token in ids], device=device))
        positions_N = widened(column_N - (longest - lengths_P)[prompt_N])
        last_P = widened(lengths_P.cumsum(0) - 1)
        states_PH = self._states(ids_N, positions_N, attend, wanted_P=last_P)
        return self.head(states_PH)[: len(prompts)], found

    def step(self, rows: Rows[Any], slab: Slab) -> Tensor:
        """Logits (N, V) after the last token of each live sequence, whose keys and values become the slab's
        column `now`. All B rows are read, so that shapes stay: of an empty one nothing is kept.
        """
        B, low, now, dtype = slab.rows, slab.low, slab.now, slab.tensors[0].dtype
        scale, groups = self.dim**-0.5, self.queries // self.heads
        columns_T = torch.arange(low, now + 1, device=rows.device)
        hidden_BT = torch.zeros(B, len(columns_T), dtype=dtype, device=rows.device)
        unseen_BT = columns_T < rows.starts_B.clamp(max=now)[:, None]
        hidden_BT.masked_fill_(unseen_BT, torch.finfo(dtype).min)
        # added to the products of queries and keys: (B * K, G, T)
        hidden = hidden_BT[:, None, None].expand(B, self.heads, groups, -1).flatten(0, 1)

        def attend(number: int, q_BQD: Tensor, k_BKD: Tensor, v_BKD: Tensor) -> Tensor:
            """Each token looks at what its row of the slab holds, and at itself."""
            keys, values = slab.tensors[2 * number][:B], slab.tensors[2 * number + 1][:B]
            keys[:, :, now], values[:, :, now] = k_BKD, v_BKD
            k, v = (x[:, :, low : now + 1].flatten(0, 1) for x in (keys, values))  # (B * K, T, D)
            q = q_BQD.view(B * self.heads, groups, self.dim)
            scores = torch.baddbmm(hidden, q, k.transpose(1, 2), alpha=scale)
            weights = scores.softmax(-1, dtype=torch.float32).to(dtype)
            return torch.bmm(weights, v).view(B, -1)

        return self.head(self._states(rows.ids_B, rows.positions_B, attend))[rows.at]

    def _states(
        self, ids_N: Tensor, positions_N: Tensor, attend: Attend, wanted_P: Tensor | None = None
    ) -> Tensor:
        """Last hidden states (N, H) of tokens at their positions; of those `wanted` alone, where given."""
        x_NH = embedding(ids_N, self.embedding_VH)
        cos, sin = self.rotary(x_NH, positions_N[None])
        cos_N1D, sin_N1D = cos[0, :, None], sin[0, :, None]
        # the angle's sine with the sign that each half of a head takes it by
        sin_N1D = torch.cat((-sin_N1D[..., : self.dim // 2], sin_N1D[..., self.dim // 2 :]), -1)
        for number, layer in enumerate(self.layers):
            h_NH = layer.norm_in(x_NH)
            q_NQD = _rotated(layer.q(h_NH).view(-1, self.queries, self.dim), cos_N1D, sin_N1D)
            k_NKD = _rotated(layer.k(h_NH).view(-1, self.heads, self.dim), cos_N1D, sin_N1D)
            v_NKD = layer.v(h_NH).view(-1, self.heads, self.dim)
            looked_up_N = attend(number, q_NQD, k_NKD, v_NKD)
            if wanted_P is not None and number == len(self.layers) - 1:
                looked_up_N, x_NH = looked_up_N[wanted_P], x_NH[wanted_P]
            x_NH = layer.out(looked_up_N, plus=x_NH)
            h_NH = layer.norm_out(x_NH)
            x_NH = layer.down(layer.up(h_NH, times=layer.gate(h_NH, act="swish")), plus=x_NH)
        return self.norm(x_NH)


class _Layer:
    """One layer's weights by what they do."""

    def __init__(self, layer: Any) -> None:
        self.attention, mlp = layer.self_attn, layer.mlp
        self.norm_in, self.norm_out = _Norm(layer.input_layernorm), _Norm(layer.post_attention_layernorm)
        attention = self.attention
        self.q, self.k = _Product(attention.q_proj), _Product(attention.k_proj)
        self.v, self.out = _Product(attention.v_proj), _Product(attention.o_proj)
        self.gate, self.up, self.down = map(_Product, (mlp.gate_proj, mlp.up_proj, mlp.down_proj))


class _Norm:
    """x / rms(x) * weight (Zhang and Sennrich 2019), rounded where transformers rounds."""

    def __init__(self, norm: theirs.LlamaRMSNorm) -> None:
        self.weight, self.eps, self.shape = norm.weight, norm.variance_epsilon, norm.weight.shape

    def __call__(self, x_NH: Tensor) -> Tensor:
        return self.weight * rms_norm(x_NH.float(), self.shape, None, self.eps).to(x_NH.dtype)


class _Product:
    """x W^T + b. A layer that is more than that (an adapter's) is called as it is."""

    def __init__(self, layer: Any) -> None:
        self.layer = None if type(layer) is nn.Linear and not _hooked(layer) else layer
        self.weight: Any = None if self.layer is not None else layer.weight
        self.bias = None if self.layer is not None else layer.bias
        self.onednn = (
            onednn is not None
            and self.layer is None
            and (layer.weight.device.type, layer.weight.dtype) == ("cpu", torch.float32)
        )

    def __call__(
        self, x: Tensor, *, act: str = "none", plus: Tensor | None = None, times: Tensor | None = None
    ) -> Tensor:
        """The product, then silu of it (`act` "swish"), or plus or times a tensor of its shape."""
        if onednn is not None and self.onednn and len(x) >= FROM:
            if plus is not None:
                return onednn.binary(x, plus, self.weight, self.bias, "add")
            if times is not None:
                return onednn.binary(x, times, self.weight, self.bias, "mul")
            return onednn(x, self.weight, self.bias, act, [], "")
        found = self.layer(x) if self.layer is not None else linear(x, self.weight, self.bias)
        if plus is not None:
            return found.add_(plus)
        if times is not None:
            return found.mul_(times)
        return silu(found, inplace=True) if act == "swish" else found


def _rotated(x_NKD: Tensor, cos_N1D: Tensor, sin_N1D: Tensor) -> Tensor:
    """Each half of a head turned towards the other by the angle of the position (Su et al. 2021)."""
    first, second = x_NKD.chunk(2, -1)
    return torch.addcmul(x_NKD * cos_N1D, torch.cat((second, first), -1), sin_N1D)


def _padded(x_NKD: Tensor, prompt_N: Tensor, column_N: Tensor, like_PT: Tensor) -> Tensor:
    """(N, K, D) set out as (P, K, T, D), zeros where there is no token."""
    padded = x_NKD.new_zeros(*like_PT.shape, *x_NKD.shape[1:])
    padded[prompt_N, column_N] = x_NKD
    return padded.transpose(1, 2)


def _hooked(module: nn.Module) -> bool:
    """Whether calling it does more than its forward pass, or another than its class's."""
    return bool(module._forward_hooks or module._forward_pre_hooks) or "forward" in vars(module)
