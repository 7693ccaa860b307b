"""Demonstrations by a crowd: several people answer each prompt, reviewers vote, an adjudicator settles what
they disagree on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, groupby
from operator import eq
from typing import Any, Protocol

from ..errors import ConfigError
from ..evals.statistics import mean_ci, mean_over
from ..feedback import Judge, values_of
from ..feedback.agreement import fleiss_kappa, gwet_ac1, krippendorff_alpha
from ..feedback.writers import Writer
from ..records import Completion, Demonstration, Prompt, Ranking
from ..run import RunDir, derive_seed
from ..settings import CrowdSettings
from .demonstrations import answered, completions_of, first_of, settle


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
    """One answer per prompt into data/demonstrations.jsonl, the others, and why they lost, into
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
    writer_names = unique([writer.name for writer in writers])

    def answer(_: int, asked: Sequence[tuple[int, Prompt]]) -> Iterator[Demonstration]:
        for i, prompt in asked:
            # 1. everybody writes; equal texts stand once, in random order
            by_text: dict[str, list[str]] = {}
            for name, writer in zip(writer_names, writers, strict=True):
                text = (writer.write(i, prompt) or "").strip()
                if text:
                    by_text.setdefault(text, []).append(name)
            if not by_text:
                continue
            texts = list(by_text)
            random.Random(derive_seed(seed, "order", i)).shuffle(texts)
            answers = [Completion(prompt, text, source=by_text[text][0]) for text in texts]

            # 2. the reviewers vote
            ranks: dict[str, Sequence[int]] = {}
            if len(answers) > 1:
                for name, reviewer in zip(names, reviewers, strict=True):
                    ranks[name] = reviewer.rank(i, answers).ranks
            votes = [0.0] * len(answers)
            for rank in ranks.values():
                for k, place in enumerate(rank):
                    votes[k] += (place == 1) / rank.count(1)

            # 3. the winner by votes, or by the adjudicator's word
            best, settled, why = 0, "the same", ""
            if len(answers) > 1:
                best, settled = by_vote(votes, settings.majority * len(reviewers))
                why = "outvoted"
            if settled == "adjudicated":
                best, why = adjudicated(adjudicator, i, answers, votes), "the adjudicator chose another"
            places = list(zip(*ranks.values(), strict=True))  # by answer, the place that each reviewer gave
            for k, text in enumerate(texts):
                meta: dict[str, Any] = {
                    "kind": "crowd",
                    "item": i,
                    "writers": by_text[text],
                    "votes": round(votes[k], 4),
                    "settled": settled,
                    "ranks": dict(zip(ranks, places[k], strict=True)) if ranks else {},
                }
                if settled == "adjudicated":
                    meta["adjudicator"] = adjudicator.name
                yield answered(prompt, text, first_of((k != best, why)), **meta)

    # 4. what is kept, and how far the reviewers agreed
    chunks = run.in_chunks(list(enumerate(prompts)), answer, Demonstration, desc="crowd")
    rows = list(chain.from_iterable(chunks))
    _, counts = settle(run, rows)
    items = [list(group) for _, group in groupby(rows, key=lambda row: row.meta["item"])]
    kept = [row for row in rows if not row.rejected]
    settled_by = dict.fromkeys(("vote", "adjudicated", "the same"), 0)
    for row in kept:
        settled_by[row.meta["settled"]] += 1
    shares = {}
    for name in writer_names:
        shares[name] = mean_over(kept, lambda row, name=name: name in row.meta["writers"])
    counts |= {
        "asked": len(prompts),
        "unanswered": len(prompts) - len(items),
        "settled": settled_by,
        "writers": shares,
        "agreement": agreement(items, names),
    }
    if gold:
        counts |= worth(gold, items)
    return counts


def by_vote(votes: Sequence[float], needed: float) -> tuple[int, str]:
    """The place of the answer with the most votes, and whether that settles it: it has enough of them, and no
    other has as many.
    """
    best = max(range(len(votes)), key=votes.__getitem__)
    alone = sum(abs(count - votes[best]) < 1e-9 for count in votes) == 1
    return best, "vote" if alone and votes[best] >= needed - 1e-9 else "adjudicated"


def adjudicated(adjudicator: Reviewer, i: int, answers: Sequence[Completion], votes: Sequence[float]) -> int:
    """The place of the answer that the adjudicator puts first among those with votes; of several, the one
    with the most.
    """
    seen = [k for k, count in enumerate(votes) if count]
    if len(seen) == 1:
        return seen[0]
    ranks = adjudicator.rank(i, [answers[k] for k in seen]).ranks
    firsts = [k for k, rank in zip(seen, ranks, strict=True) if rank == 1]
    return max(firsts, key=lambda k: votes[k])


def worth(gold: Judge, items: Sequence[Sequence[Demonstration]]) -> dict[str, Any]:
    """What somebody who knows the truth makes of the answers that were kept, and of any answer."""
    kept: list[float] = []
    anybody: list[float] = []
    values = iter(values_of(gold, completions_of(list(chain.from_iterable(items)))))
    for item in items:
        weighed, writers = [], 0
        for row in item:
            value, wrote = next(values), len(row.meta["writers"])
            weighed.append(value * wrote)
            writers += wrote
            if not row.rejected:
                kept.append(value)
        anybody.append(sum(weighed) / writers)
    return {"gold": mean_ci(kept), "gold_any": mean_ci(anybody)}


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
    same = sum(sum(map(eq, a, b)) for a, b in pairs)
    counted = [(column.count(-1), column.count(0), column.count(1)) for column in by_pair]
    return {
        "pairs": len(by_pair),
        "raw": same / (len(pairs) * len(by_pair)),
        "krippendorff_alpha": krippendorff_alpha(ratings, level="ordinal"),
        "fleiss_kappa": fleiss_kappa(counted),
        "gwet_ac1": sum(gwet_ac1(a, b) for a, b in pairs) / len(pairs),
    }


def unique(names: Sequence[str]) -> list[str]:
    """The names, numbered where two are the same."""
    numbered: list[str] = []
    for place, name in enumerate(names):
        times = names[: place + 1].count(name)
        numbered.append(name if names.count(name) == 1 else f"{name} {times}")
    return numbered
