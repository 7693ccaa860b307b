"""An AI judge that ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import Any

from ..records import Completion, Ranking
from .ai import AIJudge


class AIAnnotator:
    """An AI judge that ranks: by how often, in the mean, each completion is preferred to the others. The
    labels of all pairs lie in `meta["labels"]`.
    """

    def __init__(self, judge: AIJudge) -> None:
        self.judge, self.name = judge, judge.name

    def rank(self, index: int, completions: Sequence[Completion]) -> Ranking:
        return self.rank_all([(index, completions)])[0]

    def rank_all(self, items: Sequence[tuple[int, Sequence[Completion]]]) -> list[Ranking]:
        """Several prompts at a time, each with its completions: all their pairs are put before the judge at
        once.
        """
        first: list[Completion] = []
        second: list[Completion] = []
        for _, group in items:
            for a, b in combinations(group, 2):
                first.append(a)
                second.append(b)
        labels = iter(self.judge.compare(first, second))
        return [self._ranking(group, labels) for _, group in items]

    def _ranking(self, group: Sequence[Completion], labels: Iterator[float]) -> Ranking:
        """The ranking of a group, whose labels are the next that there are."""
        k = len(group)
        meta: dict[str, Any] = {"labels": list(islice(labels, k * (k - 1) // 2))}
        unranked = Ranking(group[0].prompt, tuple(group), (1,) * k, self.name, dict(meta))
        wins = []
        for i in range(k):
            wins.append(sum(unranked.label(i, j) or 0.0 for j in range(k) if j != i))
        ranks = tuple(1 + sum(other > own + 1e-9 for other in wins) for own in wins)
        meta["constitution"] = self.judge.constitution.digest
        return Ranking(group[0].prompt, tuple(group), ranks, self.name, meta)
