"""Comparisons as rows that are read: chosen and rejected side by side."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import chain

import torch
from torch import Tensor

from ..records import Comparison, Ranking
from ..run import derive_seed
from .chat import Rendered, example
from .policy import Policy


def comparisons_of(
    preferences: Sequence[Ranking | Comparison], per_prompt: int, seed: int, *, best_only: bool = False
) -> list[Comparison]:
    """Comparisons as they are, rankings as all their pairs (`best_only`: those that a best completion wins;
    or `per_prompt` of them, drawn by the seed); ties left out.
    """
    comparisons: list[Comparison] = []
    for i, item in enumerate(preferences):
        if isinstance(item, Ranking) and best_only:
            pairs = _won_by_the_best(item)
        elif isinstance(item, Ranking):
            pairs = item.comparisons()
        elif item.tie:
            pairs = []
        else:
            pairs = [item]
        if per_prompt and len(pairs) > per_prompt:
            pairs = random.Random(derive_seed(seed, "pairs", i)).sample(pairs, per_prompt)
        comparisons += pairs
    return comparisons


def _won_by_the_best(ranking: Ranking) -> list[Comparison]:
    """Of each completion of the best rank, its comparisons with those of a worse one."""
    places, top = range(len(ranking.ranks)), min(ranking.ranks, default=0)
    best = [i for i in places if ranking.ranks[i] == top]
    worse = [i for i in places if ranking.ranks[i] > top]
    return list(chain.from_iterable(ranking.only((i, j)).comparisons() for i in best for j in worse))


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
    members: list[int] = []
    for pair in pairs:
        for row in pair:
            place = places.setdefault((len(row.ids) - sum(row.loss_mask), *row.ids), len(rows))
            if place == len(rows):
                rows.append(row)
            members.append(place)
    return rows, torch.tensor(members, dtype=torch.long).view(-1, 2)


def completion_lengths(rows: Sequence[Rendered]) -> Tensor:
    """(N,) tokens of each completion, its end token among them."""
    return torch.tensor([sum(row.loss_mask) for row in rows], dtype=torch.long)
