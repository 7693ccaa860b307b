"""Who is asked what, by leases.

A lease says that somebody is looking at an item; it is renewed while they do. When it is over the item is
free to all, and a vote that comes late still finds it. An item is free to somebody while its votes and the
leases of others are fewer than it needs, and they have neither voted on it nor skipped it.

A lease holds from when it was given until it expires, by the clock: one that was set back, or forward, ends
leases, and strands no item.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from ..records import Message
from .errors import Refused
from .items import BY_CHANCE, add_repeat, ranking_of
from .people import person_of
from .schema import item, lease, vote
from .tasks import Task, new_id, newest_guideline, task_of
from .writer import Transaction

LASTS = 120_000_000
"""Microseconds that a lease holds unless it is renewed."""
MOST_AT_ONCE = 3
AGAIN_AFTER = 5
"""So many of one's own votes lie between an item and its repeat, at least."""
COUNTED = vote.c.superseded_by.is_(None)


@dataclass(frozen=True, slots=True)
class Leased:
    """An item as somebody sees it: nothing in it says who wrote what, or which item it is.

    Attributes:
        texts: the answers in the order in which this person sees them.
    """

    lease: str
    mode: str
    prompt: tuple[Message, ...]
    texts: tuple[str, ...]
    expires: int


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer to "what next?".

    Attributes:
        state: more (items), others (somebody else looks at all that is left), done, or closed.
        with_others: where nothing is given, how many items somebody else looks at.
        left: votes that the task still needs, of anybody.
        mine: votes of this person that count.
    """

    items: tuple[Leased, ...]
    state: Literal["more", "others", "done", "closed"]
    with_others: int
    left: int
    mine: int
    guideline: int


def ask(
    transaction: Transaction, task: str, person: str, *, want: int = 1, held: Collection[str] = ()
) -> Asked:
    """Leases on what somebody is asked next: first those they have and the page has lost, then calibration
    items, what is due of gold and repeats, what is selected, and what has the fewest votes.

    Args:
        want: how many, up to 3.
        held: leases that the page has.

    Raises:
        Refused: no such task or person.
    """
    settings, state = task_of(transaction.connection, task)
    person_of(transaction.connection, person)
    mine = mine_of(transaction.connection, task, person)
    given: list[Leased] = []
    if state == "open":
        given += _lost(transaction, settings, task, person, held)[:want]
        while len(given) < min(want, MOST_AT_ONCE):
            place = mine + len(given) + len(held)
            row = _next(transaction, settings, task, person, place)
            if row is None:
                break
            given.append(_lease(transaction, settings, row, person))
    said: Literal["more", "others", "done", "closed"] = "done"
    with_others = 0
    if state == "closed":
        said = "closed"
    elif given or held:
        said = "more"
    elif with_others := _with_others(transaction, task, person):
        said = "others"
    left = left_of(transaction.connection, task)
    newest = newest_guideline(transaction.connection, task)
    return Asked(tuple(given), said, with_others, left, mine, newest)


def renew(transaction: Transaction, person: str, leases: Sequence[str]) -> dict[str, int]:
    """Leases of somebody hold on from now; when each expires. One that was over, and whose item others have
    taken since, is not among the answers: a vote would still be taken.
    """
    renewed = {}
    for id in leases:
        row = _lease_row(transaction, person, id)
        if row and (_holds(row, transaction.now) or _is_free(transaction, row.item, person)):
            renewed[id] = transaction.now + LASTS
            _set(transaction, id, transaction.now, renewed[id])
    return renewed


def release(transaction: Transaction, person: str, leases: Sequence[str]) -> None:
    """Leases of somebody end: the page was left."""
    for id in leases:
        if _lease_row(transaction, person, id):
            end(transaction, id)


def end(transaction: Transaction, id: str) -> None:
    """A lease is over."""
    _set(transaction, id, transaction.now, transaction.now)


def begin(transaction: Transaction, id: str) -> int:
    """A lease that was over holds again; until when."""
    _set(transaction, id, transaction.now, transaction.now + LASTS)
    return transaction.now + LASTS


def order_for(secret: str, row: dict[str, Any], person: str) -> tuple[int, ...]:
    """The order in which somebody sees the answers of an item: places of the answers, first seen first. A
    repeat shows them the other way round.
    """
    of = row["repeat_of"] or row["id"]

    def drawn(place: int) -> bytes:
        return hmac.new(secret.encode(), f"{of}\x1f{person}\x1f{place}".encode(), hashlib.sha256).digest()

    order = tuple(sorted(range(row["n"]), key=drawn))
    return order[::-1] if row["repeat_of"] else order


def mine_of(connection: Connection, task: str, person: str) -> int:
    votes = select(func.count()).where(vote.c.task == task, vote.c.annotator == person, COUNTED)
    return connection.execute(votes).scalar_one()


def live(now: int) -> ColumnElement[bool]:
    return and_(lease.c.given <= now, lease.c.expires > now)


def _holds(row: Any, now: int) -> bool:
    return row.given <= now < row.expires


def _lease_row(transaction: Transaction, person: str, id: str) -> Any:
    row = transaction.execute(select(lease).where(lease.c.id == id)).first()
    if row and row.annotator != person:
        raise Refused("not_yours", "the item is somebody else's")
    return row


def _set(transaction: Transaction, id: str, given: int, expires: int) -> None:
    transaction.execute(lease.update().where(lease.c.id == id).values(given=given, expires=expires))


def _lease(transaction: Transaction, settings: Task, row: dict[str, Any], person: str) -> Leased:
    """The item to somebody, for a while; whoever had it before keeps the lease's name."""
    before = select(lease.c.id).where(lease.c.item == row["id"], lease.c.annotator == person)
    id = transaction.execute(before).scalar()
    expires = transaction.now + LASTS
    if id:
        _set(transaction, id, transaction.now, expires)
    else:
        id = new_id()
        fresh = {"id": id, "item": row["id"], "annotator": person, "skipped": 0}
        fresh |= {"given": transaction.now, "expires": expires}
        transaction.execute(lease.insert().values(fresh))
    return shown(transaction, settings, row, person, id, expires)


