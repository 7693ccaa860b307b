"""Held-out data: split by question, never by row or by letters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeVar

from ..errors import ConfigError
from ..records import Record, Text, prompt_in, question

R = TypeVar("R", bound=Record)


def by_question(records: Iterable[R], held_out: float, seed: int) -> tuple[list[R], list[R]]:
    """Records in two parts, train and test, so that no question (`records.question`) is in both, in whatever
    words it is asked.

    The side depends on the seed and the question alone: not on the order, nor on what else is in the data.
    With one seed a question that is held out of the rankings is held out of the demonstrations too. A
    document is split by its text.

    Args:
        held_out: expected share of the questions that goes to test, 0 <= held_out < 1. Small data can miss
            it by a question or two, and the share of the records by more: some questions are asked often.
    """
    if not 0 <= held_out < 1:
        raise ConfigError(f"held_out is {held_out}", remedy="give a share from 0 up to, but not including, 1")
    train: list[R] = []
    test: list[R] = []
    for record in records:
        if _draw(record, seed) < held_out:
            test.append(record)
        else:
            train.append(record)
    return train, test


def in_folds(records: Iterable[R], folds: int, seed: int) -> list[list[R]]:
    """Records in so many parts of about as many questions, no question in two of them: each part can be
    tested by what was learnt from the others. Within a part the order stays.
    """
    given = list(records)
    drawn = sorted({_draw(record, seed) for record in given})
    of = {draw: place % folds for place, draw in enumerate(drawn)}
    return [[record for record in given if of[_draw(record, seed)] == fold] for fold in range(folds)]


def _draw(record: Record, seed: int) -> float:
    """A number in [0, 1) that belongs to what the record asks."""
    key = record.text if isinstance(record, Text) else question(prompt_in(record))
    return int.from_bytes(hashlib.sha256(f"split\x1f{seed}\x1f{key}".encode()).digest()[:8]) / 2**64
