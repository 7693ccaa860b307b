"""Documents in rows: whole ones, nothing lost, nothing padded."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.rows import whole_rows
from alignlab.errors import DataError


def kept(length: int = 7):
    return ([-1, *[1000 + i] * (length - 1)] for i in count())


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.floats(0, 0.8), st.integers(20, 60))
def test_documents_stand_whole_and_in_order(lengths: list[int], keep: float, context: int):
    documents = [[0, *[i + 1] * (length - 1)] for i, length in enumerate(lengths)]
    rows = whole_rows(documents, kept(), tokens=600, context=context, keep=keep)
    assert rows.shape[1] == context + 1 and (len(rows) - 1) * context < 600 <= len(rows) * context
    read: list[int] = []
    for row in rows.tolist():
        own = row.index(-1) if -1 in row else len(row)
        assert all(i < 1000 for i in row[:own]) and all(i >= 1000 or i == -1 for i in row[own:])
        assert own == 0 or row[0] == 0
        read += row[:own]
    endless = [i for _ in range(1 + len(read)) for document in documents for i in document][: len(read)] if read else []
    assert read == endless
    if keep:
        assert sum(i >= 1000 or i == -1 for row in rows.tolist() for i in row) >= keep * (rows.numel() - (context + 1))


def test_what_cannot_be_is_said():
    for documents, keep, stream in (([], 0.1, kept()), ([[1, 2]], 1.0, kept()), ([[1] * 12], 0.0, kept()), ([[1] * 7], 0.0, iter([[1, 2]]))):
        with pytest.raises(DataError):
            whole_rows(documents, stream, tokens=100, context=10, keep=keep)
