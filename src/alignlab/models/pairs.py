"""Comparisons as rows that are read: chosen and rejected side by side."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..records import Comparison, Ranking
from ..run import derive_seed
from .chat import Rendered, example
from .policy import Policy


def comparisons_of(
    preferences: Sequence[Ranking | Comparison], per_prompt: int, seed: int
) -> list[Comparison]:
    """Comparisons as they are, rankings as all their pairs (or `per_prompt` of them, drawn by the seed); ties
    left out.
    """
    found: list[Comparison] = []
    for i, item in enumerate(preferences):
        pairs = item.comparisons() if isinstance(item, Ranking) else [] if item.tie else [item]
        if per_prompt and len(pairs) > per_prompt:
            pairs = random.Random(derive_seed(seed, "pairs", i)).sample(pairs, per_prompt)
        found += pairs
    return found


def encode(policy: Policy, comparison: Comparison) -> tuple[Rendered, Rendered]:
    """Chosen and rejected; one that was cut at the limit has no end token."""
    c = comparison
    return (
        example(policy.tokenizer, c.prompt, c.chosen, finished=c.chosen_finished),
        example(policy.tokenizer, c.prompt, c.rejected, finished=c.rejected_finished),
    )


def distinct(pairs: Iterable[tuple[Rendered, Rendered]]) -> tuple[list[Rendered], Tensor]:
    """Each row once, although a completion of a ranking stands in K - 1 pairs; and where the two of each pair
    are, (N, 2).
    """
    places: dict[tuple[int, ...], int] = {}
    rows: list[Rendered] = []
    found: list[int] = []
    for pair in pairs:
        for row in pair:
            place = places.setdefault((len(row.ids) - sum(row.loss_mask), *row.ids), len(rows))
            if place == len(rows):
                rows.append(row)
            found.append(place)
    return rows, torch.tensor(found, dtype=torch.long).view(-1, 2)


def completion_lengths(rows: Sequence[Rendered]) -> Tensor:
    """(N,) tokens of each completion, its end token among them."""
    return torch.tensor([sum(row.loss_mask) for row in rows], dtype=torch.long)
