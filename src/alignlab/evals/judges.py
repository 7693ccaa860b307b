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
from .preference import all_chosen, all_rejected
from .statistics import ahead, mean_by_prompt, mean_ci, mean_over, paired_difference

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
        "orders": [[rounded(p) for p in pair] for pair in verdict.orders],
    }
    if verdict.neither:
        meta["neither"] = verdict.neither
    if verdict.refused:
        meta["refused"] = verdict.refused
    return Comparison(
        first.prompt,
        first.text,
        second.text,
        chosen_finished=first.finished,
        rejected_finished=second.finished,
        meta=meta,
        label=verdict.plain,
    )


def rounded(p: float | None) -> float | None:
    return None if p is None else round(p, 6)


def stated_of(shown: Sequence[Comparison]) -> list[float]:
    """P(first preferred) of pairs as shown."""
    return [0.5 if c.label is None else c.label for c in shown]


def prompts_of(shown: Sequence[Comparison]) -> list[str]:
    """The prompt of each pair."""
    return [c.prompt.id for c in shown]


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
        "certainty": mean_by_prompt([abs(2 * p - 1) for p in stated], prompts_of(shown), share=True),
    }


def truths(gold: Judge, pairs: Sequence[Comparison]) -> list[float]:
    """1 where a judge that knows scores the chosen answer higher, 0 where lower, 1/2 where the same."""
    chosen, rejected = gold.score(all_chosen(pairs)), gold.score(all_rejected(pairs))
    return [ahead(a.value, b.value) for a, b in zip(chosen, rejected, strict=True)]


def dealt(pairs: Sequence[Comparison], seed: int) -> tuple[list[Pair], list[float]]:
    """Comparisons in random order of their two completions, and P(first preferred) by their own labels.
    Whoever is asked must not find the better one first.
    """
    shown: list[Pair] = []
    happened = []
    for i, (c, good, bad) in enumerate(zip(pairs, all_chosen(pairs), all_rejected(pairs), strict=True)):
        label = 1.0 if c.label is None else c.label
        if c.tie:
            label = 0.5
        if random.Random(derive_seed(seed, "dealt", i)).random() < 0.5:
            shown.append((bad, good))
            happened.append(1 - label)
        else:
            shown.append((good, bad))
            happened.append(label)
    return shown, happened


def agree(shown: Sequence[Comparison], happened: Sequence[float], *, seed: int) -> dict[str, Any]:
    """Labels of pairs as shown against what people or gold hold: `labels` (`evals.labels.agreement`),
    `calibration`, the order effect, and `tally`.
    """
    if all(y == 0.5 for y in happened):
        raise DataError(
            f"none of the {len(shown)} pairs is decided by those they are held against",
            remedy="pairs that differ, or another --gold",
        )
    stated, prompts = stated_of(shown), prompts_of(shown)
    return {
        "labels": measure.agreement(stated, happened, prompts, seed=seed),
        "calibration": measure.calibration(stated, happened, prompts, seed=seed),
        **measure.order_effect([c.meta["orders"] for c in shown], prompts),
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
            `alone` (S: the share of decided pairs that this one alone labels right), `fires` (S: the share of
        answers it finds wrong, P(fine) below one half),
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
    # (pairs, principles)
    by_principle = np.array([[of_orders(*pair) for pair in c.meta["orders"]] for c in shown])
    everything, wrong, prompts = by_principle.mean(1), np.array(standings) < 0, prompts_of(shown)
    rows = {}
    for k, name in enumerate(ids):
        without = np.delete(by_principle, k, 1).mean(1)
        alone = wrong[:, k] & ~np.delete(wrong, k, 1).any(1)
        row: dict[str, Any] = {
            "labels": measure.change(everything.tolist(), without.tolist(), prompts, happened),
            "fires": mean_over(wrong[:, k], bool),
            "fires_alone": mean_over(alone, bool),
        }
        if happened is not None:
            decided = [prompt for prompt, y in zip(prompts, happened, strict=True) if y != 0.5]
            right = right_of_decided(by_principle[:, k].tolist(), happened)
            row["alone"] = mean_by_prompt(right, decided, share=True)
        if harmful is not None:
            broken = np.array(harmful)
            row |= {
                "fires_rightly": mean_over(wrong[broken, k], bool),
                "fires_wrongly": mean_over(wrong[~broken, k], bool),
            }
        rows[name] = row
    return {"principles": rows}


def right_of_decided(stated: Sequence[float], happened: Sequence[float]) -> list[float]:
    """Of the pairs that are decided: 1 where the label says so too, one half where it says nothing."""
    decided = [(p, y) for p, y in zip(stated, happened, strict=True) if y != 0.5]
    return [0.5 if p == 0.5 else float((p > 0.5) == (y > 0.5)) for p, y in decided]


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
    rows = []
    for i, (a, b) in enumerate(zip(before, after, strict=True)):
        if a.label is None or b.label is None or not (a.label - 0.5) * (b.label - 0.5) < 0:
            continue
        row = {
            **a.prompt.to_json(),
            "first": a.chosen,
            "second": a.rejected,
            "before": a.label,
            "after": b.label,
        }
        if happened is not None:
            row["truth"] = happened[i]
        rows.append(row)
    return sorted(rows, key=lambda row: -abs(row["after"] - row["before"]))[:most]


def behavior(
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
    pairs: dict[str, tuple[list[float], list[float]]] = {"score": ([], [])}
    for a, b in zip(ours, theirs, strict=True):
        for part in a.parts.keys() & b.parts.keys() - {"score"}:
            pairs.setdefault(part, ([], []))
            pairs[part][0].append(a.parts[part])
            pairs[part][1].append(b.parts[part])
        pairs["score"][0].append(a.value)
        pairs["score"][1].append(b.value)
    figures = {}
    for part in ("score", *sorted(pairs.keys() - {"score"})):
        before, after = pairs[part]
        if any(before) or any(after):
            figures[part] = {
                first: mean_ci(before),
                second: mean_ci(after),
                "difference": paired_difference(after, before),
            }
    return figures
