"""How far a task is."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from .assignment import COUNTED
from .schema import item, lease, vote


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a task's items, but for those whose answer is known and those that somebody is asked again.

    Attributes:
        done: have all the votes they need, or of those that everybody is asked, one. left: votes that are
            still needed; none of those.
        votes, people: votes that count, and who gave them.
        online: people who look at an item now.
    """

    items: int
    done: int
    left: int
    votes: int
    people: int
    online: int


def progress(connection: Connection, task: str, now: int) -> Progress:
    """How far a task is, at a time in microseconds."""
    ordinary = (item.c.task == task) & item.c.why.not_in(("gold", "repeat"))
    rows = connection.execute(select(item.c.needed, item.c.got, item.c.why).where(ordinary)).all()
    wanted = [row for row in rows if row.why != "calibration"]
    by = vote.c.annotator.distinct()
    votes, people = connection.execute(
        select(func.count(), func.count(by)).select_from(vote).where(vote.c.task == task, COUNTED)
    ).one()
    looking = (
        select(func.count(lease.c.annotator.distinct()))
        .join(item, item.c.id == lease.c.item)
        .where(item.c.task == task, lease.c.given <= now, lease.c.expires > now)
    )
    return Progress(
        items=len(rows),
        done=sum(row.got >= (1 if row.why == "calibration" else row.needed) for row in rows),
        left=sum(max(0, row.needed - row.got) for row in wanted),
        votes=votes,
        people=people,
        online=connection.execute(looking).scalar_one(),
    )
