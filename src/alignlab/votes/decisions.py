"""What whoever leads a task decides of an item on which people differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from ..records import ranks_from_scores
from .errors import Refused
from .items import MOST_ANSWERS
from .schema import event, item
from .tasks import new_id
from .voting import LONGEST_NOTE
from .writer import Transaction


@dataclass(frozen=True, slots=True)
class Decision:
    """The ranks of an item's answers, in their order there, and why they are so."""

    ranks: tuple[int, ...]
    note: str
    by: str
    at: int


def decide(
    transaction: Transaction, task: str, person: str, of: str, ranks: Sequence[int], note: str = ""
) -> int:
    """Decide an item: it needs no more votes, and a merge by majority takes these ranks. A later decision
    stands for an earlier one. The number of the event.

    Raises:
        Refused: not_found, or invalid: other ranks than one for each answer, 1 being best.
    """
    row = transaction.execute(select(item).where(item.c.id == of, item.c.task == task)).first()
    if row is None:
        raise Refused("not_found", f"the task has no item {of!r:.40}")
    if row.why in ("gold", "repeat"):
        raise Refused("invalid", f"a {row.why} item is decided already")
    if len(ranks) != row.n or not all(1 <= rank <= MOST_ANSWERS for rank in ranks):
        raise Refused("invalid", f"{row.n} answers have {row.n} ranks from 1, not {list(ranks)!r:.80}")
    if len(note) > LONGEST_NOTE:
        raise Refused("invalid", f"a note has at most {LONGEST_NOTE:,} letters")
    said = {"ranks": list(ranks_from_scores([-rank for rank in ranks])), "note": note}
    if row.why != "calibration":
        transaction.execute(item.update().where(item.c.id == of).values(needed=row.got))
    return transaction.append(new_id(), "adjudicate", said, actor=person, task=task, item=of)["seq"]


def decided(connection: Connection, task: str) -> dict[str, Decision]:
    """The decisions of a task that stand, by item."""
    rows = (
        select(event.c.item, event.c.actor, event.c.at, event.c.payload)
        .where(event.c.kind == "adjudicate", event.c.task == task, event.c.payload.is_not(None))
        .order_by(event.c.seq)
    )
    found = {}
    for row in connection.execute(rows):
        said = json.loads(row.payload)
        found[row.item] = Decision(tuple(said["ranks"]), said["note"], row.actor, row.at)
    return found
