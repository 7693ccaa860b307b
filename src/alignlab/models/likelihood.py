"""What a model thinks of tokens that are there already: the log-probability of each, and the likeliest ones
in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from .adapters import bare

TOKENS = 4096  # read in one forward pass, padding included
LOGITS = 64_000_000  # entries of (tokens, V) that one forward pass may give; a single row may have more


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of one row of T tokens: log-probabilities (T,) in nats, None for the first, which nothing predicts; and
    for each token the likeliest ones as (id, log-probability), the most likely first.
    """

    logprobs: list[float | None]
    top: list[list[tuple[int, float]]]


@torch.inference_mode()
def likelihoods(model: Any, rows: Sequence[Sequence[int]], *, top: int = 0) -> list[Likelihood]:
    """The likelihood of each row of ids under the model at temperature 1, in the order given; rows share
    forward passes by length.

    The model is used in the mode it is in. A row that is longer than the model's context is the caller's to
    cut.
    """
    plain = bare(model)
    accepts, vocabulary = signature(plain.forward).parameters, plain.config.get_text_config().vocab_size
    by_row: dict[int, Likelihood] = {}
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    while order:
        longest = max(len(rows[order[0]]), 1)
        together = max(1, min(TOKENS, LOGITS // vocabulary) // longest)
        batch, order = order[:together], order[together:]
        lengths_B = torch.tensor([len(rows[i]) for i in batch])
        ids_BT = torch.tensor([[*rows[i], *[0] * (longest - len(rows[i]))] for i in batch])
        seen_BT = torch.arange(longest) < lengths_B[:, None]
        inputs = {
            "input_ids": ids_BT,
            "attention_mask": seen_BT.long(),
            "position_ids": torch.arange(longest).expand_as(ids_BT),
        }
        inputs = {name: value.to(plain.device) for name, value in inputs.items() if name in accepts}
        logits_BTV = model(**inputs, use_cache=False).logits
        for place, row in enumerate(batch):
            by_row[row] = _of_row(
                logits_BTV[place, : max(len(rows[row]) - 1, 0)],
                ids_BT[place, 1 : len(rows[row])].to(logits_BTV.device),
                top,
            )
    return [by_row[i] for i in range(len(rows))]


def _of_row(logits_TV: Tensor, targets_T: Tensor, top: int) -> Likelihood:
    """Logits that predict the targets; the token before them has no prediction."""
    log_p_TV = logits_TV.float().log_softmax(-1)
    logprobs = log_p_TV.gather(-1, targets_T[:, None]).squeeze(-1).tolist()
    likeliest: list[list[tuple[int, float]]] = [[]] * len(logprobs)
    if top:
        best = log_p_TV.topk(min(top, log_p_TV.shape[-1]))
        ids_and_values = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        likeliest = [list(zip(ids, values, strict=True)) for ids, values in ids_and_values]
    return Likelihood([None, *logprobs], [[], *likeliest])
