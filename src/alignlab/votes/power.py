"""How sure a task's figures are, and what more votes would add.

Two figures are looked at, on what was asked by chance: `share`, how often the first answer of an item is
preferred (a tie counts half), as a win rate is; and `agreement`, how often two people say the same of a pair.
Intervals are over items: votes on one item are alike, and count for less than as many on items of their own.

    variance of a share = s^2 (1 + (m - 1) r) / N      N votes, m an item, r their correlation within an item
    1 + (m - 1) r is the design effect of the overlap (Kish 1965); r by analysis of variance (Donner 1986)
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ..evals.statistics import Z, mean_ci
from .figures import Said
from .items import BY_CHANCE

POINTS = (10, 5, 3, 2)
"""Half widths that people plan for, in percentage points."""
FEWEST = 30
"""Items with two votes from which on agreement is measured at all: before, a second vote tells more."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How values of N votes on K items are spread.

    Attributes:
        variance: of a single vote.
        overlap: votes an item, weighted as the correlation needs it (m0 of an analysis of variance).
        correlation: of two votes on an item, from 0 to 1; None where no item has two.
    """

    items: int
    votes: int
    variance: float
    overlap: float
    correlation: float | None

    @property
    def design_effect(self) -> float:
        """How many votes tell as much as one vote on an item of its own."""
        return 1 + (self.overlap - 1) * (self.correlation or 0.0)

    @property
    def fresh(self) -> float:
        """How many times as much a vote on a new item tells as one more on an item that has votes:
        (1 + (m - 1) r) / (1 - r), the ratio of the derivatives of the variance by N, with m or with K held.
        """
        r = min(self.correlation or 0.0, 0.99)
        return self.design_effect / (1 - r)


def spread(values: Sequence[Sequence[float]]) -> Spread:
    """Of the values of each item's votes."""
    groups = [np.asarray(each, dtype=float) for each in values if len(each)]
    sizes = np.array([len(each) for each in groups])
    n, k = int(sizes.sum()), len(groups)
    if n < 2:
        return Spread(k, n, 0.0, 1.0, None)
    everything = np.concatenate(groups)
    total = float(everything.var(ddof=1))
    if n == k:
        return Spread(k, n, total, 1.0, None)
    within = sum(float(((each - each.mean()) ** 2).sum()) for each in groups) / (n - k)
    if k == 1:
        return Spread(k, n, total, float(n), None)
    overlap = float((n - (sizes**2).sum() / n) / (k - 1))
    means = np.array([each.mean() for each in groups])
    between = float((sizes * (means - everything.mean()) ** 2).sum()) / (k - 1)
    whole = between + (overlap - 1) * within
    correlation = 0.0
    if whole > 0:
        correlation = min(1.0, max(0.0, (between - within) / whole))
    return Spread(k, n, (between - within) / overlap + within if overlap else total, overlap, correlation)


def votes_for(found: Spread, half: float) -> tuple[int, int]:
    """Votes that are still missing for an interval of plus and minus `half`: with as many an item as now, and
    each on an item of its own: z^2 s^2 D / h^2 - N, and z^2 s^2 / h^2 - N / D.
    """
    alone = Z * Z * found.variance / half**2
    more = alone * found.design_effect - found.votes
    apart = alone - found.votes / found.design_effect
    return max(0, math.ceil(more - 1e-9)), max(0, math.ceil(apart - 1e-9))


def power(votes: Sequence[Said]) -> dict[str, Any]:
    """How sure the figures of a task are, and what more votes would add.

    Returns:
        share: `Spread` as a dict, with `now` (S), `half` (of its interval), `design_effect`, `fresh`, and
        `needed`: for each of `POINTS` the votes missing as `same` and `apart` (`votes_for`). agreement: now
        (S), half, needed with `same` alone. next: "vote" or "item".
    """
    shares, agreed = _shares(votes), _agreed(votes)
    of_share, of_items = spread(shares), [float(np.mean(each)) for each in shares]
    now = mean_ci(of_items, share=True)
    alike = mean_ci([same for same, _ in agreed], share=True)
    paid = sum(count for _, count in agreed)
    return {
        "share": asdict(of_share)
        | {
            "now": now,
            "half": half_of(now),
            "design_effect": of_share.design_effect,
            "fresh": of_share.fresh,
            "needed": [_needed(of_share, points) for points in POINTS] if of_share.votes > 1 else [],
        },
        "agreement": {"now": alike, "half": half_of(alike), "needed": _more(alike, paid)},
        "next": better_next(votes),
    }


def half_of(found: dict[str, Any]) -> float | None:
    """Half of the width of an S."""
    return (found["ci"][1] - found["ci"][0]) / 2 if found["ci"] else None


def _needed(found: Spread, points: int) -> dict[str, int]:
    same, apart = votes_for(found, points / 100)
    return {"points": points, "same": same, "apart": apart}


def _more(found: dict[str, Any], votes: int) -> list[dict[str, int]]:
    """Votes missing for the interval of a mean over items: it goes by one over the root of their number."""
    half = half_of(found)
    if not half:
        return []
    return [
        {"points": points, "same": max(0, math.ceil(votes * ((100 * half / points) ** 2 - 1) - 1e-9))}
        for points in POINTS
    ]


def better_next(votes: Sequence[Said]) -> Literal["vote", "item"]:
    """Whether one more vote on an item that has one, or one more item: a vote until agreement is measured on
    `FEWEST` items, then an item, which always narrows a share more.
    """
    return "vote" if len(_agreed(votes)) < FEWEST and votes else "item"


def _shares(votes: Sequence[Said]) -> list[list[float]]:
    """Of each item, how far each vote is for its first answers: the share of pairs that the earlier one
    wins.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for said in votes:
        if said.why in BY_CHANCE and (signs := [sign for _, _, sign in said.pairs()]):
            values[said.item].append(sum(0.5 * (1 - sign) for sign in signs) / len(signs))
    return list(values.values())


def _agreed(votes: Sequence[Said]) -> list[tuple[float, int]]:
    """Of each item with two votes or more, the share of pairs of people who say the same of a pair of
    answers, and how many votes it has.
    """
    counts: dict[str, dict[tuple[int, int], Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    people: dict[str, set[str]] = defaultdict(set)
    for said in votes:
        if said.why in BY_CHANCE:
            for i, j, sign in said.pairs():
                counts[said.item][i, j][sign] += 1
                people[said.item].add(said.annotator)
    found = []
    for item, pairs in counts.items():
        shares = [
            sum(n * (n - 1) for n in signs.values()) / (signs.total() * (signs.total() - 1))
            for signs in pairs.values()
            if signs.total() > 1
        ]
        if shares:
            found.append((sum(shares) / len(shares), len(people[item])))
    return found
