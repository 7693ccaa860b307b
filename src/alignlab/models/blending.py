"""Weights between those of two models: linear interpolation (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models", equation 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ModelError
from .load import load_merged
from .policy import Policy


@torch.no_grad()
def move(weights: Iterable[Tensor], goals: Iterable[Tensor], share: float) -> None:
    """Each weight so far of the way to its goal, in place: w + share (goal - w)."""
    for weight, goal in zip(weights, goals, strict=True):
        weight.lerp_(goal, share)


def blended(first: str | Path, second: str | Path, alpha: float) -> Policy:
    """The first policy with its weights moved by `alpha` of the way to the second's, adapters merged, in fp32
    on the CPU. At 0 it is the first, at 1 the second.

    Raises:
        ModelError: weights of other names or shapes, or another vocabulary: there is nothing between them.
    """
    policy, other = load_merged(first), load_merged(second)
    if not isinstance(policy, Policy) or not isinstance(other, Policy):
        raise ModelError(
            "a reward model is no policy to blend", where=f"{first}, {second}", remedy="two models that write"
        )
    ours, theirs = dict(policy.model.named_parameters()), dict(other.model.named_parameters())
    shapes = [{name: weight.shape for name, weight in each.items()} for each in (ours, theirs)]
    if shapes[0] != shapes[1] or policy.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        raise ModelError(
            "the two models differ in more than the values of their weights",
            where=f"{first}, {second}",
            remedy="two that were trained from one base",
        )
    move(ours.values(), theirs.values(), alpha)
    return policy
