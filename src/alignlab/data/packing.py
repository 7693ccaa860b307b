"""Documents as rows of token ids for language modelling."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..models.chat import Rendered

AHEAD = 64  # documents among which the one that fits what is left of a row is looked for


def whole_rows(
    documents: Sequence[Rendered], kept: Iterable[Rendered], *, tokens: int, context: int, keep: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Rows (N, context + 1) in which documents stand whole, and of the same shape the weights of the tokens
    in the loss. What is left of a row is filled from `kept`, cut.

    Nothing that matters is torn from its beginning, and no padding is learnt. Rows of `kept` alone stand
    among the others, as many as its share needs.

    Args:
        documents: each opened by the token between documents. Read over and over, nearly in their order,
            until there are `tokens`.
        kept: more documents, enough of them.
        keep: share of all tokens that comes from `kept`, at least.

    Raises:
        DataError: no document, one that is longer than a row, or too few to be kept.
    """
    if not documents or not 0 <= keep < 1:
        raise DataError(
            f"{len(documents)} documents and a share to keep of {keep}",
            remedy="at least one document, and a share from 0 up to 1",
        )
    width, stream = context + 1, iter(kept)
    if (longest := max(len(d.ids) for d in documents)) > width:
        raise DataError(
            f"a document of {longest} tokens is longer than a row of {context}",
            remedy=f"--context {longest}, or shorter documents",
        )
    ids, weights = [], []
    waiting: deque[Rendered] = deque()
    from_kept = place = 0
    while len(ids) * context < tokens:
        row: list[int] = []
        mask: list[int] = []
        while from_kept >= keep * (len(ids) + 1) * width:
            while len(waiting) < AHEAD:
                waiting.append(documents[place % len(documents)])
                place += 1
            fits = next((d for d in waiting if len(row) + len(d.ids) <= width), None)
            if fits is None:
                break
            waiting.remove(fits)
            row, mask = row + fits.ids, mask + fits.loss_mask
        own = len(row)
        while len(row) < width:
            if (filler := next(stream, None)) is None:
                raise DataError(
                    "the documents to be kept are used up", remedy="more of them, or fewer tokens"
                )
            row, mask = row + filler.ids, mask + filler.loss_mask
        ids.append(np.array(row[:width], dtype=np.int32))
        weights.append(np.array(mask[:width], dtype=np.uint8))
        from_kept += width - own
    return torch.from_numpy(np.stack(ids)).long(), torch.from_numpy(np.stack(weights))
