"""Which completions of a step a person should look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..records import Completion, Score


def samples_of_step(
    completions: Sequence[Completion],
    proxy: Sequence[float],
    kl: Sequence[float] | None,
    truth: Sequence[Score],
) -> list[dict[str, Any]]:
    """Rows for samples.jsonl, a completion each in their order; `shown` are the best two by proxy and the
    worst, and up to three that mislead. `tokens` is how many were sampled.
    """
    misled = misleading(proxy, [score.value for score in truth])
    shown = {*best_and_worst(proxy), *misled[:3]}
    return [
        completion.to_json()
        | {
            "place": i,
            "shown": i in shown,
            "tokens": len(completion.ids),
            "proxy": proxy[i],
            "kl": kl[i] if kl else None,
            "gold": truth[i].value if truth else None,
            "reason": truth[i].reason if truth else "",
            "misleading": i in misled,
        }
        for i, completion in enumerate(completions)
    ]


def best_and_worst(proxy: Sequence[float]) -> list[int]:
    """The two best of a step by proxy, and the worst."""
    order = sorted(range(len(proxy)), key=lambda i: -proxy[i])
    return [*order[:2], order[-1]]


def misleading(proxy: Sequence[float], gold: Sequence[float]) -> list[int]:
    """Where the proxy is above the batch's mean and gold below it: what the judge likes and should not.
    Lowest gold first, then highest proxy.
    """
    if not gold:
        return []
    liked, right = mean(proxy), mean(gold)
    misled = [i for i in range(len(proxy)) if proxy[i] > liked and gold[i] < right]
    return sorted(misled, key=lambda i: (gold[i], -proxy[i]))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
