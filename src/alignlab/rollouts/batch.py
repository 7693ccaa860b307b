"""Completions as tensors, what models say of them, and the minibatches that they are learnt in."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from ..models import shards
from ..models.batch import pad
from ..models.chat import Rendered
from ..models.forward import laid_out, token_logprobs_of
from ..models.policy import Policy
from ..records import Completion
from ..run import derive_seed, ranks
from ..settings import GroupSettings, PPOSettings

Minibatch = list[list[int]]
"""The rows of one optimizer update, cut into micro-batches."""

Asked = Callable[[], AbstractContextManager[Any]]
"""Opens the model that is asked."""


def current(policy: Policy) -> Asked:
    """The policy as it is."""
    return partial(nullcontext, policy.model)


def frozen(policy: Policy, reference: Policy | None) -> Asked:
    """The reference: a model of its own or, for None, the policy with its adapter off."""
    return policy.reference if reference is None else partial(nullcontext, reference.model)


@dataclass(frozen=True, slots=True)
class Rollouts:
    """A batch of completions, a row each of the ids that were read and those that were sampled. (B, T)
    tensors are as wide as the longest row and 0 outside the completion; the mask is 1 on sampled tokens.
    """

    policy: Policy
    completions: list[Completion]
    rows: list[Rendered]
    mask_BT: Tensor
    sampler_logprobs_BT: Tensor

    @classmethod
    def read(cls, policy: Policy, completions: list[Completion]) -> Rollouts:
        """A batch, on the policy's device.

        Raises:
            DataError: a sampler that gave no prompt ids, or no log-probability for each token.
        """
        rows, sampled = [], []
        for c in completions:
            if not c.prompt_ids or len(c.logprobs) != len(c.ids):
                raise DataError(
                    f"the sampler gave {len(c.prompt_ids)} ids of the prompt, and {len(c.logprobs)} "
                    f"log-probabilities for {len(c.ids)} tokens",
                    where=f"{c.prompt.text} | {c.text}"[:300],
                    remedy="a sampler that returns what it read and the log-probability of each token drawn",
                )
            rows.append(Rendered([*c.prompt_ids, *c.ids], [0] * len(c.prompt_ids) + [1] * len(c.ids)))
            sampled += c.logprobs
        mask_BT = pad(rows, policy.pad_id).loss_mask_BT.to(policy.device)
        sampled_N = torch.tensor(sampled, device=policy.device)
        sampled_BT = torch.zeros(mask_BT.shape, device=policy.device).masked_scatter(
            mask_BT.bool(), sampled_N
        )
        return cls(policy, completions, rows, mask_BT, sampled_BT)

    def place(self, piece: Sequence[int]) -> tuple[Tensor, slice]:
        """Where rows that are read together stand in a (B, T) tensor: they are as wide as the longest."""
        return torch.tensor(piece), slice(max(len(self.rows[i].ids) for i in piece))

    @torch.no_grad()
    def logprobs_under(
        self, asked: Sequence[Asked], pieces: Sequence[Sequence[int]], *, temperature: float
    ) -> list[Tensor]:
        """(B, T) log-probabilities under each model asked, a forward pass for each piece (rows that are read
        together). With an update's micro-batches as pieces they are its own to the last bit: its first ratio
        is 1. Several processes ask for their part of each piece, and all have all answers.
        """
        answers = [torch.zeros(self.mask_BT.shape, device=self.policy.device) for _ in asked]
        for piece, counts in shards.parts(self.policy.model, pieces):
            layout = laid_out(self.policy.model, [self.rows[i] for i in piece], self.policy.pad_id)
            for logprobs_BT, opened in zip(answers, asked, strict=True):
                with opened() as model:
                    found_BT = layout.back(token_logprobs_of(model, layout.batch, temperature=temperature))
                if counts:
                    logprobs_BT[self.place(piece)] = found_BT
        ranks.add_up(answers)
        return answers


def passes(settings: PPOSettings | GroupSettings, step: int, seed: int) -> list[list[Minibatch]]:
    """The minibatches of each epoch over a step's rollouts: all rows once, in an order that follows from the
    seed, the completions of a prompt side by side.
    """
    epochs = range(settings.epochs)
    return [minibatches(settings, derive_seed(seed, "minibatch", step, epoch)) for epoch in epochs]


def minibatches(settings: PPOSettings | GroupSettings, seed: int) -> list[Minibatch]:
    """One epoch of `passes`; a `minibatch` of 0 is all rows, a `micro_batch` of 0 a whole minibatch."""
    groups = cut(list(range(settings.rollouts)), settings.per_prompt)
    random.Random(seed).shuffle(groups)
    order = list(chain.from_iterable(groups))
    whole = cut(order, settings.minibatch or len(order))
    return [cut(rows, settings.micro_batch or len(rows)) for rows in whole]


def cut(rows: list[int], size: int) -> list[list[int]]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]
