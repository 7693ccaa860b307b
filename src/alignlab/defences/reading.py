"""How a filter reads a text: how harmful its words look, how unlikely its tokens are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..models.chat import text_ids
from ..text.rouge import words


class Words:
    """Naive Bayes on words and pairs of words, harmful against harmless (Laplace smoothing, equal priors):
    what a filter of a thousand examples can be.
    """

    def __init__(self, harmful: Sequence[str], harmless: Sequence[str]) -> None:
        self.harmful, self.harmless = count_grams(harmful), count_grams(harmless)
        self.size = len(self.harmful | self.harmless)
        self.totals = self.harmful.total() + self.size, self.harmless.total() + self.size
        odds = sorted(map(self, harmless))  # one in a hundred of the harmless texts it knows is above:
        self.threshold = max(0.0, odds[int(0.99 * len(odds))]) if odds else 0.0

    def __call__(self, text: str) -> float:
        """Log odds that a text is harmful; grams that were never seen say nothing."""
        harmful, harmless = self.totals
        odds = 0.0
        for gram in sorted(grams(text)):
            if gram in self.harmful or gram in self.harmless:
                odds += math.log((self.harmful[gram] + 1) / harmful)
                odds -= math.log((self.harmless[gram] + 1) / harmless)
        return odds

    def above(self, text: str) -> bool:
        """Whether the text looks harmful."""
        return self(text) > self.threshold


def grams(text: str) -> set[str]:
    """Words, and words that stand side by side."""
    single = words(text)
    return {*single, *map(" ".join, pairwise(single))}


def count_grams(texts: Sequence[str]) -> Counter[str]:
    """In how many of the texts each of the grams stands."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(grams(text))
    return counts


# tokens of a stretch: a suffix of twenty random tokens holds two whole ones, a rare name does not fill one
WINDOW = 8


def windowed_surprise(
    model: Any, tokenizer: Any, texts: Sequence[str], *, context: int, window: int = WINDOW
) -> list[float]:
    """For each text the highest mean negative log-probability, in nats per token, of `window` tokens in a
    row; of all its tokens if it has fewer, 0 if none.

    Each text is read as a document that begins there; one that is longer than the model's context is read in
    pieces.
    """
    from ..models.likelihood import likelihoods

    pieces, owners = [], []
    for place, text in enumerate(texts):
        ids = text_ids(tokenizer, text.encode("utf-8", "replace").decode())
        # a piece begins with the last token of the one before: nothing predicts its first
        for start in range(0, len(ids) - 1, context - 1):
            pieces.append(ids[start : start + context])
            owners.append(place)
    worst = [0.0] * len(texts)
    for place, row in zip(owners, likelihoods(model, pieces), strict=True):
        surprises = np.array([-value for value in row.logprobs if value is not None])
        sums = np.cumsum(np.concatenate(([0.0], surprises)))
        width = min(window, len(surprises))
        worst[place] = max(worst[place], float((sums[width:] - sums[:-width]).max() / width))
    return worst
