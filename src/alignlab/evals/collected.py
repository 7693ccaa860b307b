"""What was collected, and how good its labels are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, islice
from typing import Any

from ..feedback import Judge, values_of
from ..records import Completion, Ranking
from .statistics import mean_by_prompt


def summarize(
    train: Sequence[Ranking], test: Sequence[Ranking], annotator: Any, gold: Judge | None
) -> dict[str, Any]:
    """Counts of rankings to learn from and held out, and how good their labels are.

    Args:
        annotator: whose ceiling is stated, if it knows one (`ceiling`).
        gold: a judge that knows the truth; None = nobody does.
    """
    everything = [*train, *test]
    completions: list[Completion] = []
    pairs = with_ties = 0
    for ranking in everything:
        completions += ranking.completions
        pairs += len(ranking.comparisons())
        with_ties += len(ranking.comparisons(ties=True))
    summary: dict[str, Any] = {
        "rankings": len(everything),
        "test": len(test),
        "pairs": pairs,
        "ties": with_ties - pairs,
        "sources": dict(Counter(completion.source for completion in completions)),
    }
    if ceiling := getattr(annotator, "ceiling", None):
        for name, rankings in (("ceiling_train", train), ("ceiling_test", test)):
            if not math.isnan(value := ceiling(rankings)):  # nan: no pair to be right about
                summary[name] = value
    if gold:
        values = iter(values_of(gold, completions))
        agree: list[float] = []
        prompts: list[str] = []
        for ranking in everything:
            same_way = agreements(list(islice(values, len(ranking.ranks))), ranking.ranks)
            agree += same_way
            prompts += [ranking.prompt.id] * len(same_way)
        summary["agreement_with_gold"] = mean_by_prompt(agree, prompts, share=True)
    return summary


def agreements(values: Sequence[float], ranks: Sequence[int]) -> list[float]:
    """For each pair that both the values and the ranks tell apart: 1 if they favor the same one, else 0."""
    same_way: list[float] = []
    for (a, rank_a), (b, rank_b) in combinations(zip(values, ranks, strict=True), 2):
        if rank_a != rank_b and a != b:
            same_way.append(float((a - b) * (rank_b - rank_a) > 0))
    return same_way
