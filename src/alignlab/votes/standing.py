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

    The same draws as in `assignment.ask`, place by place, for as long as items are free.
    """
    settings, _ = task_of(connection, task)
    counts = select(item.c.why, func.count()).where(item.c.task == task, free(person, now))
    rows = connection.execute(counts.group_by(item.c.why)).all()
    waiting = Counter({why: count for why, count in rows})
    gold, repeats, first = waiting.pop("gold", 0), waiting.pop("repeat", 0), waiting.pop("calibration", 0)
    others = waiting.total()
    held = _held(connection, task, person, now)
    if not settings.gold_share + settings.repeat_share:
        return held + first + others + repeats
    said, repeated = _said(connection, task, person)
    place = start = said.total() + held
    secret = connection.execute(select(meta.c.value).where(meta.c.key == "secret")).scalar_one()
    by_chance = held + sum(said[why] for why in BY_CHANCE)
    while place < start + FURTHEST:
        drawn = draw_of(secret, task, person, place)
        again = settings.gold_share <= drawn < settings.gold_share + settings.repeat_share
        if first:
            first -= 1
            by_chance += 1
        elif drawn < settings.gold_share and gold:
            gold -= 1
        elif again and by_chance - AGAIN_AFTER > repeated:
            repeated += 1
        elif others:
            others -= 1
            by_chance += 1
        else:
            break
        place += 1
    return held + place - start + first + others


def _held(connection: Connection, task: str, person: str, now: int) -> int:
    """Items that somebody looks at."""
    held = (
        select(func.count())
        .select_from(lease.join(item, lease.c.item == item.c.id))
        .where(item.c.task == task, lease.c.annotator == person, live(now))
    )
    return connection.execute(held).scalar_one()


def _said(connection: Connection, task: str, person: str) -> tuple[Counter[str], int]:
    """Votes of somebody by why their items are asked, and how many items came again."""
    mine = select(item.c.why, func.count()).join(vote, vote.c.item == item.c.id)
    mine = mine.where(vote.c.task == task, vote.c.annotator == person, COUNTED).group_by(item.c.why)
    again = select(func.count()).where(item.c.task == task, item.c.only_for == person)
    said = Counter({why: count for why, count in connection.execute(mine).all()})
    return said, connection.execute(again).scalar_one()
