"""How far a scorer can be trusted: its card against human labels, and rates corrected for its measured
errors.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ..feedback.agreement import cohen_kappa, kappa_of
from .statistics import Z, mean_ci, wilson


def scorer_card(
    said: Sequence[bool | None], truth: Sequence[bool], *, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """What a scorer says against what people say, yes or no, each figure as S = {"mean", "ci", "n"}.

    A row on which the scorer failed (None) is unscored: it counts as wrong in accuracy and is counted by
    itself; the other figures are over the rows that have a score. Shares have Wilson intervals, kappa and F1
    a bootstrap over rows.

    Returns: `n`, `unscored`, `accuracy`, `precision`, `recall` (= sensitivity), `specificity`, `f1`, `kappa`,
        and the four `counts`.
    """
    if len(said) != len(truth):
        raise ValueError(f"{len(said)} verdicts and {len(truth)} labels")
    pairs = [(bool(s), bool(t)) for s, t in zip(said, truth, strict=True) if s is not None]
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
    samples = (
        np.random.default_rng(seed).multinomial(len(pairs), cells / max(1, len(pairs)), size=draws)
        if pairs
        else np.zeros((0, 4))
    )
    for name, of in (("f1", _f1), ("kappa", lambda cells: kappa_of(cells.reshape(-1, 2, 2)))):
        drawn = of(samples.astype(float))
        drawn = drawn[np.isfinite(drawn)]
        ci = [float(x) for x in np.quantile(drawn, (0.025, 0.975))] if len(drawn) else None
        value = float(of(cells[None].astype(float))[0]) if pairs else math.nan
        card[name] = {"mean": value if math.isfinite(value) else None, "ci": ci, "n": len(pairs)}
    return card


def _share(k: int, n: int) -> dict[str, Any]:
    return {"mean": k / n if n else None, "ci": list(wilson(k, n)) if n else None, "n": n}


def _f1(cells: np.ndarray) -> np.ndarray:
    tp, fp, fn, _ = cells.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * tp / (2 * tp + fp + fn)


def agreement(said: Sequence[Hashable], truth: Sequence[Hashable]) -> dict[str, Any]:
    """Several labels: accuracy, kappa, recall and precision of each, and the table of what was called so."""
    labels = sorted({*said, *truth}, key=str)
    table = {
        str(t): {str(s): sum(a == s and b == t for a, b in zip(said, truth, strict=True)) for s in labels}
        for t in labels
    }
    return {
        "n": len(truth),
        "accuracy": mean_ci([float(a == b) for a, b in zip(said, truth, strict=True)]),
        "kappa": cohen_kappa(list(said), list(truth)),
        "recall": {str(x): _share(table[str(x)][str(x)], sum(table[str(x)].values())) for x in labels},
        "precision": {
            str(x): _share(table[str(x)][str(x)], sum(row[str(x)] for row in table.values())) for x in labels
        },
        "called": table,
    }


def corrected_rate(
    hits: int, n: int, *, sensitivity: tuple[int, int], specificity: tuple[int, int]
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
            true non-hits.

    Returns:
        S with `raw` (the S of hits / n) and `informative`: False where the scorer is no better than chance
        (se + sp - 1 not above 0.1), and nothing can be said: the interval is then 0 to 1.
    """
    (k_se, n_se), (k_sp, n_sp) = sensitivity, specificity
    if not (0 <= hits <= n and 0 <= k_se <= n_se and 0 <= k_sp <= n_sp):
        raise ValueError(
            f"counts that cannot be: {hits} of {n}, sensitivity {sensitivity}, specificity {specificity}"
        )
    raw = {"mean": hits / n if n else None, "ci": list(wilson(hits, n)), "n": n}
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
    estimate = (hits / n + plain_sp - 1) / (plain_se + plain_sp - 1) if plain_se + plain_sp > 1 else p
    low, high = max(0.0, min(1.0, p + shift - half)), max(0.0, min(1.0, p + shift + half))
    estimate = max(0.0, min(1.0, estimate))
    return {
        "mean": estimate,
        "ci": [min(low, estimate), max(high, estimate)],
        "n": n,
        "raw": raw,
        "informative": True,
    }


def corrected_by_card(hits: int, n: int, card: Mapping[str, Any]) -> dict[str, Any]:
    """`corrected_rate` with the counts of a `scorer_card` whose yes is a hit."""
    counts = card["counts"]
    return corrected_rate(
        hits,
        n,
        sensitivity=(counts["tp"], counts["tp"] + counts["fn"]),
        specificity=(counts["tn"], counts["tn"] + counts["fp"]),
    )
