"""How far a text says the same again."""

from __future__ import annotations


def repetition(text: str, n: int = 3) -> float:
    """seq-rep-n: 1 - different n-grams / n-grams, over words (Welleck et al. 2020, equation 10). 0 for a text
    of fewer than n + 1 words.
    """
    words = text.lower().split()
    count = len(words) - n + 1
    if count < 2:
        return 0.0
    return 1 - len({tuple(words[i : i + n]) for i in range(count)}) / count
