"""Feedback: whoever says how good a completion is stands behind two verbs, `score` and `compare`. A loop
cannot tell which it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from ..records import Completion, Score


class Judge(Protocol):
    """A human, a simulated annotator, a reward model, an AI judge, a rule or a gold judge."""

    name: str

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score per completion; higher is better."""
        ...

    def compare(self, first: Sequence[Completion], second: Sequence[Completion]) -> list[float]:
        """For each pair the probability that the first is preferred; 0.5 is a tie."""
        ...


class ScoreJudge:
    """A judge that compares by score: P(first preferred) = sigmoid((score_1 - score_2) / temperature)."""

    temperature = 1.0
    logged: tuple[str, ...] = ()  # parts whose means a loop logs as judge/NAME

    def __init__(self, name: str) -> None:
        self.name = name

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        raise NotImplementedError

    def compare(self, first: Sequence[Completion], second: Sequence[Completion]) -> list[float]:
        pairs = zip(self.score(first), self.score(second), strict=True)
        return [sigmoid((a.value - b.value) / self.temperature) for a, b in pairs]


class RuleJudge(ScoreJudge):
    """A rule: any function from a completion to a number or a `Score`."""

    def __init__(self, name: str, rule: Callable[[Completion], float | Score]) -> None:
        super().__init__(name)
        self.rule = rule

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        scores = []
        for completion in completions:
            value = self.rule(completion)
            scores.append(value if isinstance(value, Score) else Score(float(value)))
        return scores


def values_of(judge: Judge, completions: Sequence[Completion]) -> list[float]:
    """The judge's scores as numbers, one per completion."""
    return [score.value for score in judge.score(completions)]


def part_means(judge: Judge, scores: Sequence[Score]) -> dict[str, float]:
    """`judge/NAME`, the means of the parts that the judge wants logged: an ensemble's `spread`."""
    means = {}
    for part in getattr(judge, "logged", ()):
        means[f"judge/{part}"] = sum(score.parts[part] for score in scores) / len(scores)
    return means


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else 1 - 1 / (1 + math.exp(x))
