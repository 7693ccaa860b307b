"""How well scores predict preferences: a reward model, or any other judge, on held-out rankings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..feedback import Judge
from ..models.label_noise import Labels
from ..records import Comparison, Completion, Ranking, pairs_of, ties_of
from . import statistics

BIG = 0.5
"""Pairs whose gold scores differ by at least this have a big margin."""


def scores_of(judge: Judge, rankings: Sequence[Ranking]) -> list[list[float]]:
    """A judge's scores of all completions of each ranking, each read once."""
    values = iter(score.value for score in judge.score([c for r in rankings for c in r.completions]))
    return [[next(values) for _ in r.completions] for r in rankings]


def measure(
    judge: Judge,
    test: Sequence[Ranking],
    *,
    annotator_ceiling: float | None = None,
    gold: Judge | None = None,
    probes: Sequence[Comparison] | None = None,
) -> dict[str, Any]:
    """How well a judge's scores predict held-out rankings; rates are {"mean", "ci", "n"}.

    Returns:
        `accuracy` on all pairs of different rank (a tie counts half) with its `ci` and `n`, beside the
        annotator's `ceiling` and `length_floor` (always the longer one); `ece` and `reliability` of
        sigmoid(margin), each pair read in one random order; `margins`, a histogram clipped to plus and minus
        8. Soft labels count by their probability in all of these, and their `ceiling` is the mean of max(l, 1
        - l). With `gold`, `gold_accuracy` on all pairs that differ in gold score and `gold_accuracy_big` on
        those that differ by `BIG`. With `probes`, for each name the share in which the chosen one scores
        higher.
    """
    proxy = scores_of(judge, test)
    differences, longer, labels = [], [], []
    for ranking, scores in zip(test, proxy, strict=True):
        for i, j in zip(*pairs_of(ranking.ranks), strict=True):
            label = ranking.label(i, j)
            differences.append(scores[i] - scores[j])
            longer.append(len(ranking.completions[i].text) - len(ranking.completions[j].text))
            labels.append(1.0 if label is None else label)
    margins, lengths, soft = np.array(differences), np.array(longer), np.array(labels)
    accuracy = statistics.mean_ci(agreed(margins, soft))
    if annotator_ceiling is None and any("labels" in r.meta for r in test):
        annotator_ceiling = float(np.maximum(soft, 1 - soft).mean())

    # every margin favours the better one when it is right: half the pairs are turned round, so that P(first
    # preferred) has both outcomes
    turned = np.random.Generator(np.random.Philox(key=[len(margins), 0])).random(len(margins)) < 0.5
    stated = list(1 / (1 + np.exp(-np.clip(np.where(turned, -margins, margins), -60, 60))))
    happened = list(np.where(turned, 1 - soft, soft))
    counts, edges = np.histogram(np.clip(margins, -8, 8), bins=32, range=(-8, 8))
    summary: dict[str, Any] = {
        "accuracy": accuracy,
        "ci": accuracy["ci"],
        "n": accuracy["n"],
        "ceiling": annotator_ceiling,
        "length_floor": statistics.mean_ci(agreed(lengths, soft)),
        "ece": statistics.ece(stated, happened) if differences else None,
        "reliability": statistics.reliability_curve(stated, happened),
        "margins": {"counts": counts.tolist(), "edges": edges.tolist()},
    }
    if gold:
        true, true_big = [], []
        for p, g in zip(proxy, scores_of(gold, test), strict=True):
            for i in range(len(p)):
                for j in range(i):
                    truth = g[i] - g[j]
                    margin = (p[i] - p[j]) * np.sign(truth)
                    if abs(truth) > 1e-9:
                        true.append(margin)
                    if abs(truth) >= BIG:
                        true_big.append(margin)
        summary |= {
            "gold_accuracy": statistics.mean_ci(agreed(np.array(true))),
            "gold_accuracy_big": statistics.mean_ci(agreed(np.array(true_big))),
        }
    if probes:
        good, bad = judge.score(all_chosen(probes)), judge.score(all_rejected(probes))
        preferred: dict[str, list[float]] = {}
        for probe, a, b in zip(probes, good, bad, strict=True):
            preferred.setdefault(str(probe.meta["probe"]), []).append(float(a.value > b.value))
        summary["probes"] = {name: statistics.mean_ci(values) for name, values in preferred.items()}
    return summary


