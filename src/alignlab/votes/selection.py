"""What to ask next: items that tell most, while the rest goes on by chance.

At least the task's `random_share` of its items stays by chance, whatever is selected: test sets, agreement
and win rates use those alone. Questions that are held out are never selected, nor is what everybody is asked
or whose answer is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

from ..records import Ranking
from ..text.near_duplicates import near_duplicates
from .chain import sha256
from .decisions import decided
from .figures import Said, disputed, votes_of
from .items import ask_first, items_of, ranking_of
from .power import better_next
from .tasks import task_of
from .writer import Transaction

How = Literal["uncertain", "disputed", "power"]
MOST_VOTES = 4
"""On an item that people dispute: two that differ get a third and a fourth, and then it stands 3:1, or is
divided, which more votes would not change.
"""
LOOKED_AT = 4
"""Times as many items as are wanted that are compared for near-duplicates, the most uncertain."""
Scores = Callable[[Ranking], Sequence[float] | None]
"""The rewards of a ranking's completions, where all are known."""


@dataclass
class Selected:
    """How many items are asked first now, and why others are not, with how often."""

    changed: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, why: str, count: int = 1) -> None:
        if count:
            self.left_out[why] = self.left_out.get(why, 0) + count


def select(
    transaction: Transaction, task: str, how: How, *, count: int, scores: Scores | None = None
) -> Selected:
    """Have up to `count` items of a task asked before others.

    Args:
        how: uncertain = `uncertain` by `scores`, of items that need votes, near-duplicates once. disputed =
            items on which two people differ, up to `MOST_VOTES` votes. power = items drawn by chance, new
            ones or for one more vote, whichever narrows the interval more (`power.better_next`).

    Raises:
        Refused: no such task.
    """
    settings, _ = task_of(transaction.connection, task)
    rows = [row for row in items_of(transaction.connection, task) if row["why"] not in ("gold", "repeat")]
    free = [row for row in rows if row["side"] == "train" and row["why"] != "calibration"]
    found = Selected()
    found.leave_out("held out", sum(row["side"] == "test" for row in rows))
    needed = None
    match how:
        case "uncertain":
            wanted = _uncertain(free, scores or (lambda _: None), count, found)
        case "disputed":
            wanted = _disputed(transaction, task, free, found)
            needed = MOST_VOTES
        case "power":
            wanted, needed = _by_chance(transaction, task, free)
    wanted, beyond = wanted[:count], len(wanted[count:])
    found.leave_out("more than were wanted", beyond)
    if how != "power":
        room = _room(rows, settings.random_share)
        already = {row["id"] for row in rows if row["why"] in ("uncertain", "disputed")}
        kept: list[str] = []
        for id in wanted:
            if id in already:
                kept.append(id)
            elif room > 0:
                room -= 1
                kept.append(id)
            else:
                found.leave_out("kept to be asked by chance")
        wanted = kept
    priorities = {id: len(wanted) - place for place, id in enumerate(wanted)}
    found.changed = ask_first(transaction, task, priorities, why=how, needed=needed)
    return found


def _room(rows: Sequence[Mapping[str, Any]], share: float) -> int:
    """How many more items can be selected so that this share of all stays by chance."""
    selected = sum(row["why"] in ("uncertain", "disputed") for row in rows)
    return max(0, len(rows) - math.ceil(share * len(rows) - 1e-9) - selected)


def _uncertain(rows: Sequence[Mapping[str, Any]], scores: Scores, count: int, found: Selected) -> list[str]:
    """Items that need votes, the most uncertain first, of near-duplicates the first alone."""
    listed = []
    for row in rows:
        if row["got"] >= row["needed"]:
            continue
        ranking = ranking_of(row["content"])
        rewards = scores(ranking)
        if rewards is None:
            found.leave_out("no score is known")
        else:
            listed.append((doubt(rewards), row["id"], _text(ranking)))
    listed.sort(key=lambda each: (-each[0], each[1]))
    listed = listed[: LOOKED_AT * count]
    near = {i for i, _ in near_duplicates([text for _, _, text in listed])}
    found.leave_out("nearly the same as another", len(near))
    return [id for place, (_, id, _) in enumerate(listed) if place not in near]


def doubt(rewards: Sequence[float]) -> float:
    """How little rewards say of which answers are better, from 0 (sure) to 1: the mean over pairs of
    4 P (1 - P), P = sigmoid of the difference (Bradley and Terry 1952).
    """
    each = []
    for a, b in combinations(rewards, 2):
        p = 0.5 * (1 + math.tanh((a - b) / 2))
        each.append(4 * p * (1 - p))
    return sum(each) / len(each)


def _text(ranking: Ranking) -> str:
    return "\n".join([ranking.prompt.text, *sorted(answer.text for answer in ranking.completions)])


def _disputed(
    transaction: Transaction, task: str, rows: Sequence[Mapping[str, Any]], found: Selected
) -> list[str]:
    """Items of two or three votes that differ, and that nobody has decided: fewest votes first."""
    by_id = {row["id"]: row for row in rows}
    closed = decided(transaction.connection, task)
    wanted = []
    for each in disputed(votes_of(transaction.connection, task)):
        row = by_id.get(each["item"])
        if row is None:
            continue
        if row["id"] in closed:
            found.leave_out("decided")
        elif row["got"] >= MOST_VOTES:
            found.leave_out(f"{MOST_VOTES} votes or more already")
        else:
            wanted.append(row)
    return [row["id"] for row in sorted(wanted, key=lambda row: (row["got"], row["place"]))]


def _by_chance(
    transaction: Transaction, task: str, rows: Sequence[Mapping[str, Any]]
) -> tuple[list[str], int | None]:
    """Items in an order that nothing that was said has part in, and the votes that they need."""
    votes: list[Said] = votes_of(transaction.connection, task)
    plain = [row for row in rows if row["why"] in ("random", "power")]
    fresh = [row for row in plain if row["got"] == 0]
    voted = [row for row in plain if row["got"] >= row["needed"]]
    again = bool(voted) and (better_next(votes) == "vote" or not fresh)
    if again:
        fewest = min(row["got"] for row in voted)
        pool, needed = [row for row in voted if row["got"] == fewest], fewest + 1
    else:
        pool, needed = fresh, None
    return [row["id"] for row in sorted(pool, key=lambda row: sha256("power", row["id"]))], needed
