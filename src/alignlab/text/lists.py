"""Lists as options write them, and lists taken a piece at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def by_comma(text: str) -> list[str]:
    """The words of a list with commas, in order; blanks around a word, and empty words, are nobody's."""
    return [word.strip() for word in text.split(",") if word.strip()]


def pieces(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """The items, `size` at a time; the last piece may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]
