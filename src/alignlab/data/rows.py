"""Documents as rows of token ids for language modelling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError


def whole_rows(documents: Sequence[Sequence[int]], kept: Iterable[Sequence[int]], *, tokens: int, context: int, keep: float = 0.0) -> Tensor:
    """Rows (N, context + 1) in which documents stand whole, one after the other; what is left of a row is filled from `kept`, cut at its end.

    Nothing that matters is torn from its beginning, and no padding is learnt. Rows of `kept` alone stand among the others, as many as its share needs.

    Args:
        documents: token ids, each opened by the token between documents. Read over and over, in their order, until there are `tokens`.
        kept: more documents, enough of them.
        keep: share of all tokens that comes from `kept`, at least.

    Raises:
        DataError: no document, or one that is longer than a row.
    """
    if not documents or not 0 <= keep < 1:
        raise DataError(f"{len(documents)} documents and a share to keep of {keep}", remedy="at least one document, and a share from 0 up to 1")
    width, stream = context + 1, iter(kept)
    if (longest := max(map(len, documents))) > width:
        raise DataError(f"a document of {longest} tokens is longer than a row of {context}", remedy=f"--context {longest}, or shorter documents")
    rows: list[np.ndarray] = []
    place = from_kept = 0
    while len(rows) * context < tokens:
        row: list[int] = []
        if from_kept >= keep * (len(rows) + 1) * width:
            while len(row) + len(document := documents[place % len(documents)]) <= width:
                row += document
                place += 1
        own = len(row)
        while len(row) < width:
            row += _next(stream)
        rows.append(np.array(row[:width], dtype=np.int32))
        from_kept += width - own
    return torch.from_numpy(np.stack(rows)).long()


def _next(stream: Iterator[Sequence[int]]) -> Sequence[int]:
    for document in stream:
        return document
    raise DataError("the documents to be kept are used up", remedy="more of them, or fewer tokens")