def shown(
    transaction: Transaction, settings: Task, row: dict[str, Any], person: str, id: str, expires: int
) -> Leased:
    """An item as somebody sees it."""
    ranking = ranking_of(row["content"])
    order = order_for(transaction.secret, row, person)
    texts = tuple(ranking.completions[place].text for place in order)
    return Leased(id, settings.mode, ranking.prompt.messages, texts, expires)


def _lost(
    transaction: Transaction, settings: Task, task: str, person: str, held: Collection[str]
) -> list[Leased]:
    """Items that somebody has and the page does not know of: it was loaded anew."""
    rows = transaction.execute(
        select(item, lease.c.id.label("lease"))
        .join(lease, lease.c.item == item.c.id)
        .where(item.c.task == task, lease.c.annotator == person, live(transaction.now))
        .order_by(lease.c.id)
    ).mappings()
    return [
        _lease(transaction, settings, dict(row), person) for row in rows.all() if row["lease"] not in held
    ]


def _untouched(person: str, now: int) -> ColumnElement[bool]:
    """Condition: an item that somebody has neither voted on, nor skipped, nor before them."""
    voted = exists().where(vote.c.item == item.c.id, vote.c.annotator == person, COUNTED)
    mine = and_(lease.c.item == item.c.id, lease.c.annotator == person)
    return and_(~voted, ~exists().where(mine, or_(lease.c.skipped == 1, live(now))))


def free(person: str, now: int) -> ColumnElement[bool]:
    """Condition: an item that somebody can be asked."""
    others = and_(lease.c.item == item.c.id, lease.c.annotator != person, live(now))
    at_it = select(func.count()).select_from(lease).where(others).scalar_subquery()
    theirs = or_(item.c.only_for.is_(None), item.c.only_for == person)
    return and_(theirs, item.c.needed > item.c.got + at_it, _untouched(person, now))


