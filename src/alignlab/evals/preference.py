"""How well scores predict preferences: a reward model, or any other judge, on held-out rankings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
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
    labels: Labels | None = None,
    annotator_ceiling: float | None = None,
    gold: Judge | None = None,
    probes: Sequence[Comparison] | None = None,
) -> dict[str, Any]:
    """How well a judge's scores predict held-out rankings. Rates are {"mean", "ci", "n"}, means over prompts
    of the mean over a prompt's pairs (`statistics.mean_by_prompt`): n counts prompts.

    Args:
        labels: what the model assumes of labels: with the scores it says which probability it states
            (`Labels.stated`). None: scores that state none, as those of an ensemble, which are in deviations.

    Returns:
        `accuracy` on all pairs of different rank with its `ci` and `n`, beside the annotator's `ceiling` and
        `length_floor` (always the longer one); `test_pairs`, how many there are. A pair is right where the
        preferred one is the likelier one by the probability stated for whoever labelled it (a tie counts
        half): the one with the higher score, but for annotators who are taken to turn most labels round.
        `ece` and `reliability` of that probability against the labels, each pair read in one random order;
        `margins`, a histogram of the differences of the scores, clipped to plus and minus 8. Soft labels
        count by their probability in all of these, and their `ceiling` is the mean of max(l, 1 - l). With
        `gold`, `gold_accuracy` of the scores on all pairs that differ in gold score, `gold_accuracy_big` on
        those that differ by `BIG`, and `gold_ece` on the former: of the probability stated for somebody who
        turns no label round, that the first is better, against gold's order. Labels of people who are unsure
        are no truth: a model that states their probabilities to perfection is too modest against gold.
        With `probes`, for each name the share in which the chosen one scores higher.
    """
    proxy = scores_of(judge, test)
    pairs = _pairs(test, proxy)
    margins = np.array([pair.margin for pair in pairs])
    longer = np.array([pair.longer for pair in pairs])
    soft = np.array([pair.label for pair in pairs])
    prompts = [pair.prompt for pair in pairs]
    ahead = margins
    if labels:
        stated = np.array(labels.stated(margins.tolist(), [pair.annotator for pair in pairs]))
        ahead = stated - 0.5
    accuracy = statistics.mean_by_prompt(agreed(ahead, soft), prompts, share=True)
    if annotator_ceiling is None and any("labels" in r.meta for r in test):
        surest = statistics.mean_by_prompt(np.maximum(soft, 1 - soft), prompts, share=True)
        annotator_ceiling = surest["mean"]
    counts, edges = np.histogram(np.clip(margins, -8, 8), bins=32, range=(-8, 8))
    summary: dict[str, Any] = {
        "accuracy": accuracy,
        "ci": accuracy["ci"],
        "n": accuracy["n"],
        "test_pairs": len(pairs),
        "ceiling": annotator_ceiling,
        "length_floor": statistics.mean_by_prompt(agreed(longer, soft), prompts, share=True),
        "ece": None,
        "reliability": [],
        "margins": {"counts": counts.tolist(), "edges": edges.tolist()},
    }
    if labels and pairs:
        shown, happened = _in_one_order(stated, soft)
        summary |= {
            "ece": statistics.ece(shown, happened),
            "reliability": statistics.reliability_curve(shown, happened),
        }
    if gold:
        summary |= _against_gold(proxy, gold, test, labels)
    if probes:
        good, bad = judge.score(all_chosen(probes)), judge.score(all_rejected(probes))
        preferred: dict[str, tuple[list[float], list[str]]] = {}
        for probe, a, b in zip(probes, good, bad, strict=True):
            values, of = preferred.setdefault(str(probe.meta["probe"]), ([], []))
            values.append(float(a.value > b.value))
            of.append(probe.prompt.id)
        summary["probes"] = {
            name: statistics.mean_by_prompt(*both, share=True) for name, both in preferred.items()
        }
    return summary


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two completions of a ranking, the better one first."""

    prompt: str
    annotator: str
    margin: float  # of the scores
    longer: int  # by how many characters
    label: float  # probability that the first is the better one


def _pairs(test: Sequence[Ranking], scores: Sequence[Sequence[float]]) -> list[_Pair]:
    pairs = []
    for ranking, own in zip(test, scores, strict=True):
        for i, j in zip(*pairs_of(ranking.ranks), strict=True):
            label = ranking.label(i, j)
            pairs.append(
                _Pair(
                    ranking.prompt.id,
                    ranking.annotator,
                    own[i] - own[j],
                    len(ranking.completions[i].text) - len(ranking.completions[j].text),
                    1.0 if label is None else label,
                )
            )
    return pairs


