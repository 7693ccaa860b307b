"""Rows of tokens into tensors: padding, packing, and batches of similar length."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from .chat import Rendered


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids with what each position is.

    Attributes:
        ids_BT: (B, T) int64.
        attention_mask_BT: (B, T), 1 on real tokens. It comes from lengths, so that a pad token that is also the end token hides nothing.
        loss_mask_BT: (B, T), 1 on tokens trained on.
        position_ids_BT: (B, T), counted from each row's (or packed piece's) first token.
        attention_B1TT: packed rows only: True where position t may look at s.
    """

    ids_BT: Tensor
    attention_mask_BT: Tensor
    loss_mask_BT: Tensor
    position_ids_BT: Tensor
    attention_B1TT: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        moved = self.attention_B1TT.to(device) if self.attention_B1TT is not None else None
        return Batch(self.ids_BT.to(device), self.attention_mask_BT.to(device), self.loss_mask_BT.to(device), self.position_ids_BT.to(device), moved)

    def rows(self, which: slice | Tensor) -> Batch:
        """Some of the rows."""
        packed = self.attention_B1TT[which] if self.attention_B1TT is not None else None
        return replace(self, ids_BT=self.ids_BT[which], attention_mask_BT=self.attention_mask_BT[which], loss_mask_BT=self.loss_mask_BT[which],
                       position_ids_BT=self.position_ids_BT[which], attention_B1TT=packed)

    def model_inputs(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Arguments for a model of transformers. A packed mask becomes additive in the model's dtype: every attention takes that one."""
        mask = self.attention_mask_BT
        if self.attention_B1TT is not None:
            mask = torch.zeros(self.attention_B1TT.shape, dtype=dtype, device=mask.device).masked_fill(~self.attention_B1TT, torch.finfo(dtype).min)
        return {"input_ids": self.ids_BT, "attention_mask": mask, "position_ids": self.position_ids_BT}


def pad(rows: Sequence[Rendered], pad_id: int, *, side: Literal["left", "right"] = "right") -> Batch:
    """Rows of different lengths side by side."""
    longest = max(len(row.ids) for row in rows)
    ids, attention, loss, positions = [], [], [], []
    for row in rows:
        n = len(row.ids)
        gap = longest - n
        fill = (lambda x, value, gap=gap: [value] * gap + x) if side == "left" else (lambda x, value, gap=gap: x + [value] * gap)
        ids.append(fill(list(row.ids), pad_id))
        attention.append(fill([1] * n, 0))
        loss.append(fill(list(row.loss_mask), 0))
        positions.append(fill(list(range(n)), 0))
    return Batch(*(torch.tensor(x) for x in (ids, attention, loss, positions)))


def pack(rows: Sequence[Rendered], length: int, pad_id: int) -> Batch:
    """Several rows one after the other in rows of `length`, none seeing another: first fit, longest first.

    The attention mask is block-diagonal and causal, positions start anew in each piece, and the first token of a piece is
    never predicted from the piece before it: its loss mask is 0 as it is in a row of its own.
    """
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
    bins: list[list[int]] = []
    room: list[int] = []
    for i in order:
        n = len(rows[i].ids)
        assert n <= length, f"a row of {n} tokens cannot be packed into {length}: drop it before"
        spot = next((b for b, free in enumerate(room) if free >= n), None)
        if spot is None:
            bins.append([])
            room.append(length)
            spot = len(bins) - 1
        bins[spot].append(i)
        room[spot] -= n
    longest = length - min(room)
    shape = (len(bins), longest)
    ids, attention = torch.full(shape, pad_id), torch.zeros(shape, dtype=torch.long)
    loss, positions, piece = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long), torch.full(shape, -1)
    for b, members in enumerate(bins):
        at = 0
        for number, i in enumerate(members):
            n = len(rows[i].ids)
            ids[b, at : at + n] = torch.tensor(rows[i].ids)
            loss[b, at : at + n] = torch.tensor([0, *rows[i].loss_mask[1:]])
            attention[b, at : at + n] = 1
            positions[b, at : at + n] = torch.arange(n)
            piece[b, at : at + n] = number
            at += n
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    same = (piece[:, :, None] == piece[:, None, :]) & (piece[:, :, None] >= 0)
    allowed = (same & causal) | torch.eye(longest, dtype=torch.bool)
    return Batch(ids, attention, loss, positions, allowed[:, None])


def by_length(lengths: Sequence[int], batch: int, seed: int, epoch: int = 0) -> list[list[int]]:
    """Every index once, in batches of similar length, the batches in random order: little padding, repeatable.

    Rows are shuffled, sorted by length within stretches of 16 batches, cut into batches, and the batches shuffled.
    """
    rng = random.Random(f"by-length-{seed}-{epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), 16 * batch):
        stretch = sorted(order[start : start + 16 * batch], key=lambda i: lengths[i])
        batches += [stretch[i : i + batch] for i in range(0, len(stretch), batch)]
    rng.shuffle(batches)
    return batches
