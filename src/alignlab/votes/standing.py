"""How much of a task is still before somebody. The known answers and repeats that they will be asked are
counted too: a total that grew whenever one of them comes would say which they are.
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection, func, select

from .assignment import AGAIN_AFTER, COUNTED, draw_of, free, live
from .items import BY_CHANCE
from .schema import item, lease, meta, vote
from .tasks import task_of

FURTHEST = 2000
"""Places that are looked ahead; behind them no known answers and repeats are counted."""


def ahead_of(connection: Connection, task: str, person: str, now: int) -> int:
    """How many items somebody may still be asked, those that they look at among them; others may come first.

    The same draws as in `assignment.ask`, place by place, for as long as items are free; of whoever holds
    several items at once it is assumed that they go on so.
    """
    settings, _ = task_of(connection, task)
    counts = select(item.c.why, func.count()).where(item.c.task == task, free(person, now))
    rows = connection.execute(counts.group_by(item.c.why)).all()
    waiting = Counter({why: count for why, count in rows})
    gold, again, first = (waiting.pop(why, 0) for why in ("gold", "repeat", "calibration"))
    others = waiting.total()
    held = _held(connection, task, person, now)
    if not settings.gold_share + settings.repeat_share:
        return len(held) + first + again + others
    seen = _said(connection, task, person) + held  # of each place, whether it was asked by chance
    begun, unseen = len(seen) - len(held), max(0, len(held) - 1) + AGAIN_AFTER
    known = select(func.count()).where(item.c.task == task, item.c.only_for == person)
    repeatable = sum(seen[: max(0, len(seen) - unseen)]) - connection.execute(known).scalar_one()
    secret = connection.execute(select(meta.c.value).where(meta.c.key == "secret")).scalar_one()
    while len(seen) < begun + FURTHEST:
        drawn = draw_of(secret, task, person, len(seen))
        repeats = settings.gold_share <= drawn < settings.gold_share + settings.repeat_share
        by_chance = False
        if first:
            first, by_chance = first - 1, True
        elif drawn < settings.gold_share and gold:
            gold -= 1
        elif repeats and again:
            again -= 1
        elif repeats and repeatable > 0:
            repeatable -= 1
        elif others:
            others, by_chance = others - 1, True
        elif again:
            again -= 1
        else:
            break
        seen.append(by_chance)
        if len(seen) > unseen:
            repeatable += seen[len(seen) - unseen - 1]
    return len(seen) - begun + first + others


def _held(connection: Connection, task: str, person: str, now: int) -> list[bool]:
    """Of the items that somebody looks at, whether they were asked by chance."""
    held = (
        select(item.c.why)
        .join(lease, lease.c.item == item.c.id)
        .where(item.c.task == task, lease.c.annotator == person, live(now))
        .order_by(lease.c.given, lease.c.id)
    )
    return [why in BY_CHANCE for why in connection.execute(held).scalars()]


def _said(connection: Connection, task: str, person: str) -> list[bool]:
    """Of the votes of somebody, in their order, whether their items were asked by chance."""
    mine = (
        select(item.c.why)
        .join(vote, vote.c.item == item.c.id)
        .where(vote.c.task == task, vote.c.annotator == person, COUNTED)
        .order_by(vote.c.seq)
    )
    return [why in BY_CHANCE for why in connection.execute(mine).scalars()]
