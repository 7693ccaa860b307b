"""Documents in rows: whole ones, none left out, nothing padded."""

from __future__ import annotations

import math
from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.packing import AHEAD, whole_rows
from alignlab.errors import DataError
from alignlab.models.chat import Rendered


def kept(length: int = 7):
    return (Rendered([-1, *[1000 + i] * (length - 1)], [1] * length) for i in count())


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.floats(0, 0.8), st.integers(20, 60))
def test_documents_stand_whole_and_nearly_in_order(lengths: list[int], keep: float, context: int):
    documents = [Rendered([0, *[i + 1] * length], [0, *[1] * length]) for i, length in enumerate(lengths)]
    rows, learnt = whole_rows(documents, kept(), tokens=900, context=context, keep=keep)
    assert (
        rows.shape == learnt.shape == (len(rows), context + 1)
        and (len(rows) - 1) * context < 900 <= len(rows) * context
    )
    seen: list[int] = []
    for row, mask in zip(rows.tolist(), learnt.tolist(), strict=True):
        own = row.index(-1) if -1 in row else len(row)
        assert (
            all(i < 1000 for i in row[:own])
            and all(i >= 1000 or i == -1 for i in row[own:])
            and (own == 0 or row[0] == 0)
        )
        assert mask == [i != 0 for i in row]
        starts = [k for k in range(own) if row[k] == 0] + [own]
        for since, to in zip(
            starts, starts[1:], strict=False
        ):  # each document whole, with nothing of another in it
            assert len(set(row[since + 1 : to])) == 1 and to - since == lengths[row[since + 1] - 1] + 1
            seen.append(row[since + 1] - 1)
    # those that wait for a place are few, so that none is read more often than the rounds begun allow
    assert not seen or (
        max(Counter(seen).values()) <= math.ceil((len(seen) + AHEAD) / len(lengths)) and seen[0] == 0
    )
    if keep:
        assert sum(i >= 1000 or i == -1 for row in rows.tolist() for i in row) >= keep * (
            rows.numel() - (context + 1)
        )


def test_what_cannot_be_is_said():
    def of(length: int) -> Rendered:
        return Rendered([1] * length, [1] * length)

    for documents, keep, stream in (
        ([], 0.1, kept()),
        ([of(2)], 1.0, kept()),
        ([of(12)], 0.0, kept()),
        ([of(7)], 0.0, iter([of(2)])),
    ):
        with pytest.raises(DataError):
            whole_rows(documents, stream, tokens=100, context=10, keep=keep)
