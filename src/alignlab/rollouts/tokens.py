"""A completion token by token, as it goes into tokens.jsonl: its pieces of the text, and what models say of
each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..models.chat_template import piece_of
from ..records import Completion

DIGITS = 5  # behind the point


@dataclass(frozen=True, slots=True)
class Read:
    """What a loop knows of its batch by token.

    Attributes:
        mask_BT: 1 on sampled tokens.
        columns: (B, T) tensors by their names in the file: logprob, ref, advantage, value.
        asked_B: False for rows that no model was asked about; None = there are none such.
    """

    mask_BT: Tensor
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    asked_B: Tensor | None = None


def token_row(tokenizer: Any, place: int, completion: Completion, read: Read | None) -> dict[str, Any]:
    """The row of one completion; without more, `logprob` is what the sampler drew it with."""
    ids = completion.ids
    before = [completion.prompt_ids[-1] if completion.prompt_ids else None, *ids]
    pieces = [piece_of(tokenizer, last, token) for last, token in zip(before, ids, strict=False)]
    columns = {"logprob": _rounded(completion.logprobs)}
    if read is not None and (read.asked_B is None or read.asked_B[place]):
        sampled = read.mask_BT[place].bool()
        columns |= {name: _rounded(tensor[place][sampled].tolist()) for name, tensor in read.columns.items()}
    return {"place": place, "pieces": pieces, **columns}


def _rounded(values: Any) -> list[float]:
    return [round(value, DIGITS) for value in values]
