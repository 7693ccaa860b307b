"""Events -> votes. The same function folds an event when it happens and when everything is made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from . import schema
from .chain import canonical, sha256
from .schema import item, lease, vote

if TYPE_CHECKING:
    from .writer import Transaction


def apply(connection: Connection, event: Mapping[str, Any]) -> None:
    """What an event makes of the votes, the counts of items, and what is skipped."""
    match event["kind"]:
        case "vote":
            _vote(connection, event)
        case "undo":
            _supersede(connection, event["item"], event["actor"], by=event["id"])
        case "skip":
            _skip(connection, event["item"], event["actor"], 1)
        case "erase":
            _forget(connection, event["actor"])


def _vote(connection: Connection, event: Mapping[str, Any]) -> None:
    """A vote counts in the place of an earlier one by the same person on the same item."""
    if event["payload"] is None:  # erased since
        return
    said = json.loads(event["payload"])
    _supersede(connection, event["item"], event["actor"], by=event["id"])
    row = {
        "id": event["id"],
        "seq": event["seq"],
        "task": event["task"],
        "item": event["item"],
        "annotator": event["actor"],
        "given": canonical(said["given"]),
        "why": said["why"],
        "late": said["late"],
        "superseded_by": None,
    }
    connection.execute(vote.insert().values(row))
    _skip(connection, event["item"], event["actor"], 0)
    _count(connection, event["item"], 1)


def _supersede(connection: Connection, of: str, annotator: str, *, by: str) -> None:
    counted = vote.update().where(
        vote.c.item == of, vote.c.annotator == annotator, vote.c.superseded_by.is_(None)
    )
    if connection.execute(counted.values(superseded_by=by)).rowcount:
        _count(connection, of, -1)


def _skip(connection: Connection, of: str, annotator: str, skipped: int) -> None:
    whose = lease.update().where(lease.c.item == of, lease.c.annotator == annotator)
    connection.execute(whose.values(skipped=skipped))


def _forget(connection: Connection, annotator: str) -> None:
    counted = select(vote.c.item).where(vote.c.annotator == annotator, vote.c.superseded_by.is_(None))
    for of in connection.execute(counted).scalars().all():
        _count(connection, of, -1)
    connection.execute(vote.delete().where(vote.c.annotator == annotator))


def _count(connection: Connection, of: str, more: int) -> None:
    connection.execute(item.update().where(item.c.id == of).values(got=item.c.got + more))


# --- all of it


def rebuild(transaction: Transaction) -> None:
    """Votes, counts and what is skipped, from nothing but the events."""
    transaction.execute(vote.delete())
    transaction.execute(item.update().values(got=0))
    transaction.execute(lease.update().values(skipped=0))
    events = transaction.execute(select(schema.event).order_by(schema.event.c.seq)).mappings().all()
    for event in events:
        apply(transaction.connection, event)


def differs(connection: Connection) -> tuple[int, str] | None:
    """What is not as its event says, with the event's number: a vote, a count, an item, a guideline. None
    where all agree.

    Read in Python, so that a store that is open elsewhere can be looked at.
    """
    return _votes(connection) or _miscounted(connection) or _rewritten(connection)


def _votes(connection: Connection) -> tuple[int, str] | None:
    expected: dict[str, dict[str, Any]] = {}
    counted: dict[tuple[str, str], str] = {}
    events = connection.execute(select(schema.event).order_by(schema.event.c.seq)).mappings()
    for event in events:
        whose = event["item"], event["actor"]
        if event["kind"] == "vote" and event["payload"] is not None:
            said = json.loads(event["payload"])
            _replaced(expected, counted, whose, event["id"])
            expected[event["id"]] = {"seq": event["seq"], "given": canonical(said["given"])}
            expected[event["id"]] |= {"late": said["late"], "why": said["why"], "superseded_by": None}
            counted[whose] = event["id"]
        elif event["kind"] == "undo":
            _replaced(expected, counted, whose, event["id"])
    there = {row["id"]: row for row in connection.execute(select(vote)).mappings()}
    for id, row in expected.items():
        if id not in there or any(there[id][name] != value for name, value in row.items()):
            return row["seq"], "the vote is not what its event says"
    if more := there.keys() - expected.keys():
        return there[min(more)]["seq"], "a vote without its event"
    return None


def _replaced(
    expected: dict[str, dict[str, Any]], counted: dict[tuple[str, str], str], whose: tuple[str, str], by: str
) -> None:
    if before := counted.pop(whose, None):
        expected[before]["superseded_by"] = by


def _miscounted(connection: Connection) -> tuple[int, str] | None:
    counts = select(vote.c.item, func.count()).where(vote.c.superseded_by.is_(None)).group_by(vote.c.item)
    by_item = {row[0]: row[1] for row in connection.execute(counts)}
    for row in connection.execute(select(item.c.id, item.c.got, item.c.place)):
        if row.got != by_item.get(row.id, 0):
            made = select(schema.event.c.seq).where(schema.event.c.item == row.id).limit(1)
            return connection.execute(made).scalar() or 0, "the item's count of votes is wrong"
    return None


def _rewritten(connection: Connection) -> tuple[int, str] | None:
    """An item, or a guideline, that is not the one that was made."""
    items = {row.id: row for row in connection.execute(select(item.c.id, item.c.content, item.c.digest))}
    kinds = schema.event.c.kind.in_(("item", "guideline"))
    texts = {(row.task, row.version): row.text for row in connection.execute(select(schema.guideline))}
    made = select(schema.event).where(kinds).order_by(schema.event.c.seq)
    for event in connection.execute(made).mappings():
        said = json.loads(event["payload"])
        if event["kind"] == "item":
            row = items.pop(event["item"], None)
            if row is None or not said["digest"] == row.digest == sha256(json.loads(row.content)):
                return event["seq"], "the item is not the one that was made"
        elif said["digest"] != sha256(json.loads(texts.get((event["task"], said["version"]), "null"))):
            return event["seq"], "the guideline is not the one that was made"
    return (0, "an item without its event") if items else None
