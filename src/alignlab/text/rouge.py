"""How much two texts have in common: ROUGE-L (Lin 2004), and a pool of texts that finds near-duplicates by
it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def words(text: str) -> list[str]:
    """Words in small letters, without punctuation."""
    return re.findall(r"\w+", text.lower())


def rouge_l(a: str, b: str) -> float:
    """F measure (beta 1) of the longest common subsequence of words: 2 LCS(a, b) / (|a| + |b|) (Lin 2004,
    equations 2 to 4). 0 if either has none.
    """
    first, second = words(a), words(b)
    return 2 * common_subsequence(_places(first), len(first), second) / max(1, len(first) + len(second))


class Pool:
    """Texts to which new ones are compared."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts: list[list[str]] = [words(text) for text in texts]

    def add(self, text: str) -> None:
        self.texts.append(words(text))

    def nearest(self, text: str) -> float:
        """The largest ROUGE-L with any text of the pool; 0 if there is none."""
        asked = words(text)
        places, best = _places(asked), 0.0
        for other in self.texts:
            total = len(asked) + len(other)
            if (
                total and 2 * min(len(asked), len(other)) / total > best
            ):  # no pair of these lengths could have less than this bound
                best = max(best, 2 * common_subsequence(places, len(asked), other) / total)
        return best


def common_subsequence(places: dict[str, int], length: int, other: Sequence[str]) -> int:
    """Length of the longest common subsequence of a sequence, given by the places of its words as bits, and
    another.

    A whole row of the table at a time, as the bits of one integer (Hyyro 2004): a zero bit is a step of the
    row.
    """
    row = mask = (1 << length) - 1
    for word in other:
        hit = row & places.get(word, 0)
        row = ((row + hit) | (row - hit)) & mask
    return length - row.bit_count()


def _places(sequence: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for i, word in enumerate(sequence):
        places[word] = places.get(word, 0) | 1 << i
    return places
