"""How far annotators agree beyond chance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain, permutations
from typing import Literal

import numpy as np


def cohen_kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Two annotators, nominal labels: (p_o - p_e) / (1 - p_e), p_e from each one's own label shares (Cohen
    1960). 1 if both use one label only.
    """
    return float(kappa_of(_table(a, b)))


def kappa_of(tables: np.ndarray) -> np.ndarray:
    """Cohen's kappa of tables (..., C, C) that say how often the one rater chose the row where the other
    chose the column; nan for an empty one.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = tables / tables.sum((-1, -2), keepdims=True)
        observed = shares.trace(axis1=-1, axis2=-2)
        expected = (shares.sum(-1) * shares.sum(-2)).sum(-1)
        return np.where(expected == 1, 1.0, (observed - expected) / (1 - expected))


def table_of(a: np.ndarray, b: np.ndarray, labels: int) -> np.ndarray:
    """(C, C) how often the raters chose these two of `labels` labels, which are given by their number."""
    return np.bincount(a * labels + b, minlength=labels * labels).reshape(labels, labels)


def gwet_ac1(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Two annotators, nominal labels, with a chance term that stays sane when one label dominates (Gwet
    2008).
    """
    shares = _table(a, b) / len(a)
    if len(shares) == 1:
        return 1.0
    used = (shares.sum(0) + shares.sum(1)) / 2
    observed, expected = shares.trace(), (used * (1 - used)).sum() / (len(shares) - 1)
    return float((observed - expected) / (1 - expected))


def _table(a: Sequence[Hashable], b: Sequence[Hashable]) -> np.ndarray:
    """(C, C) of the labels that the two use."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} labels and {len(b)}: two annotators label the same items")
    number = {label: i for i, label in enumerate(sorted({*a, *b}, key=str))}
    rows = np.array([number[label] for label in a], dtype=int)
    columns = np.array([number[label] for label in b], dtype=int)
    return table_of(rows, columns, len(number))


def fleiss_kappa(counts_NC: Sequence[Sequence[int]]) -> float:
    """n annotators per item, N items, C categories; counts_NC says how many chose which (Fleiss 1971)."""
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
        ratings: a row per annotator, a column per item, None where missing.
        level: how two values differ.
    """
    units: list[list[float]] = []
    for item in zip(*ratings, strict=True):
        unit = [value for value in item if value is not None]
        if len(unit) > 1:
            units.append(unit)
    values = sorted(set(chain.from_iterable(units)))
    place = {value: i for i, value in enumerate(values)}
    coincidence = np.zeros((len(values), len(values)))
    for unit in units:
        for x, y in permutations(unit, 2):
            coincidence[place[x], place[y]] += 1 / (len(unit) - 1)
    totals = coincidence.sum(1)
    if level == "nominal":
        distance = 1 - np.eye(len(values))
    elif level == "interval":
        numbers = np.array(values, dtype=float)
        distance = (numbers[:, None] - numbers) ** 2
    else:
        middle = totals.cumsum() - totals / 2  # of each value, among all ratings in their order
        distance = (middle[:, None] - middle) ** 2
    observed = (coincidence * distance).sum()
    expected = (np.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    return 1.0 if expected == 0 else float(1 - observed / expected)
