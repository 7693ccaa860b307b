"""An AI judge at work on pairs, and what is asked about it: does it agree with people or gold, what does each
principle do, what would another constitution change, and can an answer talk it round? The loops keep what the
judge has said, so that a run which was stopped asks nothing twice.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ..constitution.principles import Constitution
from ..errors import ConfigError, DataError
from ..feedback import Judge
from ..feedback.ai import AIJudge, PairVerdict
from ..feedback.log_odds import of_orders
from ..records import Comparison, Completion, Prompt
from ..run import RunDir, derive_seed
from ..sampling import Sampler, Sampling
from . import labels as measure
from .statistics import mean_ci, paired_difference

Pair = tuple[Completion, Completion]
UNDECIDED = 0.05
"""A label nearer to one half than this decides nothing."""


def judged(
    run: RunDir, judge: AIJudge, pairs: Sequence[Pair], *, chunk: int, name: str = "verdicts"
) -> list[Comparison]:
    """What the judge makes of pairs (`put_to`), a chunk at a time, each kept by that name as soon as it is
    whole.
    """
    chunks = run.in_chunks(pairs, lambda _, part: put_to(judge, part), Comparison, size=chunk, desc=name)
    return list(chain.from_iterable(chunks))


def put_to(judge: AIJudge, pairs: Sequence[Pair]) -> list[Comparison]:
    """Pairs in the order in which they were shown first, with the judge's plain label; in `meta` who judged,
    by which constitution, and what each principle said in each order.
    """
    verdicts = judge.verdicts([a for a, _ in pairs], [b for _, b in pairs])
    return [as_shown(judge, *pair, verdict) for pair, verdict in zip(pairs, verdicts, strict=True)]


def as_shown(judge: AIJudge, first: Completion, second: Completion, verdict: PairVerdict) -> Comparison:
    meta: dict[str, Any] = {
        "annotator": judge.name,
        "sources": [first.source, second.source],
        "constitution": judge.constitution.digest,
        "principles": list(verdict.principles),
        "orders": [[None if p is None else round(p, 6) for p in pair] for pair in verdict.orders],
    }
    meta |= {
        name: count for name, count in (("neither", verdict.neither), ("refused", verdict.refused)) if count
    }
    return Comparison(
        first.prompt,
        first.text,
        second.text,
        chosen_finished=first.finished,
        rejected_finished=second.finished,
        meta=meta,
        label=verdict.plain,
    )


def stated_of(shown: Sequence[Comparison]) -> list[float]:
    """P(first preferred) of pairs as shown."""
    return [0.5 if c.label is None else c.label for c in shown]


def tally(shown: Sequence[Comparison]) -> dict[str, Any]:
    """Counts over pairs as shown: `pairs`, `undecided` (labels within UNDECIDED of one half), `verdicts`
    (pair, principle, order), of which the judge would rather have said something else (`neither_a_nor_b`) or
    refused to judge (`refused_to_judge`; see `feedback.ai`); and `certainty` (S: mean |2 p - 1|)."""
    stated = stated_of(shown)
    return {
        "pairs": len(shown),
        "undecided": sum(abs(p - 0.5) < UNDECIDED for p in stated),
        "verdicts": sum(1 + (ba is not None) for c in shown for _, ba in c.meta["orders"]),
        "neither_a_nor_b": sum(c.meta.get("neither", 0) for c in shown),
        "refused_to_judge": sum(c.meta.get("refused", 0) for c in shown),
        "certainty": mean_ci([abs(2 * p - 1) for p in stated]),
    }


def truths(gold: Judge, pairs: Sequence[Comparison]) -> list[float]:
    """1 where a judge that knows scores the chosen answer higher, 0 where lower, 1/2 where the same."""
    first = gold.score([Completion(c.prompt, c.chosen, finished=c.chosen_finished) for c in pairs])
    second = gold.score([Completion(c.prompt, c.rejected, finished=c.rejected_finished) for c in pairs])
    return [
        0.5 + 0.5 * ((a.value > b.value) - (a.value < b.value)) for a, b in zip(first, second, strict=True)
    ]


def dealt(pairs: Sequence[Comparison], seed: int) -> tuple[list[Pair], list[float]]:
    """Comparisons in random order of their two completions, and P(first preferred) by their own labels.
    Whoever is asked must not find the better one first.
    """
    shown: list[Pair] = []
    happened = []
    for i, c in enumerate(pairs):
        good = Completion(c.prompt, c.chosen, finished=c.chosen_finished)
        bad = Completion(c.prompt, c.rejected, finished=c.rejected_finished)
        label = 0.5 if c.tie else 1.0 if c.label is None else c.label
        turned = random.Random(derive_seed(seed, "dealt", i)).random() < 0.5
        shown.append((bad, good) if turned else (good, bad))
        happened.append(1 - label if turned else label)
    return shown, happened


def agree(shown: Sequence[Comparison], happened: Sequence[float], *, seed: int) -> dict[str, Any]:
    """Labels of pairs as shown against what people or gold hold: `labels` (`evals.labels.agreement`),
    `calibration`, the order effect, and `tally`.
    """
    if not any(y != 0.5 for y in happened):
        raise DataError(
            f"none of the {len(shown)} pairs is decided by those they are held against",
            remedy="pairs that differ, or another --gold",
        )
    stated = stated_of(shown)
    return {
        "labels": measure.agreement(stated, happened, seed=seed),
        "calibration": measure.calibration(stated, happened, [c.prompt.id for c in shown], seed=seed),
        **measure.order_effect([c.meta["orders"] for c in shown]),
        "judge": tally(shown),
    }


def ablate(
    judge: AIJudge,
    shown: Sequence[Comparison],
    happened: Sequence[float] | None,
    *,
    standings: Sequence[Sequence[float]],
    harmful: Sequence[bool] | None,
) -> dict[str, Any]:
    """For each principle, what the labels and the critiques would be without it.

    Args:
        shown: pairs as `judged` gives them, each by all principles.
        happened: the truth of each pair, where it is known.
        standings: for each answer of the pairs, the log-odds of "fine" under each principle
            (`AIJudge.standings`).
        harmful: which of those answers break the constitution, where that is known.

    Returns:
        `principles`: for each id `labels` (`evals.labels.change`, from all principles to all but this one),
            `alone` (S: the share of decided pairs that this
        one alone labels right), `fires` (S: the share of answers it finds wrong, P(fine) below one half),
        `fires_alone` (S: of them, those that no other finds wrong: what critiques would miss without it);
        with `harmful` `fires_rightly` and `fires_wrongly` (S, of broken and of sound answers).
    """
    ids = [p.id for p in judge.pool]
    if len(ids) < 2:
        raise ConfigError(
            f"of {len(ids)} principle none can be left out", remedy="more principles, or other tags"
        )
    if any(c.meta["principles"] != ids for c in shown):
        raise ConfigError(
            "an ablation needs every principle's verdict on every pair", remedy="a judge without principles=N"
        )
    by_principle = np.array(
        [[of_orders(*pair) for pair in c.meta["orders"]] for c in shown]
    )  # (pairs, principles)
    everything, wrong = by_principle.mean(1), np.array(standings) < 0
    found = {}
    for k, name in enumerate(ids):
        without = np.delete(by_principle, k, 1).mean(1)
        alone = wrong[:, k] & ~np.delete(wrong, k, 1).any(1)
        row: dict[str, Any] = {
            "labels": measure.change(everything.tolist(), without.tolist(), happened),
            "fires": mean_ci(wrong[:, k].astype(float).tolist()),
            "fires_alone": mean_ci(alone.astype(float).tolist()),
        }
        if happened is not None:
            row["alone"] = mean_ci(
                [
                    0.5 if p == 0.5 else float((p > 0.5) == (y > 0.5))
                    for p, y in zip(by_principle[:, k].tolist(), happened, strict=True)
                    if y != 0.5
                ]
            )
        if harmful is not None:
            broken = np.array(harmful)
            row |= {
                "fires_rightly": mean_ci(wrong[broken, k].astype(float).tolist()),
                "fires_wrongly": mean_ci(wrong[~broken, k].astype(float).tolist()),
            }
        found[name] = row
    return {"principles": found}


def differ(a: Constitution, b: Constitution) -> dict[str, list[str]]:
    """Ids of principles that only one has (`added` in b, `removed` from a), and of those whose words or tags
    are not the same (`changed`).
    """
    ours, theirs = {p.id: p for p in a.principles}, {p.id: p for p in b.principles}
    return {
        "added": [name for name in theirs if name not in ours],
        "removed": [name for name in ours if name not in theirs],
        "changed": [name for name in ours if name in theirs and ours[name] != theirs[name]],
    }


def flips(
    before: Sequence[Comparison],
    after: Sequence[Comparison],
    happened: Sequence[float] | None,
    *,
    most: int = 50,
) -> list[dict[str, Any]]:
    """The pairs whose label changed sides, those that moved most first."""
    rows = [
        {
            **a.prompt.to_json(),
            "first": a.chosen,
            "second": a.rejected,
            "before": a.label,
            "after": b.label,
            **({} if happened is None else {"truth": happened[i]}),
        }
        for i, (a, b) in enumerate(zip(before, after, strict=True))
        if a.label is not None and b.label is not None and (a.label - 0.5) * (b.label - 0.5) < 0
    ]
    return sorted(rows, key=lambda row: -abs(row["after"] - row["before"]))[:most]


def behaviour(
    samplers: Mapping[str, Sampler], prompts: Sequence[Prompt], gold: Judge, *, max_new_tokens: int, seed: int
) -> dict[str, Any]:
    """Two models' greedy answers to the same prompts: for the score and each of its named parts that both
    have, S of each and the paired difference.
    """
    scores = {}
    for name, sampler in samplers.items():
        groups = sampler.sample(prompts, Sampling(max_new_tokens=max_new_tokens, temperature=0.0), seed=seed)
        scores[name] = gold.score([group[0] for group in groups])
    (first, ours), (second, theirs) = scores.items()
    parts = sorted({part for score in (*ours, *theirs) for part in score.parts})
    found = {}
    for part in ("score", *parts):
        both = [
            (a.value, b.value) if part == "score" else (a.parts[part], b.parts[part])
            for a, b in zip(ours, theirs, strict=True)
            if part == "score" or part in a.parts and part in b.parts
        ]
        if both and any(x or y for x, y in both):
            found[part] = {
                first: mean_ci([x for x, _ in both]),
                second: mean_ci([y for _, y in both]),
                "difference": paired_difference([y for _, y in both], [x for x, _ in both]),
            }
    return found