def _in_one_order(stated: np.ndarray, happened: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and outcomes of pairs that all have the better one first, half of them turned round, so
    that P(first preferred) has both outcomes.
    """
    turned = np.random.Generator(np.random.Philox(key=[len(stated), 0])).random(len(stated)) < 0.5
    return np.where(turned, 1 - stated, stated), np.where(turned, 1 - happened, happened)


def _against_gold(
    proxy: Sequence[Sequence[float]], gold: Judge, test: Sequence[Ranking], labels: Labels | None
) -> dict[str, Any]:
    margins, apart, prompts = [], [], []
    for ranking, ours, truths in zip(test, proxy, scores_of(gold, test), strict=True):
        for i, j in permutations(range(len(ours)), 2):
            if truths[i] - truths[j] > 1e-9:
                margins.append(ours[i] - ours[j])
                apart.append(truths[i] - truths[j])
                prompts.append(ranking.prompt.id)
    right = agreed(np.array(margins))
    big = [k for k, truth in enumerate(apart) if truth >= BIG]
    found: dict[str, Any] = {
        "gold_accuracy": statistics.mean_by_prompt(right, prompts, share=True),
        "gold_accuracy_big": statistics.mean_by_prompt(
            [right[k] for k in big], [prompts[k] for k in big], share=True
        ),
        "gold_ece": None,
    }
    if labels and margins:
        stated = np.array(labels.stated(margins, None))
        found["gold_ece"] = statistics.ece(*_in_one_order(stated, np.ones_like(stated)))
    return found


def all_chosen(pairs: Sequence[Comparison]) -> list[Completion]:
    return [Completion(pair.prompt, pair.chosen, finished=pair.chosen_finished) for pair in pairs]


def all_rejected(pairs: Sequence[Comparison]) -> list[Completion]:
    return [Completion(pair.prompt, pair.rejected, finished=pair.rejected_finished) for pair in pairs]


def measure_spread(judge: Judge, test: Sequence[Ranking]) -> dict[str, Any]:
    """The deviation among an ensemble's members over the completions of rankings; and how much more they
    disagree where together they are wrong.

    Returns:
        `mean` (S), and `of_wrong` and `of_right` (S): the members' spread, mean of both completions, over
        pairs that the ensemble orders wrong and right; all by prompt.
    """
    of_all: list[float] = []
    of_right: list[tuple[float, str]] = []
    of_wrong: list[tuple[float, str]] = []
    for ranking in test:
        scores = judge.score(ranking.completions)
        of_all += [score.parts["spread"] for score in scores]
        for i, j in zip(*pairs_of(ranking.ranks), strict=True):
            better, worse = scores[i], scores[j]
            among = of_right if better.value > worse.value else of_wrong
            among.append(((better.parts["spread"] + worse.parts["spread"]) / 2, ranking.prompt.id))
    return {
        "mean": statistics.mean_by_prompt(of_all, [r.prompt.id for r in test for _ in r.completions]),
        "of_right": statistics.mean_by_prompt([x for x, _ in of_right], [prompt for _, prompt in of_right]),
        "of_wrong": statistics.mean_by_prompt([x for x, _ in of_wrong], [prompt for _, prompt in of_wrong]),
    }


def measure_outcomes(judge: Judge, test: Sequence[Ranking], labels: Labels) -> dict[str, Any]:
    """Held-out pairs, ties among them, under the learned model of ties: `nll` (S by prompt, nats per pair)
    beside `nll_constant`, that of the pairs' own share of ties and a coin, which a model has to beat;
    `tie_share`. All are means over prompts of the mean over a prompt's pairs.
    """
    losses, ties, prompts = [], [], []
    for ranking, scores in zip(test, scores_of(judge, test), strict=True):
        for i, j in [*zip(*pairs_of(ranking.ranks), strict=True), *ties_of(ranking.ranks)]:
            pair = ranking.only([i, j])
            losses.append(labels.loss(torch.tensor([scores[i], scores[j]]), pair)[0].item())
            ties.append(float(len(set(pair.ranks)) == 1))
            prompts.append(ranking.prompt.id)
    share = statistics.mean_by_prompt(ties, prompts)["mean"] or 0.0
    constant = -sum(p * math.log(p) for p in (share, (1 - share) / 2, (1 - share) / 2) if p > 0)
    return {"nll": statistics.mean_by_prompt(losses, prompts), "nll_constant": constant, "tie_share": share}


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
    it calls so; means by prompt.
    """
    right: list[tuple[bool, float, str]] = []  # what people call it, whether the sign says so too, the prompt
    for ranking, scores in zip(test, scores_of(judge, test), strict=True):
        for score, label in zip(scores, ranking.meta.get("safe", ()), strict=False):
            if label is not None:
                right.append((bool(label), float((score > 0) == bool(label)), ranking.prompt.id))

    def share(wanted: tuple[bool, ...]) -> dict[str, Any]:
        rows = [(value, prompt) for safe, value, prompt in right if safe in wanted]
        return statistics.mean_by_prompt([value for value, _ in rows], [p for _, p in rows], share=True)

    return {
        "sign_accuracy": share((True, False)),
        "safe_called_safe": share((True,)),
        "unsafe_called_unsafe": share((False,)),
    }
