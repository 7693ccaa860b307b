"""Demonstrations by a crowd: several people answer each prompt, reviewers vote, an adjudicator settles what
they disagree on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, groupby
from typing import Any, Protocol

from ..errors import ConfigError
from ..evals.statistics import mean_ci
from ..feedback import Judge
from ..feedback.agreement import fleiss_kappa, gwet_ac1, krippendorff_alpha
from ..feedback.writers import Writer
from ..records import Completion, Demonstration, Prompt, Ranking
from ..run import RunDir, derive_seed
from ..settings import CrowdSettings
from .demonstrations import in_chunks, reason_of, rejected, settle


class Reviewer(Protocol):
    """Somebody who ranks the answers to one prompt; the first place is the vote."""

    name: str

    def rank(self, index: int, completions: Sequence[Completion]) -> Ranking: ...


def run(
    run: RunDir,
    writers: Sequence[Writer],
    reviewers: Sequence[Reviewer],
    adjudicator: Reviewer,
    prompts: Sequence[Prompt],
    settings: CrowdSettings,
    *,
    gold: Judge | None = None,
    seed: int,
) -> dict[str, Any]:
    """One answer a prompt into data/demonstrations.jsonl, the others, and why they lost, into
    data/rejected.jsonl.

    Equal texts of several writers stand once. A reviewer has one vote, shared among the answers he ranks
    first. The answer with the most votes is kept if it has the share `majority` of them alone; else the
    adjudicator, who sees the answers that got any, decides.

    Returns:
        The counts of `settle`; `settled` (prompts by vote, by the adjudicator, or because all wrote the
        same); `writers`: how often each one's answer was kept; `agreement` of the reviewers over pairs of
        answers (first, second, or a tie): `raw`, Krippendorff's alpha (ordinal), Fleiss' kappa and Gwet's AC1
        (mean over pairs of reviewers); with a judge that knows the truth `gold` of what was kept and
        `gold_any`, of any answer.

    Raises:
        ConfigError: fewer than two writers, no reviewer, a majority outside (0, 1].
    """
    if len(writers) < 2 or not reviewers or not 0 < settings.majority <= 1:
        raise ConfigError(
            f"{len(writers)} writers, {len(reviewers)} reviewers, majority {settings.majority}",
            remedy="two writers or more, a reviewer or more, and a majority above 0 and at most 1",
        )
    names = unique([reviewer.name for reviewer in reviewers])

    def answer(_: int, asked: dict[int, Prompt]) -> Iterator[Demonstration]:
        for i, prompt in asked.items():
            # 1. everybody writes; equal texts stand once, in random order
            by_text: dict[str, list[str]] = {}
            for name, writer in zip(unique([w.name for w in writers]), writers, strict=True):
                text = (writer.write(i, prompt) or "").strip()
                if text:
                    by_text.setdefault(text, []).append(name)
            if not by_text:
                continue
            texts = list(by_text)
            random.Random(derive_seed(seed, "order", i)).shuffle(texts)
            answers = [Completion(prompt, text, source=by_text[text][0]) for text in texts]

            # 2. the reviewers vote
            ranks = (
                {
                    name: reviewer.rank(i, answers).ranks
                    for name, reviewer in zip(names, reviewers, strict=True)
                }
                if len(answers) > 1
                else {}
            )
            votes = [sum((r[k] == 1) / r.count(1) for r in ranks.values()) for k in range(len(answers))]

            # 3. the winner by votes, or by the adjudicator's word
            best, settled = (
                (0, "the same") if len(answers) == 1 else by_vote(votes, settings.majority * len(reviewers))
            )
            if settled == "adjudicated":
                seen = [k for k, count in enumerate(votes) if count]
                final = adjudicator.rank(i, [answers[k] for k in seen]).ranks if len(seen) > 1 else (1,)
                best = max(
                    (k for k, rank in zip(seen, final, strict=True) if rank == 1), key=lambda k: votes[k]
                )
            for k, text in enumerate(texts):
                meta = {
                    "kind": "crowd",
                    "item": i,
                    "writers": by_text[text],
                    "votes": round(votes[k], 4),
                    "settled": settled,
                    "ranks": {name: r[k] for name, r in ranks.items()},
                }
                if settled == "adjudicated":
                    meta["adjudicator"] = adjudicator.name
                reason = (
                    ""
                    if k == best
                    else "the adjudicator chose another"
                    if settled == "adjudicated"
                    else "outvoted"
                )
                yield rejected(prompt, text, reason, **meta) if reason else Demonstration(prompt, text, meta)

    # 4. what is kept, and how far the reviewers agreed
    rows = in_chunks(run, prompts, answer, desc="crowd")
    _, counts = settle(run, rows)
    items = [list(group) for _, group in groupby(rows, key=lambda row: row.meta["item"])]
    kept = [row for row in rows if not reason_of(row)]
    ways = [row.meta["settled"] for row in kept]
    counts |= {
        "asked": len(prompts),
        "unanswered": len(prompts) - len(items),
        "settled": {way: ways.count(way) for way in ("vote", "adjudicated", "the same")},
        "writers": {
            name: mean_ci([float(name in row.meta["writers"]) for row in kept])
            for name in unique([w.name for w in writers])
        },
        "agreement": agreement(items, names),
    }
    if gold:
        values = iter(
            [score.value for score in gold.score([Completion(row.prompt, row.completion) for row in rows])]
        )
        worth = [[(row, next(values)) for row in item] for item in items]
        counts |= {
            "gold": mean_ci([value for item in worth for row, value in item if not reason_of(row)]),
            "gold_any": mean_ci(
                [
                    sum(value * len(row.meta["writers"]) for row, value in item)
                    / sum(len(row.meta["writers"]) for row, _ in item)
                    for item in worth
                ]
            ),
        }
    return counts


def by_vote(votes: Sequence[float], needed: float) -> tuple[int, str]:
    """The place of the answer with the most votes, and whether that settles it: it has enough of them, and no
    other has as many.
    """
    best = max(range(len(votes)), key=votes.__getitem__)
    alone = sum(abs(count - votes[best]) < 1e-9 for count in votes) == 1
    return best, "vote" if alone and votes[best] >= needed - 1e-9 else "adjudicated"


def agreement(items: Sequence[Sequence[Demonstration]], names: Sequence[str]) -> dict[str, Any] | None:
    """Agreement of the reviewers beyond chance; None with a single reviewer, or with no two answers to
    compare.
    """
    judged: Mapping[str, list[int]] = {name: [] for name in names}
    for item in items:
        for a, b in combinations(item, 2):
            for name in names:
                first, second = a.meta["ranks"][name], b.meta["ranks"][name]
                judged[name].append((first < second) - (first > second))
    ratings = list(judged.values())
    if len(names) < 2 or not ratings[0]:
        return None
    by_pair = list(zip(*ratings, strict=True))
    pairs = list(combinations(ratings, 2))
    return {
        "pairs": len(by_pair),
        "raw": sum(sum(x == y for x, y in zip(a, b, strict=True)) for a, b in pairs)
        / (len(pairs) * len(by_pair)),
        "krippendorff_alpha": krippendorff_alpha([list(map(float, row)) for row in ratings], level="ordinal"),
        "fleiss_kappa": fleiss_kappa([[column.count(value) for value in (-1, 0, 1)] for column in by_pair]),
        "gwet_ac1": sum(gwet_ac1(a, b) for a, b in pairs) / len(pairs),
    }


def unique(names: Sequence[str]) -> list[str]:
    """The names, numbered where two are the same."""
    return [
        name if names.count(name) == 1 else f"{name} {names[: i + 1].count(name)}"
        for i, name in enumerate(names)
    ]
