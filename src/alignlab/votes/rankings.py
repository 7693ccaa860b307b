"""Votes -> records that every trainer reads.

A ranking or a strength is a `Ranking` with its annotator; an answer that was left unranked is left out of it.
meta["margin"] is how strong a preference was, meta["scores"] the ratings, meta["safe"] what was flagged
unsafe (where anything was) and meta["safer"] the ranks by harm; meta["both_bad"] makes every answer a
disliked one. An edit is a demonstration, and preferred to what it was made of.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations
from types import MappingProxyType
from typing import Any, Literal

from ..errors import DataError
from ..records import Completion, Demonstration, Ranking, ranks_from_scores
from .decisions import Decision
from .figures import Said
from .items import BY_CHANCE

Merge = Literal["none", "soft", "majority"]


@dataclass
class Made:
    """Records of votes: rankings to learn from and held out, demonstrations likewise, and the votes that gave
    none, by the reason.
    """

    train: list[Ranking] = field(default_factory=list)
    test: list[Ranking] = field(default_factory=list)
    demonstrations: list[Demonstration] = field(default_factory=list)
    demonstrations_test: list[Demonstration] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def rankings(self) -> list[Ranking]:
        return self.train + self.test


def records_of(
    votes: Iterable[Said], merge: Merge = "none", decisions: Mapping[str, Decision] = MappingProxyType({})
) -> Made:
    """The records of a task's votes; gold and repeated items give none.

    Args:
        merge: none = each person's ranking by itself. soft = one ranking an item, a pair's label being
            (wins + ties / 2 + 1) / (n + 2). majority = one ranking an item, by pairs won less pairs lost.
        decisions: by item, what stands for its majority.

    Raises:
        DataError: votes that cannot be merged (edits, and which answer does more harm).
    """
    made, left_out = Made(), Counter[str]()
    by_item: dict[str, list[tuple[Said, Ranking]]] = defaultdict(list)
    for said in votes:
        if reason := _useless(said):
            left_out[reason] += 1
            continue
        if "text" in said.given:
            (made.demonstrations if said.side == "train" else made.demonstrations_test).append(_shown(said))
        by_item[said.item].append((said, _ranked(said)))
    for each in by_item.values():
        side = made.train if each[0][0].side == "train" else made.test
        if merge == "none":
            side += [ranking for _, ranking in each]
        else:
            merged, decision = _merged(each, merge), decisions.get(each[0][0].item)
            if decision and merge == "majority":
                merged = replace(merged, ranks=decision.ranks)
            side.append(merged)
    made.left_out = dict(left_out)
    return made


def _useless(said: Said) -> str:
    """Why a vote gives no record; empty if it gives one."""
    if said.why in ("gold", "repeat"):
        return f"{said.why} items"
    if flag := next((flag for flag in said.given["flags"] if flag in ("broken", "private")), ""):
        return f"flagged {flag}"
    if said.given.get("text") == said.asked.completions[0].text:
        return "edits that change nothing"
    return ""


def _shown(said: Said) -> Demonstration:
    return Demonstration(said.asked.prompt, said.given["text"], {"kind": "human", "who": said.annotator})


def _ranked(said: Said) -> Ranking:
    """What one person said of one item."""
    asked, given = said.asked, said.given
    meta: dict[str, Any] = {}
    if given["both_bad"]:
        meta["both_bad"] = True
    unsafe = {int(flag.partition(":")[2]) for flag in given["flags"] if flag.startswith("unsafe:")}
    if unsafe:
        meta["safe"] = [place not in unsafe for place in range(len(asked.ranks))]
    if "text" in given:
        edit = Completion(asked.prompt, given["text"], source=said.annotator)
        if unsafe:
            meta["safe"] = [True, *meta["safe"]]
        return Ranking(asked.prompt, (edit, *asked.completions), (1, 2), said.annotator, meta)
    ranks = said.ranks
    if given.get("harm"):
        meta["safer"] = ranks_from_scores([rank or 0 for rank in ranks])
        return Ranking(asked.prompt, asked.completions, (1,) * len(ranks), said.annotator, meta)
    if given.get("strength"):
        meta["margin"] = abs(given["strength"])
    if "rating" in given:
        meta["scores"] = given["rating"]
    places = [place for place, rank in enumerate(ranks) if rank is not None]
    whole = Ranking(asked.prompt, asked.completions, tuple(rank or 0 for rank in ranks), said.annotator, meta)
    return whole if len(places) == len(ranks) else whole.only(places)


# --- several people's votes as one


def _merged(each: Sequence[tuple[Said, Ranking]], merge: Merge) -> Ranking:
    first = each[0][0]
    if "text" in first.given or first.given.get("harm"):
        raise DataError(
            "edits, and which answer does more harm, cannot be merged", remedy="--merge none: each by itself"
        )
    count = len(first.asked.ranks)
    tally: dict[tuple[int, int], Counter[int]] = {pair: Counter() for pair in combinations(range(count), 2)}
    for said, _ in each:
        for i, j, sign in said.pairs():
            tally[i, j][sign] += 1
    scores = [Fraction(0)] * count
    labels = []
    for (i, j), votes in tally.items():
        label = (votes[-1] + Fraction(votes[0], 2) + 1) / (votes.total() + 2)
        labels.append(float(label))
        won = label - Fraction(1, 2)
        if merge == "majority":
            won = Fraction((votes[-1] > votes[1]) - (votes[-1] < votes[1]))
        scores[i] += won
        scores[j] -= won
    meta = _meta_of([said for said, _ in each], count)
    if merge == "soft":
        meta["labels"] = labels
    ranks = tuple(ranks_from_scores([float(score) for score in scores]))
    return Ranking(first.asked.prompt, first.asked.completions, ranks, "", meta)


def _meta_of(votes: Sequence[Said], count: int) -> dict[str, Any]:
    """What most people said of an item beside the order."""
    meta: dict[str, Any] = {}
    if sum(said.given["both_bad"] for said in votes) * 2 > len(votes):
        meta["both_bad"] = True
    flags = Counter(flag for said in votes for flag in said.given["flags"])
    if any(flag.startswith("unsafe:") for flag in flags):
        meta["safe"] = [flags[f"unsafe:{place}"] * 2 <= len(votes) for place in range(count)]
    return meta


# --- how good a judge of these votes can be


def agreed(votes: Iterable[Said]) -> float | None:
    """On items asked by chance, how often two people who both decide a pair of answers decide alike: the mean
    over items of the share of pairs of people. None where no pair was decided by two.
    """
    counts: dict[str, dict[tuple[int, int], Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for said in votes:
        if said.why in BY_CHANCE:
            for i, j, sign in said.pairs():
                counts[said.item][i, j][sign] += 1
    shares = []
    for pairs in counts.values():
        alike = both = 0
        for signs in pairs.values():
            first, second = signs[-1], signs[1]
            alike += first * (first - 1) + second * (second - 1)
            both += (first + second) * (first + second - 1)
        if both:
            shares.append(alike / both)
    return sum(shares) / len(shares) if shares else None


def ceiling_of(agreed: float) -> float:
    """The accuracy on single votes of somebody who knows what each pair's better answer is, if people err
    alike
    and independently: two of them agree with probability p^2 + (1 - p)^2, of which this is the greater root.
    """
    return (1 + max(0.0, 2 * agreed - 1) ** 0.5) / 2
