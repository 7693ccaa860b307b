"""How far annotators agree beyond chance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np


def cohen_kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Two annotators, nominal labels: (p_o - p_e) / (1 - p_e), p_e from each one's own label shares (Cohen
    1960). 1 if both use one label only.
    """
    labels = sorted({*a, *b}, key=str)
    observed = float(np.mean([x == y for x, y in zip(a, b, strict=True)]))
    expected = sum(
        (sum(x == label for x in a) / len(a)) * (sum(y == label for y in b) / len(b)) for label in labels
    )
    return 1.0 if expected == 1 else (observed - expected) / (1 - expected)


def gwet_ac1(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Two annotators, nominal labels, with a chance term that stays sane when one label dominates (Gwet
    2008).
    """
    labels = sorted({*a, *b}, key=str)
    observed = float(np.mean([x == y for x, y in zip(a, b, strict=True)]))
    if len(labels) == 1:
        return 1.0
    shares = [(sum(x == label for x in a) + sum(y == label for y in b)) / (2 * len(a)) for label in labels]
    expected = sum(p * (1 - p) for p in shares) / (len(labels) - 1)
    return (observed - expected) / (1 - expected)


def fleiss_kappa(counts_NC: Sequence[Sequence[int]]) -> float:
    """n annotators an item, N items, C categories; counts_NC says how many chose which (Fleiss 1971)."""
    counts = np.asarray(counts_NC, dtype=float)
    raters = counts.sum(1)
    if not np.all(raters == raters[0]) or raters[0] < 2:
        raise ValueError("every item needs the same number of ratings, at least 2")
    n = raters[0]
    observed = float(np.mean(((counts**2).sum(1) - n) / (n * (n - 1))))
    expected = float(((counts.sum(0) / counts.sum()) ** 2).sum())
    return 1.0 if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(
    ratings: Sequence[Sequence[float | None]], *, level: Literal["nominal", "ordinal", "interval"] = "nominal"
) -> float:
    """Any number of annotators, missing ratings allowed: 1 - D_observed / D_expected (Krippendorff 2011).

    Args:
        ratings: a row an annotator, a column an item, None where missing.
        level: how two values differ.
    """
    units = [[row[i] for row in ratings if row[i] is not None] for i in range(len(ratings[0]))]
    units = [unit for unit in units if len(unit) > 1]
    values = sorted({value for unit in units for value in unit})  # type: ignore[type-var]
    place = {value: i for i, value in enumerate(values)}
    coincidence = np.zeros((len(values), len(values)))
    for unit in units:
        for i, x in enumerate(unit):
            for j, y in enumerate(unit):
                if i != j:
                    coincidence[place[x], place[y]] += 1 / (len(unit) - 1)
    totals = coincidence.sum(1)
    distance = np.zeros_like(coincidence)
    for i in range(len(values)):
        for j in range(len(values)):
            if level == "nominal":
                distance[i, j] = float(i != j)
            elif level == "interval":
                distance[i, j] = (float(values[i]) - float(values[j])) ** 2  # type: ignore[arg-type]
            else:
                low, high = min(i, j), max(i, j)
                distance[i, j] = (
                    (totals[low : high + 1].sum() - (totals[low] + totals[high]) / 2) ** 2 if i != j else 0.0
                )
    observed = (coincidence * distance).sum()
    expected = (np.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    return 1.0 if expected == 0 else float(1 - observed / expected)
