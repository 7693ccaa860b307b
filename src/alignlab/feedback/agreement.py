"""How far annotators agree beyond chance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np

Level = Literal["nominal", "ordinal", "interval"]
Weights = Literal["nominal", "linear", "quadratic"]


def cohen_kappa(a: Sequence[Hashable], b: Sequence[Hashable], *, weights: Weights = "nominal") -> float:
    """Two annotators: (p_o - p_e) / (1 - p_e), p_e from each one's own label shares (Cohen 1960). 1 if both
    use one label only.

    Args:
        weights: nominal, or for labels that are numbers linear or quadratic: two that are nearer agree more
            (Cohen 1968).
    """
    table, labels = _table(a, b)
    return float(kappa_of(table, weights_of(labels, weights)))


def kappa_of(tables: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Cohen's kappa of tables (..., C, C) that say how often the one rater chose the row where the other
    chose the column; nan for an empty one.

    Args:
        weights: (C, C) how far two labels agree, from 0 to 1; None = only equal ones do.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = tables / tables.sum((-1, -2), keepdims=True)
        first, second = shares.sum(-1), shares.sum(-2)
        if weights is None:
            observed = shares.trace(axis1=-1, axis2=-2)
            expected = (first * second).sum(-1)
        else:
            observed = (shares * weights).sum((-1, -2))
            expected = (first[..., :, None] * second[..., None, :] * weights).sum((-1, -2))
        return np.where(expected == 1, 1.0, (observed - expected) / (1 - expected))


def weights_of(labels: Sequence[Any], weights: Weights) -> np.ndarray | None:
    """(C, C) how far labels agree; of one that is nominal, None."""
    if weights == "nominal":
        return None
    numbers = np.array(labels, dtype=float)
    apart = np.abs(numbers[:, None] - numbers) / (np.ptp(numbers) or 1.0)
    return 1 - (apart if weights == "linear" else apart**2)


def table_of(a: np.ndarray, b: np.ndarray, labels: int) -> np.ndarray:
    """(C, C) how often the raters chose these two of `labels` labels, which are given by their number."""
    return np.bincount(a * labels + b, minlength=labels * labels).reshape(labels, labels)


def gwet_ac1(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """`ac1_of` for two annotators who label the same items."""
    table, labels = _table(a, b)
    pairs = np.argwhere(table)
    counts = np.eye(len(labels))[pairs].sum(1)
    return float(ac1_of((ac1_parts(counts) * table[tuple(pairs.T)][:, None]).sum(0)))


def ac1_parts(counts_UC: np.ndarray) -> np.ndarray:
    """(U, C + 3) what `ac1_of` sums over units: the share of pairs of raters who agree and 1, for a unit of
    two ratings or more; 1 and the share of each label, for one of any.

    Args:
        counts_UC: how many raters gave a unit which label.
    """
    counts = np.asarray(counts_UC, dtype=float)
    raters = counts.sum(1)
    several, some = raters > 1, raters > 0
    agreed = (counts * (counts - 1)).sum(1) / np.maximum(raters * (raters - 1), 1)
    shares = counts / np.maximum(raters, 1)[:, None]
    return np.column_stack([agreed * several, several, some, shares])


def ac1_of(parts: np.ndarray) -> np.ndarray:
    """Gwet's AC1 of summed parts (..., C + 3): any number of annotators, gaps allowed, with a chance term
    that stays sane when one label dominates (Gwet 2008, and 2014 for gaps).

    p_a is a mean over units of two ratings or more, the labels' shares pi over units of any; p_e =
    sum pi (1 - pi) / (C - 1). 1 of a single label, nan without a pair of ratings.
    """
    labels = parts.shape[-1] - 3
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = parts[..., 0] / parts[..., 1]
        if labels < 2:
            return np.where(np.isnan(observed), np.nan, 1.0)
        used = parts[..., 3:] / parts[..., 2:3]
        expected = (used * (1 - used)).sum(-1) / (labels - 1)
        return (observed - expected) / (1 - expected)


def _table(a: Sequence[Hashable], b: Sequence[Hashable]) -> tuple[np.ndarray, list[Any]]:
    """(C, C) of the labels that the two use, and which those are."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} labels and {len(b)}: two annotators label the same items")
    labels = sorted({*a, *b}, key=str)
    number = {label: i for i, label in enumerate(labels)}
    rows = np.array([number[label] for label in a], dtype=int)
    columns = np.array([number[label] for label in b], dtype=int)
    return table_of(rows, columns, len(labels)), labels


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


def krippendorff_alpha(ratings: Sequence[Sequence[float | None]], *, level: Level = "nominal") -> float:
    """Any number of annotators, missing ratings allowed: 1 - D_observed / D_expected (Krippendorff 2011). A
    unit with a single rating counts for nothing, not even for which labels there are.

    Args:
        ratings: a row per annotator, a column per item, None where missing.
        level: how two values differ.
    """
    values = sorted({value for row in ratings for value in row if value is not None})
    counts = np.zeros((len(ratings[0]), len(values)))
    for row in ratings:
        for unit, value in enumerate(row):
            if value is not None:
                counts[unit, values.index(value)] += 1
    return float(alpha_of(coincidences(counts).sum(0), values, level=level))


def coincidences(counts_UC: np.ndarray) -> np.ndarray:
    """(U, C, C) how often the raters of a unit chose these two labels, each pair of m ratings counted
    1 / (m - 1); nothing of a unit with a single rating.

    Args:
        counts_UC: how many raters gave a unit which label.
    """
    counts = np.asarray(counts_UC, dtype=float)
    raters = counts.sum(1)
    pairs = counts[:, :, None] * counts[:, None, :] - np.eye(counts.shape[1]) * counts[:, None, :]
    return pairs / np.maximum(raters - 1, 1)[:, None, None] * (raters > 1)[:, None, None]


def alpha_of(coincidence: np.ndarray, values: Sequence[float], *, level: Level = "nominal") -> np.ndarray:
    """Krippendorff's alpha of summed coincidences (..., C, C) of values in ascending order. 1 if all agree,
    and if only one value occurs; nan without a pair of ratings.
    """
    totals = coincidence.sum(-1)
    if level == "nominal":
        distance = 1 - np.eye(len(values))
    elif level == "interval":
        numbers = np.array(values, dtype=float)
        distance = (numbers[:, None] - numbers) ** 2
    else:
        middle = totals.cumsum(-1) - totals / 2  # of each value, among all ratings in their order
        distance = (middle[..., :, None] - middle[..., None, :]) ** 2
    count = totals.sum(-1)
    observed = (coincidence * distance).sum((-1, -2))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = (totals[..., :, None] * totals[..., None, :] * distance).sum((-1, -2)) / (count - 1)
        alpha = np.where(expected == 0, 1.0, 1 - observed / expected)
    return np.where(count == 0, np.nan, alpha)