def _is_free(transaction: Transaction, of: str, person: str) -> bool:
    found = select(item.c.id).where(item.c.id == of, free(person, transaction.now))
    return transaction.execute(found).first() is not None


def _next(
    transaction: Transaction, settings: Task, task: str, person: str, place: int
) -> dict[str, Any] | None:
    """The item that somebody is asked at a place of theirs; None if there is none."""
    theirs = and_(item.c.task == task, free(person, transaction.now))

    def first(condition: ColumnElement[bool], *order: Any) -> dict[str, Any] | None:
        rows = transaction.execute(
            select(item).where(theirs, condition).order_by(*order).limit(64)
        ).mappings()
        return _drawn(transaction, [dict(row) for row in rows], person)

    waiting = item.c.why == "repeat"
    draw = draw_of(transaction.secret, task, person, place)
    by_chance = item.c.why.in_(BY_CHANCE)
    usual = (item.c.priority.desc(), item.c.got)
    found = first(item.c.why == "calibration", item.c.place)
    if found is None and draw < settings.gold_share:
        found = first(item.c.why == "gold", item.c.got)
    elif found is None and draw < settings.gold_share + settings.repeat_share:
        found = first(waiting, item.c.place) or _repeat(transaction, task, person)
    if found is None and draw_of(transaction.secret, task, person, place, "chance") < settings.random_share:
        found = first(by_chance, item.c.got)
    return found or first(item.c.why.not_in(("gold", "repeat")), *usual) or first(waiting, item.c.place)


def _drawn(transaction: Transaction, rows: list[dict[str, Any]], person: str) -> dict[str, Any] | None:
    """Of the rows that come first alike, one by the store's secret, so that people do not all begin alike."""
    if not rows:
        return None
    best = [row for row in rows if (row["priority"], row["got"]) == (rows[0]["priority"], rows[0]["got"])]
    if best[0]["why"] == "calibration":
        return best[0]
    return min(best, key=lambda row: draw_of(transaction.secret, row["id"], person))


def draw_of(secret: str, *names: str | int) -> float:
    """A number in [0, 1) that belongs to these names."""
    text = "\x1f".join(map(str, names)).encode()
    return int.from_bytes(hmac.new(secret.encode(), text, hashlib.sha256).digest()[:6], "big") / 2**48


def _repeat(transaction: Transaction, task: str, person: str) -> dict[str, Any] | None:
    """An item that somebody has voted on a while ago, made anew for them."""
    votes = (
        select(item)
        .join(vote, vote.c.item == item.c.id)
        .where(vote.c.task == task, vote.c.annotator == person, COUNTED)
        .order_by(vote.c.seq.desc())
    )
    earlier = transaction.execute(votes).mappings().all()[AGAIN_AFTER:]
    again = select(item.c.repeat_of).where(item.c.task == task, item.c.only_for == person)
    repeated = set(transaction.execute(again).scalars())
    fit = [dict(row) for row in earlier if row["why"] in BY_CHANCE and row["id"] not in repeated]
    if not fit:
        return None
    return add_repeat(
        transaction, min(fit, key=lambda row: draw_of(transaction.secret, row["id"], person)), person
    )


def left_of(connection: Connection, task: str) -> int:
    """Votes that are still needed; gold and calibration items need none for the task to be done."""
    open_items = and_(item.c.task == task, item.c.why.not_in(("gold", "repeat", "calibration")))
    missing = select(func.sum(item.c.needed - item.c.got)).where(open_items, item.c.needed > item.c.got)
    return connection.execute(missing).scalar() or 0


def _with_others(transaction: Transaction, task: str, person: str) -> int:
    """How many items this person could vote on if the others let go of them."""
    wanted = and_(
        item.c.task == task,
        item.c.only_for.is_(None),
        item.c.why != "gold",
        item.c.needed > item.c.got,
        _untouched(person, transaction.now),
    )
    return transaction.execute(select(func.count()).select_from(item).where(wanted)).scalar_one()
