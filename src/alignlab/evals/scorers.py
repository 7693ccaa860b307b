"""How far a scorer can be trusted: its card against human labels, and rates corrected for its measured
errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ..feedback.agreement import cohen_kappa, kappa_of
from .statistics import Z, mean_over, wilson


def scorer_card(
    verdicts: Sequence[bool | None], truth: Sequence[bool], *, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """What a scorer says against what people say, yes or no, each figure as S = {"mean", "ci", "n"}.

    A row on which the scorer failed (None) is unscored: it counts as wrong in accuracy and is counted by
    itself; the other figures are over the rows that have a score. Shares have Wilson intervals, kappa and F1
    a bootstrap over rows.

    Returns: `n`, `unscored`, `accuracy`, `precision`, `recall` (= sensitivity), `specificity`, `f1`, `kappa`,
        and the four `counts`.
    """
    if len(verdicts) != len(truth):
        raise ValueError(f"{len(verdicts)} verdicts and {len(truth)} labels")
    pairs = [(bool(v), bool(t)) for v, t in zip(verdicts, truth, strict=True) if v is not None]
    tp, fp = pairs.count((True, True)), pairs.count((True, False))
    fn, tn = pairs.count((False, True)), pairs.count((False, False))
    cells = np.array([tp, fp, fn, tn])
    card: dict[str, Any] = {
        "n": len(truth),
        "unscored": len(truth) - len(pairs),
        "counts": {"tp": tp, "fp": fp, "fn": fn, "tn": tn},
        "accuracy": _share(tp + tn, len(truth)),
        "precision": _share(tp, tp + fp),
        "recall": _share(tp, tp + fn),
        "specificity": _share(tn, tn + fp),
    }
    for name, of in (("f1", _f1), ("kappa", _kappa)):
        card[name] = _bootstrapped(of, cells, seed, draws)
    return card


def _share(k: int, n: int) -> dict[str, Any]:
    if n == 0:
        return {"mean": None, "ci": None, "n": 0}
    return {"mean": k / n, "ci": list(wilson(k, n)), "n": n}


def _bootstrapped(
    of: Callable[[np.ndarray], np.ndarray], cells: np.ndarray, seed: int, draws: int
) -> dict[str, Any]:
    """S of a figure of the four counts, None where it means nothing; drawn counts of which it means nothing
    are left out.
    """
    n = int(cells.sum())
    row: dict[str, Any] = {"mean": None, "ci": None, "n": n}
    if n == 0:
        return row
    samples = np.random.default_rng(seed).multinomial(n, cells / n, size=draws)
    drawn = of(samples.astype(float))
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn):
        row["ci"] = np.quantile(drawn, (0.025, 0.975)).tolist()
    value = float(of(cells[None].astype(float))[0])
    if math.isfinite(value):
        row["mean"] = value
    return row


def _kappa(cells: np.ndarray) -> np.ndarray:
    return kappa_of(cells.reshape(-1, 2, 2))


def _f1(cells: np.ndarray) -> np.ndarray:
    tp, fp, fn, _ = cells.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * tp / (2 * tp + fp + fn)


def agreement(verdicts: Sequence[Hashable], truth: Sequence[Hashable]) -> dict[str, Any]:
    """Several labels: accuracy, kappa, recall and precision of each, and the table of what was called so."""
    names = [str(label) for label in sorted({*verdicts, *truth}, key=str)]
    called = {true: dict.fromkeys(names, 0) for true in names}
    for verdict, true in zip(verdicts, truth, strict=True):
        called[str(true)][str(verdict)] += 1
    recall, precision = {}, {}
    for name in names:
        recall[name] = _share(called[name][name], sum(called[name].values()))
        precision[name] = _share(called[name][name], sum(row[name] for row in called.values()))
    return {
        "n": len(truth),
        "accuracy": mean_over(zip(verdicts, truth, strict=True), lambda pair: pair[0] == pair[1]),
        "kappa": cohen_kappa(list(verdicts), list(truth)),
        "recall": recall,
        "precision": precision,
        "called": called,
    }


def corrected_rate(
    hits: int, n: int, *, sensitivity: tuple[float, float], specificity: tuple[float, float]
) -> dict[str, Any]:
    """A rate as it would be without the scorer's errors, with an interval that knows how well those errors
    are known.

    Rogan and Gladen 1978: p = (q + sp - 1) / (se + sp - 1), q = hits / n the rate that the scorer saw. The
    interval is that of Lang and Reiczigel 2014: pseudo-observations keep the counts off their ends, the delta
    method adds the variances of q, se and sp, and the centre is shifted; it is cut at 0 and 1. Both hold as
    far as the scorer errs here as it did where it was measured.

    Args:
        hits: rows that the scorer calls a hit, of `n` that it scored.
        sensitivity: (found, all) true hits among the human labels. specificity: (called none, all) among the
            true non-hits. Of a model that was not among those labelled: `of_a_new_group`.

    Returns:
        S with `raw` (the S of hits / n) and `informative`: False where the scorer is no better than chance
        (se + sp - 1 not above 0.1), and nothing can be said: the interval is then 0 to 1.
    """
    (k_se, n_se), (k_sp, n_sp) = sensitivity, specificity
    if not (0 <= hits <= n and 0 <= k_se <= n_se and 0 <= k_sp <= n_sp):
        raise ValueError(
            f"counts that cannot be: {hits} of {n}, sensitivity {sensitivity}, specificity {specificity}"
        )
    raw = _share(hits, n) | {"ci": list(wilson(hits, n))}
    se, sp = (k_se + 1) / (n_se + 2), (k_sp + 1) / (n_sp + 2)
    youden = se + sp - 1
    if n == 0 or n_se == 0 or n_sp == 0 or youden <= 0.1:
        return {"mean": None, "ci": [0.0, 1.0], "n": n, "raw": raw, "informative": False}
    z2 = Z * Z
    wide = n + z2
    q = (hits + z2 / 2) / wide
    p = (q + sp - 1) / youden
    spread = (
        q * (1 - q) / wide + p * p * se * (1 - se) / (n_se + 2) + (1 - p) ** 2 * sp * (1 - sp) / (n_sp + 2)
    )
    shift = 2 * z2 * (p * se * (1 - se) / (n_se + 2) - (1 - p) * sp * (1 - sp) / (n_sp + 2))
    half = Z * math.sqrt(spread) / youden
    plain_se, plain_sp = k_se / n_se, k_sp / n_sp
    estimate = p
    if plain_se + plain_sp > 1:
        estimate = (hits / n + plain_sp - 1) / (plain_se + plain_sp - 1)
    low, high = max(0.0, min(1.0, p + shift - half)), max(0.0, min(1.0, p + shift + half))
    estimate = max(0.0, min(1.0, estimate))
    return {
        "mean": estimate,
        "ci": [min(low, estimate), max(high, estimate)],
        "n": n,
        "raw": raw,
        "informative": True,
    }


def of_a_new_group(counts: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """(right, all) by which `corrected_rate` knows a share of a group that was never measured: the share of
    all rows together, worth as many rows as have the variance with which groups differ.

    Rows of k measured groups say less about the next one than their number: its share has variance
    s^2 (1 + 1/k), s^2 the sample variance of the groups' shares (their own sampling error in it). `all` is
    p (1 - p) over that, and no more than the rows that there are; of one group, its rows.

    Args:
        counts: (right, all) of each group that has rows.
    """
    counted = [(right, rows) for right, rows in counts if rows]
    right, rows = (sum(column) for column in zip(*counted, strict=True)) if counted else (0, 0)
    if len(counted) < 2 or right in (0, rows):
        return right, rows
    shares = np.array([one / of for one, of in counted])
    spread = float(shares.var(ddof=1)) * (1 + 1 / len(shares))
    p = right / rows
    worth = float(rows)
    if spread * rows > p * (1 - p):
        worth = p * (1 - p) / spread
    return p * worth, worth


def corrected_for_a_new_model(hits: int, n: int, card: Mapping[str, Any]) -> dict[str, Any]:
    """`corrected_rate` of a model whose answers the scorer has never seen, by its scores on models that
    were left out (`new_model`), where a hit is an answer that complies.
    """
    known = card["new_model"]["correction"]
    return corrected_rate(
        hits, n, sensitivity=tuple(known["sensitivity"]), specificity=tuple(known["specificity"])
    )
