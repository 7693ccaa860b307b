"""What is loaded, trained and saved: a policy that writes and a reward model that scores, each with its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from . import reader
from .chat_template import end_token_id, template_of


@dataclass
class Policy:
    """A causal model with its tokenizer."""

    model: Any
    tokenizer: Any
    name: str
    device: torch.device

    @property
    def end_ids(self) -> frozenset[int]:
        """Every token that ends a completion: the template's end of turn, the tokenizer's and the generation
        config's ends.
        """
        return end_ids(self.model, self.tokenizer)

    @property
    def pad_id(self) -> int:
        """A valid id to fill arrays with, never one that ends a completion. Masks come from lengths, not from
        it.
        """
        return pad_id(self.model, self.tokenizer)

    @contextmanager
    def reference(self) -> Iterator[Any]:
        """The frozen reference: the policy with its adapter off."""
        with self.model.disable_adapter():
            yield self.model


@dataclass
class RewardModel:
    """A model with a scalar head; `mean` and `std` of its scores over its training completions are kept in
    the model's config.
    """

    model: Any
    tokenizer: Any
    name: str
    device: torch.device

    @property
    def mean(self) -> float:
        return float(getattr(self.model.config, "score_mean", 0.0))

    @property
    def std(self) -> float:
        return float(getattr(self.model.config, "score_std", 1.0))

    def normalize(self, mean: float, std: float) -> None:
        """Set mean and standard deviation, so that PPO, best-of-N and serving agree on the scale."""
        self.model.config.score_mean, self.model.config.score_std = mean, std

    @property
    def pad_id(self) -> int:
        """As `Policy.pad_id`; it is also in the config, where transformers looks for the last token that is
        not it.
        """
        return self.model.config.pad_token_id


def context_of(model: Any) -> int:
    """Tokens the model can look at; sys.maxsize where its config does not say."""
    return reader.context_in(model.config)


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """As `Policy.end_ids`."""
    generation = getattr(model, "generation_config", None)
    ends = {*reader.listed(getattr(generation, "eos_token_id", None)), tokenizer.eos_token_id}
    if template_of(tokenizer):
        ends.add(end_token_id(tokenizer))
    return frozenset(ends - {None})


def pad_id(model: Any, tokenizer: Any) -> int:
    """The tokenizer's pad token if it has an embedding and ends nothing, else another special token, else the
    first id, that does.
    """
    ends, embeddings = end_ids(model, tokenizer), model.get_input_embeddings().weight.shape[0]
    candidates = [tokenizer.pad_token_id, *tokenizer.all_special_ids, *range(embeddings)]
    return next(i for i in candidates if i is not None and i < embeddings and i not in ends)