def all_chosen(pairs: Sequence[Comparison]) -> list[Completion]:
    return [Completion(pair.prompt, pair.chosen, finished=pair.chosen_finished) for pair in pairs]


def all_rejected(pairs: Sequence[Comparison]) -> list[Completion]:
    return [Completion(pair.prompt, pair.rejected, finished=pair.rejected_finished) for pair in pairs]


def measure_spread(judge: Judge, test: Sequence[Ranking]) -> dict[str, Any]:
    """The deviation among an ensemble's members over the completions of rankings; and how much more they
    disagree where together they are wrong.

    Returns:
        `mean` (S), and `of_wrong` and `of_right` (S): the members' spread, mean of both completions, over
        pairs that the ensemble orders wrong and right.
    """
    spreads: list[float] = []
    of_right: list[float] = []
    of_wrong: list[float] = []
    for ranking in test:
        scores = judge.score(ranking.completions)
        spreads += [score.parts["spread"] for score in scores]
        for i, j in zip(*pairs_of(ranking.ranks), strict=True):
            better, worse = scores[i], scores[j]
            among = of_right if better.value > worse.value else of_wrong
            among.append((better.parts["spread"] + worse.parts["spread"]) / 2)
    return {
        "mean": statistics.mean_ci(spreads),
        "of_right": statistics.mean_ci(of_right),
        "of_wrong": statistics.mean_ci(of_wrong),
    }


def measure_outcomes(judge: Judge, test: Sequence[Ranking], labels: Labels) -> dict[str, Any]:
    """Held-out pairs, ties among them, under the learned model of ties: `nll` (S, nats per pair) beside
    `nll_constant`, that of their own share of ties and a coin, which a model has to beat; `tie_share`.
    """
    losses, ties = [], 0
    for ranking, scores in zip(test, scores_of(judge, test), strict=True):
        for i, j in [*zip(*pairs_of(ranking.ranks), strict=True), *ties_of(ranking.ranks)]:
            pair = ranking.only([i, j])
            losses.append(labels.loss(torch.tensor([scores[i], scores[j]]), pair)[0].item())
            ties += len(set(pair.ranks)) == 1
    share = ties / len(losses) if losses else 0.0
    constant = -sum(p * math.log(p) for p in (share, (1 - share) / 2, (1 - share) / 2) if p > 0)
    return {"nll": statistics.mean_ci(losses), "nll_constant": constant, "tie_share": share}


def agreed(margins: np.ndarray, soft: np.ndarray | None = None) -> list[float]:
    """1 where the preferred one is ahead, 0.5 at a tie; with soft labels, the probability that a label drawn
    from them has it so.
    """
    right = (np.sign(margins) + 1) / 2
    if soft is not None:
        right = soft * right + (1 - soft) * (1 - right)
    return right.tolist()


def measure_signs(judge: Judge, test: Sequence[Ranking]) -> dict[str, Any]:
    """Of a cost model on held-out labels: `sign_accuracy`, and the shares of safe and of unsafe completions
    it calls so.
    """
    safe: list[float] = []  # scores of what people call safe
    unsafe: list[float] = []
    for ranking, scores in zip(test, scores_of(judge, test), strict=True):
        for score, label in zip(scores, ranking.meta.get("safe", ()), strict=False):
            if label is not None:
                (safe if label else unsafe).append(score)
    called_safe = [float(score > 0) for score in safe]
    called_unsafe = [float(not score > 0) for score in unsafe]
    return {
        "sign_accuracy": statistics.mean_ci([*called_safe, *called_unsafe]),
        "safe_called_safe": statistics.mean_ci(called_safe),
        "unsafe_called_unsafe": statistics.mean_ci(called_unsafe),
    }
