"""How a sampler reads tokens: prompts beside each other, then one token per sequence and step. Here through
transformers, for any attention-only causal model; `llama` does the same faster for one architecture.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin

from ..models import adapters
from .llama import LlamaReader
from .slab import Rows, Slab


class Reader(Protocol):
    """Next-token logits, under the model as it is at each call."""

    def prefill(self, prompts: Sequence[list[int]]) -> tuple[Tensor, list[Tensor]]:
        """Logits (P, V) after each prompt; keys and values, layer by layer, (P, heads, T, dim), padded on the
        left.
        """
        ...

    def step(self, rows: Rows[Any], slab: Slab) -> Tensor:
        """Logits (N, V) after the last token of each live sequence, whose keys and values become the slab's
        column `now`.
        """
        ...


def reader_of(model: Any) -> Reader:
    """The fastest one that reads this model, as it is now, for what it is."""
    bare = adapters.bare(model)
    return LlamaReader(bare) if LlamaReader.fits(bare) else TransformersReader(model)


class TransformersReader:
    """Reads by the model's own forward pass; to it the slab's window is a cache of now - low positions."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._accepts = frozenset(signature(adapters.bare(model).forward).parameters)

    def prefill(self, prompts: Sequence[list[int]]) -> tuple[Tensor, list[Tensor]]:
        longest = max(map(len, prompts))
        lengths_P1 = torch.tensor([[len(ids)] for ids in prompts])
        ids_PT = torch.tensor([[0] * (longest - len(ids)) + ids for ids in prompts])
        positions_PT = torch.arange(longest) - (longest - lengths_P1)
        cache = DynamicCache()
        logits_PV = self._forward(ids_PT, positions_PT >= 0, positions_PT.clamp(min=0), cache)
        layers: list[Any] = cache.layers
        return logits_PV, [tensor for layer in layers for tensor in (layer.keys, layer.values)]

    def step(self, rows: Rows[Any], slab: Slab) -> Tensor:
        starts_B1 = rows.starts_B.clamp(max=slab.now)[:, None]
        seen_BT = torch.arange(slab.low, slab.now + 1, device=rows.device) >= starts_B1
        ids_B1, positions_B1 = rows.ids_B[:, None], rows.positions_B[:, None]
        return self._forward(ids_B1, seen_BT, positions_B1, _SlabCache(slab))[rows.at]

    def _forward(self, ids_BT: Tensor, seen_BT: Tensor, positions_BT: Tensor, cache: Cache) -> Tensor:
        """Next-token logits (B, V) after the last column."""
        device = self.model.device
        inputs = {
            "input_ids": ids_BT.to(device),
            "attention_mask": seen_BT.long().to(device),
            "position_ids": positions_BT.to(device),
            "cache" if "cache" in self._accepts else "past_key_values": cache,  # renamed in transformers 5.24
            "use_cache": True,
            "logits_to_keep": 1,
        }
        known = {name: value for name, value in inputs.items() if name in self._accepts}
        return self.model(**known).logits[:, -1]


class _SlabLayer(CacheLayerMixin):
    """One layer of a slab as transformers wants it."""

    keys: Tensor
    values: Tensor

    def __init__(self, slab: Slab, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.slab, self.keys, self.values, self.is_initialized = slab, keys, values, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        raise AssertionError("the slab is made from a prefilled cache")

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        rows, low, now = self.slab.rows, self.slab.low, self.slab.now
        self.keys[:rows, :, now] = key_states[:, :, 0]
        self.values[:rows, :, now] = value_states[:, :, 0]
        return self.keys[:rows, :, low : now + 1], self.values[:rows, :, low : now + 1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self.slab.now - self.slab.low

    def get_max_length(self) -> int:
        return -1


class _SlabCache(Cache):
    def __init__(self, slab: Slab) -> None:
        pairs = zip(slab.tensors[::2], slab.tensors[1::2], strict=True)
        super().__init__(layers=[_SlabLayer(slab, keys, values) for keys, values in pairs])
