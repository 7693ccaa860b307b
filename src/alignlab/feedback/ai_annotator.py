"""An AI judge that ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..records import Completion, Ranking

if TYPE_CHECKING:
    pass
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
        pairs = [
            (group[i], group[j])
            for _, group in items
            for i in range(len(group))
            for j in range(i + 1, len(group))
        ]
        labels = iter(self.judge.compare([a for a, _ in pairs], [b for _, b in pairs]))
        rankings = []
        for _, group in items:
            k = len(group)
            own = [next(labels) for _ in range(k * (k - 1) // 2)]
            unranked = Ranking(group[0].prompt, tuple(group), (1,) * k, self.name, {"labels": own})
            wins = [sum(unranked.label(i, j) or 0.0 for j in range(k) if j != i) for i in range(k)]
            ranks = tuple(1 + sum(other > mine + 1e-9 for other in wins) for mine in wins)
            rankings.append(
                Ranking(
                    group[0].prompt,
                    tuple(group),
                    ranks,
                    self.name,
                    {"labels": own, "constitution": self.judge.constitution.digest},
                )
            )
        return rankings
