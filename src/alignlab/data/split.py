"""Held-out data: split by prompt, never by row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeVar

from ..errors import ConfigError
from ..records import Record, Text, prompt_in

R = TypeVar("R", bound=Record)


def by_prompt(records: Iterable[R], held_out: float, seed: int) -> tuple[list[R], list[R]]:
    """Records in two parts, train and test, so that no prompt is in both.

    The side depends on the seed and the prompt's messages alone: not on the order, nor on what else is in the
    data. With one seed a prompt that is held out of the rankings is held out of the demonstrations too. A
    document is split by its text.

    Args:
        held_out: expected share of the prompts that goes to test, 0 <= held_out < 1. Small data can miss it
            by a prompt or two.
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


def _draw(record: Record, seed: int) -> float:
    """A number in [0, 1) that belongs to the record's prompt."""
    key = record.text if isinstance(record, Text) else prompt_in(record).id
    return int.from_bytes(hashlib.sha256(f"split\x1f{seed}\x1f{key}".encode()).digest()[:8]) / 2**64
