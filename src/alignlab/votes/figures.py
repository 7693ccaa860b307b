"""How far people agree, and what else their votes say of them. Intervals are over items, at 95 %."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from ..evals.statistics import bootstrap_sums, bootstrap_times, mean_by_prompt
from ..feedback.agreement import ac1_of, ac1_parts, alpha_of, coincidences
from ..records import Ranking
from . import schema
from .items import BY_CHANCE, ranking_of
from .people import people_of
from .voting import STRONGEST, ranks_of

SIGNS = (-1, 0, 1)
STRENGTHS = tuple(range(-STRONGEST, STRONGEST + 1))


@dataclass(frozen=True, slots=True)
class Said:
    """A vote that counts, with the item it is on.

    Attributes:
        given: what was said, in the order of the item's answers.
        why: why the item was asked when it was voted on.
    """

    id: str
    seq: int
    item: str
    annotator: str
    given: dict[str, Any]
    why: str
    late: bool
    asked: Ranking
    side: str
    repeat_of: str | None

    @property
    def ranks(self) -> list[int | None]:
        return ranks_of(self.given, len(self.asked.ranks))

    def pairs(self) -> Iterator[tuple[int, int, int]]:
        """Of each pair of answers that are ranked: their places, and -1 where the first is better, 1 where
        the second is, 0 for a tie.
        """
        for (i, a), (j, b) in combinations(enumerate(self.ranks), 2):
            if a is not None and b is not None:
                yield i, j, (a > b) - (a < b)


def votes_of(connection: Connection, task: str, *, group: str = "") -> list[Said]:
    """The votes of a task that count, by the order of its items and then of the votes.

    Args:
        group: of people of this group alone.
    """
    item, vote = schema.item.c, schema.vote.c
    rows = connection.execute(
        select(schema.vote, item.content, item.side, item.repeat_of)
        .join(schema.item, item.id == vote.item)
        .where(vote.task == task, vote.superseded_by.is_(None))
        .order_by(item.place, item.id, vote.seq)
    )
    members = {person.id for person in people_of(connection) if not group or group in person.groups}
    asked: dict[str, Ranking] = {}
    said = []
    for row in rows:
        if row.annotator in members:
            asked[row.item] = asked.get(row.item) or ranking_of(row.content)
            given = json.loads(row.given)
            about = row.id, row.seq, row.item, row.annotator, given, row.why, bool(row.late)
            said.append(Said(*about, asked[row.item], row.side, row.repeat_of))
    return said


def agreement(votes: Sequence[Said], *, seed: int = 0, why: Collection[str] = BY_CHANCE) -> dict[str, Any]:
    """How far people agree on items that were asked by chance (or for other reasons: `why`): each S with n
    items.

    A ranking counts as its pairs. `alpha` and `ac1` are of better, tie, worse; `alpha_ordinal` and `kappa`
    (quadratic weights, the mean over pairs of people of as many items as they share) of strengths where a
    pair has them.

    Returns:
        items, votes, people; alpha, alpha_ordinal, ac1, kappa, raw; shares of first, tie and second, which
        say why kappa and raw agreement may differ.
    """
    chance = [said for said in votes if said.why in why]
    table = _Table(chance)
    parts = table.by_item(ac1_parts(table.counts(table.signs, SIGNS)))
    values = list(map(float, STRENGTHS))
    nominal = table.by_item(_flat(coincidences(table.counts(table.signs, SIGNS))))
    ordinal = table.by_item(_flat(coincidences(table.counts(table.strengths, STRENGTHS))))
    shares = table.counts(table.signs, SIGNS).sum(0)
    total = max(1, int(shares.sum()))
    return {
        "items": len({said.item for said in chance}),
        "votes": len(chance),
        "people": len({said.annotator for said in chance}),
        "alpha": bootstrap_sums(lambda s: alpha_of(_square(s), [-1, 0, 1]), nominal, seed=seed),
        "alpha_ordinal": bootstrap_sums(
            lambda s: alpha_of(_square(s), values, level="ordinal"), ordinal, seed=seed
        ),
        "ac1": bootstrap_sums(_used(ac1_of), parts, seed=seed),
        "kappa": table.kappa(seed),
        "raw": bootstrap_sums(_ratio, parts[:, :2], seed=seed),
        "shares": {
            name: float(n) / total for name, n in zip(("first", "tie", "second"), shares, strict=True)
        },
    }


def _flat(tables: np.ndarray) -> np.ndarray:
    return tables.reshape(len(tables), tables.shape[1] * tables.shape[2])


def _square(sums: np.ndarray) -> np.ndarray:
    size = round(sums.shape[-1] ** 0.5)
    return sums.reshape(*sums.shape[:-1], size, size)


def _ratio(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return sums[..., 0] / sums[..., 1]


def _used(figure: Any) -> Any:
    """A figure of `ac1_parts`, of the labels that occur."""

    def of(sums: np.ndarray) -> np.ndarray:
        labels = sums[..., 3:].reshape(-1, sums.shape[-1] - 3).any(0)
        return figure(np.concatenate([sums[..., :3], sums[..., 3:][..., labels]], -1))

    return of


class _Table:
    """Votes as arrays with a row for each pair of answers that somebody compared."""

    def __init__(self, votes: Sequence[Said]) -> None:
        items: dict[str, int] = {}
        people: dict[str, int] = {}
        units: dict[tuple[str, int, int], int] = {}
        rows = []
        for said in votes:
            of = items.setdefault(said.item, len(items))
            by = people.setdefault(said.annotator, len(people))
            for i, j, sign in said.pairs():
                unit = units.setdefault((said.item, i, j), len(units))
                rows.append((unit, of, by, sign, said.given.get("strength", sign)))
        self.items = len(items)
        table = np.array(rows, dtype=int).reshape(-1, 5)
        self.units, self.of, self.by, self.signs, self.strengths = table.T
        self.item_of = np.zeros(len(units), dtype=int)
        self.item_of[self.units] = self.of

    def counts(self, labels: np.ndarray, all_labels: Sequence[int]) -> np.ndarray:
        """(U, C) how often each unit got which label."""
        counts = np.zeros((len(self.item_of), len(all_labels)))
        np.add.at(counts, (self.units, labels - all_labels[0]), 1)
        return counts

    def by_item(self, parts: np.ndarray) -> np.ndarray:
        """Parts of units, summed for each item."""
        summed = np.zeros((self.items, parts.shape[1]))
        np.add.at(summed, self.item_of, parts)
        return summed

    def kappa(self, seed: int) -> dict[str, Any]:
        """Kappa with quadratic weights of each two people on what both compared, the mean weighted by how
        much that is.

        With such weights it is 2 cov(x, y) / (var x + var y + (mean x - mean y)^2) (Fleiss and Cohen 1973), 1
        if both
        use one label only: so sums are enough.
        """
        by_unit: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for unit, by, strength in zip(self.units, self.by, self.strengths, strict=True):
            by_unit[int(unit)].append((int(by), int(strength)))
        rows = [
            (a, b, self.item_of[unit], x, y)
            for unit, each in by_unit.items()
            for (a, x), (b, y) in combinations(sorted(each), 2)
        ]
        first, second, items, x, y = np.array(sorted(rows), dtype=int).reshape(-1, 5).T
        begins = np.flatnonzero(np.diff(first, prepend=-1) | np.diff(second, prepend=-1))
        terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])

        def figure(times: np.ndarray) -> np.ndarray:
            if not len(begins):
                return np.full(times.shape[:-1], np.nan)
            drawn = times[..., items]
            sums = [np.add.reduceat(drawn * term, begins, axis=-1) for term in terms]
            n = sums[0]
            with np.errstate(invalid="ignore", divide="ignore"):
                x, y, xx, yy, xy = (total / n for total in sums[1:])
                apart = xx + yy - 2 * x * y  # var x + var y + (mean x - mean y)^2
                kappa = np.where(apart < 1e-12, 1.0, 2 * (xy - x * y) / apart)
                return np.nansum(kappa * n, -1) / n.sum(-1)

        return bootstrap_times(figure, self.items, len(set(items)), seed=seed, draws=200)


# --- what votes say of whoever gave them


def matrix(votes: Sequence[Said], *, why: Collection[str] = BY_CHANCE) -> list[dict[str, Any]]:
    """Of each two people, the share of pairs of answers on which they say the same: a, b, same, n."""
    signs: dict[tuple[str, int, int], dict[str, int]] = defaultdict(dict)
    for said in votes:
        if said.why in why:
            for i, j, sign in said.pairs():
                signs[said.item, i, j][said.annotator] = sign
    shared: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for by in signs.values():
        for a, b in combinations(sorted(by), 2):
            shared[a, b].append(by[a] == by[b])
    return [
        {"a": a, "b": b, "same": sum(same) / len(same), "n": len(same)}
        for (a, b), same in sorted(shared.items())
    ]


def habits(votes: Sequence[Said]) -> dict[str, Any]:
    """What decides beside what is said: each S over items.

    Returns:
        left: share of decided pairs that go to the answer that is seen first. length: 1 where the longer
            answer wins, -1 where the shorter does, the mean. repeats: share of pairs on which somebody says
            the same again.
        gold: share of pairs of known answers that are right, whatever they were asked for.
    """
    left, length, repeats, gold = _Column(), _Column(), _Column(), _Column()
    first = {(said.item, said.annotator): said for said in votes}
    for said in votes:
        seen = {place: number for number, place in enumerate(said.given["order"])}
        texts = [completion.text for completion in said.asked.completions]
        before = first.get((said.repeat_of or "", said.annotator))
        again = {(i, j): sign for i, j, sign in before.pairs()} if before else {}
        for i, j, sign in said.pairs():
            truth = said.asked.ranks[i] - said.asked.ranks[j]
            if said.why != "repeat" and (truth or said.why == "gold"):
                gold.add(said.item, float(sign == (truth > 0) - (truth < 0)))
            if said.why == "repeat":
                if (i, j) in again:
                    repeats.add(said.item, float(sign == again[i, j]))
            elif sign and said.why != "gold":
                left.add(said.item, float((sign < 0) == (seen[i] < seen[j])))
                if len(texts[i]) != len(texts[j]):
                    longer_first = len(texts[i]) > len(texts[j])
                    length.add(said.item, 1.0 if (sign < 0) == longer_first else -1.0)
    return {
        "left": left.mean(share=True),
        "length": length.mean(),
        "repeats": repeats.mean(share=True),
        "gold": gold.mean(share=True),
    }


class _Column:
    def __init__(self) -> None:
        self.values: list[float] = []
        self.items: list[str] = []

    def add(self, item: str, value: float) -> None:
        self.values.append(value)
        self.items.append(item)

    def mean(self, *, share: bool = False) -> dict[str, Any]:
        return mean_by_prompt(self.values, self.items, share=share)


def mirror(votes: Sequence[Said], person: str) -> dict[str, Any]:
    """What somebody's votes say of them, for them alone: n, `habits`, and the seconds each vote took, in
    their order.
    """
    mine = sorted((said for said in votes if said.annotator == person), key=lambda said: said.seq)
    seconds = [said.given["ms"] / 1000 for said in mine]
    return {"n": len(mine), **habits(mine), "seconds": seconds}


def disputed(votes: Sequence[Said]) -> list[dict[str, Any]]:
    """Items on which people differ, the most divided first: item, and for each pair of answers how many
    prefer the first, neither, the second.
    """
    counts: dict[str, dict[tuple[int, int], list[int]]] = defaultdict(dict)
    for said in votes:
        for i, j, sign in said.pairs():
            counts[said.item].setdefault((i, j), [0, 0, 0])[sign + 1] += 1
    rows = []
    for item, pairs in counts.items():
        divided = max(min(first, second) for first, _, second in pairs.values())
        if divided:
            listed = [{"pair": list(pair), "votes": votes} for pair, votes in pairs.items()]
            rows.append((divided, {"item": item, "pairs": listed}))
    return [row for _, row in sorted(rows, key=lambda each: -each[0])]
