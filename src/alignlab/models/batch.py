"""Rows of tokens into tensors: padding, packing, prompts shared by their completions, and batches of similar
length.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .chat import Rendered

TOGETHER = 8  # completions of a prompt that are kept together when many rows are cut into chunks
WIDEST = 2048  # tokens of a prompt and the completions that share it: the mask grows with the square


@dataclass(frozen=True)
class Batch:
    """Token ids with what each position is.

    What is made of them once (`predicted`, `additive`) is kept with them: several models read one batch.

    Attributes:
        ids_BT: (B, T) int64.
        attention_mask_BT: (B, T), 1 on real tokens. It comes from lengths, so that a pad token that is also
            the end token hides nothing.
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
        """The batch on a device; itself if it is there."""
        if self.ids_BT.device == torch.device(device):
            return self
        moved = self.attention_B1TT.to(device) if self.attention_B1TT is not None else None
        return Batch(
            self.ids_BT.to(device),
            self.attention_mask_BT.to(device),
            self.loss_mask_BT.to(device),
            self.position_ids_BT.to(device),
            moved,
        )

    @cached_property
    def predicted_N(self) -> Tensor:
        """Where the N tokens trained on stand in the flattened (B, T); nothing predicts a row's first."""
        trained_BT = self.loss_mask_BT.clone()
        trained_BT[:, 0] = 0
        return trained_BT.flatten().nonzero().squeeze(1)

    @cached_property
    def sources_N(self) -> Tensor:
        """Where in the flattened (B, T) the tokens stand that predict those."""
        return self.predicted_N - 1

    @cached_property
    def targets_N(self) -> Tensor:
        """The ids of the tokens trained on."""
        return self.ids_BT.flatten().index_select(0, self.predicted_N)

    def placed(self, x_N: Tensor) -> Tensor:
        """A quantity of each token trained on as (B, T), 0 elsewhere."""
        flat = x_N.new_zeros(self.ids_BT.numel()).index_copy(0, self.predicted_N, x_N)
        return flat.view(self.ids_BT.shape)

    @cached_property
    def _additive(self) -> dict[torch.dtype, Tensor]:
        return {}

    def additive(self, dtype: torch.dtype) -> Tensor:
        """(B or 1, 1, T, T): 0 where position t may look at s, the lowest number elsewhere. In rows padded on
        the right one mask does for all: no real token has padding before it.
        """
        if dtype not in self._additive:
            seen, width = self.attention_B1TT, self.ids_BT.shape[1]
            if seen is None:
                seen = torch.ones(width, width, dtype=torch.bool, device=self.ids_BT.device).tril()[
                    None, None
                ]
                if not self.attention_mask_BT[:, 0].all():
                    seen = seen & self.attention_mask_BT[:, None, None].bool()
            blank = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
            self._additive[dtype] = blank.masked_fill_(~seen, torch.finfo(dtype).min)
        return self._additive[dtype]

    def model_inputs(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Arguments for a model of transformers. A packed mask becomes additive in the model's dtype: every
        attention takes that one.
        """
        mask = self.attention_mask_BT if self.attention_B1TT is None else self.additive(dtype)
        return {"input_ids": self.ids_BT, "attention_mask": mask, "position_ids": self.position_ids_BT}


def pad(rows: Sequence[Rendered], pad_id: int, *, side: Literal["left", "right"] = "right") -> Batch:
    """Rows of different lengths side by side."""
    shape = len(rows), max(len(row.ids) for row in rows)
    ids, loss = np.full(shape, pad_id), np.zeros(shape, dtype=np.int64)
    attention, positions = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for b, row in enumerate(rows):
        n = len(row.ids)
        place = slice(0, n) if side == "right" else slice(shape[1] - n, None)
        ids[b, place], loss[b, place] = row.ids, row.loss_mask
        attention[b, place], positions[b, place] = 1, np.arange(n)
    return Batch(*map(torch.from_numpy, (ids, attention, loss, positions)))


def pack(rows: Sequence[Rendered], length: int, pad_id: int) -> Batch:
    """Several rows one after the other in rows of `length`, none seeing another: first fit, longest first.

    The attention mask is block-diagonal and causal, positions start anew in each piece, and the first token
    of a piece is never predicted from the piece before it: its loss mask is 0 as it is in a row of its own.
    """
    lengths = [len(row.ids) for row in rows]
    assert max(lengths) <= length, (
        f"a row of {max(lengths)} tokens cannot be packed into {length}: drop it before"
    )
    bins = _first_fit(lengths, length)
    longest = max(sum(lengths[i] for i in members) for members in bins)
    return _placed(rows, _alone(rows), bins, longest, pad_id).batch


@dataclass(frozen=True)
class Layout:
    """N rows laid out so that a prompt shared by neighbours is read once and little is spent on padding.

    Attributes:
        batch: what a model reads, (B, T).
        places_NL: (N, L), where in the flattened (B, T) each token of each row stands; -1 beyond its end. L
            is the longest row.
    """

    batch: Batch
    places_NL: Tensor

    def to(self, device: torch.device | str) -> Layout:
        """The layout on a device; itself if it is there."""
        batch = self.batch.to(device)
        return self if batch is self.batch else Layout(batch, self.places_NL.to(device))

    @cached_property
    def _outside_NL(self) -> Tensor:
        return self.places_NL < 0

    @cached_property
    def _flat(self) -> Tensor:
        return self.places_NL.clamp_min(0).flatten()

    def back(self, x_BT: Tensor) -> Tensor:
        """A quantity of each token, (B, T), as (N, L): a row each as if they had been padded on the right, 0
        beyond their ends.
        """
        x_NL = x_BT.flatten().index_select(0, self._flat).view(self.places_NL.shape)
        return x_NL.masked_fill(self._outside_NL, 0.0)

    @cached_property
    def ends_N(self) -> Tensor:
        """Where in the flattened (B, T) each row ends."""
        lengths_N1 = (~self._outside_NL).sum(1, keepdim=True)
        return self.places_NL.gather(1, lengths_N1 - 1).squeeze(1)


def lay_out(rows: Sequence[Rendered], pad_id: int, *, key_cost: float) -> Layout:
    """Rows into a batch with no prompt read twice and little padding, where that is less work.

    Neighbours of the same prompt (all that comes before the first trained token) become a piece: the prompt
    without its last token, and behind it the completions, each opened by that token, at the positions they
    have alone; they see the prompt and themselves. Pieces stand one after the other in the rows of the batch,
    none seeing another: first fit, longest first. Every trained token is predicted by the token before it, as
    in a row of its own, and all that is computed from it is the same.

    Of three ways the cheapest is taken: prompts shared and pieces packed; rows packed and no prompt shared;
    rows padded.

    Args:
        key_cost: what a token costs beside its attention, in keys looked at. Sharing and packing save tokens
            and widen what attention looks at; 0 pads.
    """
    longest = max(len(row.ids) for row in rows)
    best, least = None, 0.95 * len(rows) * longest * (key_cost + longest)  # a mask of our own has a price too
    for pieces in (_shared(rows), _alone(rows)) if key_cost else ():
        width = max(piece.tokens for piece in pieces)
        bins = _first_fit([piece.tokens for piece in pieces], width)
        if (work := len(bins) * width * (key_cost + width)) < least:
            best, least = (pieces, bins, width), work
    if best is not None:
        return _placed(rows, *best, pad_id)
    plain = pad(rows, pad_id)
    places = torch.arange(len(rows))[:, None] * longest + torch.arange(longest)
    return Layout(plain, places.masked_fill(plain.attention_mask_BT == 0, -1))


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows that share their first `common` tokens, and how many tokens that makes in all."""

    common: int
    members: tuple[int, ...]
    tokens: int


def _placed(
    rows: Sequence[Rendered], pieces: Sequence[_Piece], bins: Sequence[Sequence[int]], width: int, pad_id: int
) -> Layout:
    """Pieces one after the other, a bin a row of the batch; a token sees what its piece shares, and its own
    row up to itself.
    """
    longest, shape = max(len(row.ids) for row in rows), (len(bins), width)
    ids, loss = np.full(shape, pad_id), np.zeros(shape, dtype=np.int64)
    positions = np.zeros(shape, dtype=np.int64)
    piece_BT, owner_BT = np.full(shape, -1), np.full(shape, -1)  # -1: padding; a prompt that is shared
    places = np.full((len(rows), longest), -1)
    for b, members in enumerate(bins):
        at = 0
        for number in members:
            piece = pieces[number]
            common, prompt_at = piece.common, b * width + at
            ids[b, at : at + common] = rows[piece.members[0]].ids[:common]
            positions[b, at : at + common] = np.arange(common)
            piece_BT[b, at : at + piece.tokens] = number
            at += common
            for i in piece.members:
                row, n = rows[i], len(rows[i].ids) - common
                ids[b, at : at + n] = row.ids[common:]
                loss[b, at + 1 : at + n] = row.loss_mask[common + 1 :]  # what opens a row is never predicted
                positions[b, at : at + n] = np.arange(common, common + n)
                owner_BT[b, at : at + n] = i
                places[i, :common] = np.arange(prompt_at, prompt_at + common)
                places[i, common : common + n] = np.arange(b * width + at, b * width + at + n)
                at += n
    real = torch.from_numpy(piece_BT >= 0)
    piece_BT, owner_BT = torch.from_numpy(piece_BT), torch.from_numpy(owner_BT)
    allowed = (piece_BT[:, None, :] == piece_BT[:, :, None]) & real[:, None, :]
    allowed &= (owner_BT[:, None, :] == -1) | (owner_BT[:, None, :] == owner_BT[:, :, None])
    allowed &= torch.ones(width, width, dtype=torch.bool).tril()
    allowed |= torch.eye(width, dtype=torch.bool)
    ids, loss, positions = map(torch.from_numpy, (ids, loss, positions))
    return Layout(Batch(ids, real.long(), loss, positions, allowed[:, None]), torch.from_numpy(places))


def _alone(rows: Sequence[Rendered]) -> list[_Piece]:
    """Each row by itself."""
    return [_Piece(0, (i,), len(row.ids)) for i, row in enumerate(rows)]


def _shared(rows: Sequence[Rendered]) -> list[_Piece]:
    """Neighbours of one prompt together, as many as `WIDEST` allows."""
    pieces: list[_Piece] = []
    for prompt, members in neighbours(rows):
        common = len(prompt) - 1 if len(members) > 1 else 0
        held: list[int] = []
        tokens = common
        for i in members:
            own = len(rows[i].ids) - common
            if held and tokens + own > WIDEST:
                pieces.append(_Piece(common, tuple(held), tokens))
                held, tokens = [], common
            held.append(i)
            tokens += own
        pieces.append(_Piece(common, tuple(held), tokens))
    return pieces


def neighbours(rows: Sequence[Rendered]) -> list[tuple[list[int], list[int]]]:
    """(prompt, members) of each stretch of rows that begin with the same prompt: all that comes before the
    first trained token.
    """
    found: list[tuple[list[int], list[int]]] = []
    for i, row in enumerate(rows):
        prompt = row.ids[: row.loss_mask.index(1)] if 1 in row.loss_mask else row.ids
        if found and len(prompt) > 1 and prompt == found[-1][0]:
            found[-1][1].append(i)
        else:
            found.append((prompt, [i]))
    return found


def chunks(rows: Sequence[Rendered], most: int) -> list[list[int]]:
    """Indices of rows to be read together, where their order does not matter: neighbours of one prompt side
    by side (up to `TOGETHER`), such stretches of similar length in a chunk of at most `most` tokens, or of a
    single row.
    """
    stretches: list[list[int]] = []
    for _, members in neighbours(rows):
        tokens = most + 1
        for i in members:
            tokens += len(rows[i].ids)
            if tokens > most or len(stretches[-1]) == TOGETHER:
                stretches.append([])
                tokens = len(rows[i].ids)
            stretches[-1].append(i)
    widths = [sum(len(rows[i].ids) for i in stretch) for stretch in stretches]
    found: list[list[int]] = []
    for number in sorted(range(len(stretches)), key=lambda number: widths[number]):
        last = found[-1] if found else []
        if (
            last
            and widths[number] * (len(last) + 1) <= most
            and (len(last) < 16 or widths[number] <= 1.25 * widths[last[0]])
        ):
            last.append(number)
        else:
            found.append([number])
    return [[i for number in chunk for i in stretches[number]] for chunk in found]


def _first_fit(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Bins of at most `width`: each item, longest first, in the first bin with room."""
    bins: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        spot = next((b for b, free in enumerate(room) if free >= lengths[i]), None)
        if spot is None:
            bins.append([])
            room.append(width)
            spot = len(bins) - 1
        bins[spot].append(i)
        room[spot] -= lengths[i]
    return bins


def by_length(lengths: Sequence[int], batch: int, seed: int, epoch: int = 0) -> list[list[int]]:
    """Every index once, in batches of similar length, the batches in random order: little padding,
    repeatable.

    Rows are shuffled, sorted by length within stretches of 16 batches, cut into batches, and the batches
    shuffled.
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
