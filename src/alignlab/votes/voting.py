"""What somebody says of an item; taking it back; leaving it to others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from ..records import ranks_from_scores
from . import fold
from .assignment import COUNTED, Leased, begin, end, order_for, shown
from .chain import canonical
from .errors import Refused
from .items import LONGEST, MOST_ANSWERS
from .schema import event, item, lease, vote
from .tasks import Task, newest_guideline, task_of
from .writer import Transaction

FLAGS = ("unsafe", "broken", "private")
STRONGEST = 3
"""Strengths are whole numbers from -3 (the first answer, by far) over 0 (a tie) to 3 (the second)."""
BEST = 7
LONGEST_NOTE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What somebody says of an item, answers in the order in which they see them.

    Attributes:
        id: by which the same ballot sent twice is one; 8 to 64 letters, digits, - or _.
        ranks: mode ranking: of each answer, 1 is best, equal ranks are ties, None is left unranked.
        strength: modes pair and harm: -3 to 3, below 0 for the first answer.
        rating: mode rating: of each answer from 1 to 7, None is left out.
        text: mode edit: the better text.
        both_bad: none of the answers is good.
        flags: broken, private, or unsafe:PLACE for an answer (unsafe:0 is the first that is seen).
        sure: 1 to 3. ms: time taken. guideline: the version that was read.
    """

    id: str
    lease: str
    ranks: Sequence[int | None] | None = None
    strength: int | None = None
    rating: Sequence[int | None] | None = None
    text: str | None = None
    both_bad: bool = False
    flags: Sequence[str] = ()
    sure: int | None = None
    note: str = ""
    ms: int = 0
    guideline: int = 0


def vote_on(transaction: Transaction, person: str, ballot: Ballot) -> int:
    """Take a vote; the number of its event. Sent again, it is the same vote. A later one on the same item
    stands for an earlier one; a late one is kept, and says that it is late.

    Raises:
        Refused: not_yours, invalid, or other_payload: the id was used for something else.
    """
    row, of, settings = _leased(transaction, person, ballot.lease)
    order = order_for(transaction.secret, of, person)
    given = _given(ballot, settings, order)
    if (seq := _there(transaction, ballot.id, "vote", person, of["id"], given)) is not None:
        return seq
    if not 0 <= ballot.guideline <= newest_guideline(transaction.connection, of["task"]):
        raise Refused("invalid", f"there is no version {ballot.guideline} of the guideline")
    payload = {"given": given, "why": of["why"], "late": int(_is_late(transaction, row, of))}
    made = transaction.append(ballot.id, "vote", payload, actor=person, task=of["task"], item=of["id"])
    fold.apply(transaction.connection, made)
    end(transaction, row.id)
    return made["seq"]


def _is_late(transaction: Transaction, row: Any, of: Mapping[str, Any]) -> bool:
    """Whether a vote by a lease is one too many, or may be: the lease is over, or the item has all that it
    needs. A vote in the place of an earlier one is as late as that.
    """
    if (mine := _counted(transaction, row.annotator, row.item)) is not None:
        return bool(mine.late)
    return not row.given <= transaction.now < row.expires or of["got"] >= of["needed"]


def _counted(transaction: Transaction, person: str, of: str) -> Any:
    """The vote of somebody on an item that counts; None without one."""
    counted = select(vote).where(vote.c.item == of, vote.c.annotator == person, COUNTED)
    return transaction.execute(counted).first()


def undo(transaction: Transaction, person: str, id: str, vote_id: str) -> Leased:
    """Take a vote back: it counts no more, and the item is before its voter again.

    Args:
        id: of the undoing, as a ballot's.

    Raises:
        Refused: not_found, not_yours, stale (another vote or an undo came after it), other_payload.
    """
    _check_id(id)
    row = transaction.execute(select(vote).where(vote.c.id == vote_id)).first()
    if row is None:
        raise Refused("not_found", "there is no such vote")
    if row.annotator != person:
        raise Refused("not_yours", "the vote is somebody else's")
    of, settings = _item(transaction, row.item)
    held = transaction.execute(
        select(lease).where(lease.c.item == row.item, lease.c.annotator == person)
    ).first()
    if held is None:
        raise Refused("stale", "the vote was imported")
    if _there(transaction, id, "undo", person, row.item, {"vote": vote_id}) is None:
        if row.superseded_by is not None:
            raise Refused("stale", "the vote counts no more")
        payload = {"given": {"vote": vote_id}}
        made = transaction.append(id, "undo", payload, actor=person, task=row.task, item=row.item)
        fold.apply(transaction.connection, made)
        return shown(transaction, settings, of, person, held.id, begin(transaction, held.id))
    return shown(transaction, settings, of, person, held.id, held.expires)


def skip(
    transaction: Transaction,
    person: str,
    id: str,
    lease_id: str,
    *,
    flags: Sequence[str] = (),
    note: str = "",
) -> int:
    """Leave an item to others, perhaps with a flag; it does not come back. The number of the event.

    Raises:
        Refused: as `vote_on`; stale for an item that this person has voted on.
    """
    row, of, _ = _leased(transaction, person, lease_id)
    order = order_for(transaction.secret, of, person)
    given = {"flags": _flags(flags, order), "note": _note(note)}
    _check_id(id)
    if (seq := _there(transaction, id, "skip", person, of["id"], given)) is not None:
        return seq
    if _counted(transaction, person, of["id"]):
        raise Refused("stale", "you have voted on it", remedy="take the vote back first")
    made = transaction.append(id, "skip", {"given": given}, actor=person, task=of["task"], item=of["id"])
    end(transaction, row.id)
    fold.apply(transaction.connection, made)
    return made["seq"]


def guideline_read(connection: Connection, task: str, person: str) -> int:
    """The version of a task's guideline that somebody had read when they voted last; 0 before that."""
    mine = select(vote.c.given).where(vote.c.task == task, vote.c.annotator == person)
    newest = connection.execute(mine.order_by(vote.c.seq.desc()).limit(1)).scalar()
    return json.loads(newest).get("guideline", 0) if newest else 0


# --- what is looked up


def _leased(transaction: Transaction, person: str, id: str) -> tuple[Any, dict[str, Any], Task]:
    """A lease with its item and task, whether it holds or not."""
    row = transaction.execute(select(lease).where(lease.c.id == id)).first()
    if row is None:
        raise Refused("not_found", "there is no such lease")
    if row.annotator != person:
        raise Refused("not_yours", "the item is somebody else's")
    return row, *_item(transaction, row.item)


def _item(transaction: Transaction, id: str) -> tuple[dict[str, Any], Task]:
    of = dict(transaction.execute(select(item).where(item.c.id == id)).mappings().one())
    return of, task_of(transaction.connection, of["task"])[0]


def _there(
    transaction: Transaction, id: str, kind: str, person: str, of: str, given: Mapping[str, Any]
) -> int | None:
    """The number of an event that was sent before. Raises Refused (other_payload) if it was another."""
    row = transaction.execute(select(event).where(event.c.id == id)).first()
    if row is None:
        return None
    said = json.loads(row.payload)["given"] if row.payload and row.kind in ("vote", "undo", "skip") else None
    same = (row.kind, row.actor, row.item) == (kind, person, of)
    if not same or canonical(said) != canonical(given):
        raise Refused("other_payload", "that id was used for something else", remedy="a new id")
    return row.seq


# --- what is said, in the order of the item's answers


def _given(ballot: Ballot, settings: Task, order: tuple[int, ...]) -> dict[str, Any]:
    """A ballot as it is kept. Raises Refused for one that does not say what the mode asks."""
    _check_id(ballot.id)
    said = {"ranks": ballot.ranks, "strength": ballot.strength, "rating": ballot.rating, "text": ballot.text}
    asked = {"pair": "strength", "harm": "strength", "ranking": "ranks", "rating": "rating", "edit": "text"}
    name = asked[settings.mode]
    if [key for key, value in said.items() if value is not None] != [name]:
        raise Refused("invalid", f"the task is of mode {settings.mode}: {name}, and nothing else, is asked")
    given: dict[str, Any] = {"order": list(order), "both_bad": bool(ballot.both_bad)}
    match settings.mode:
        case "ranking":
            given["ranks"] = _placed(ballot.ranks or (), order, 1, MOST_ANSWERS)
        case "rating":
            given["rating"] = _placed(ballot.rating or (), order, 1, BEST)
        case "edit":
            if not 1 <= len((ballot.text or "").strip()) <= LONGEST:
                raise Refused("invalid", f"an edit has 1 to {LONGEST:,} letters")
            given["text"] = ballot.text
        case "pair":
            given["strength"] = _strength(ballot.strength, order)
        case "harm":
            given |= {"strength": _strength(ballot.strength, order), "harm": True}
    if ballot.sure is not None:
        given["sure"] = _whole(ballot.sure, 1, 3, "sure")
    given |= {"flags": _flags(ballot.flags, order), "note": _note(ballot.note)}
    return given | {
        "ms": _whole(ballot.ms, 0, 2**40, "ms"),
        "guideline": _whole(ballot.guideline, 0, 2**31, "guideline"),
    }


def _placed(values: Sequence[int | None], order: tuple[int, ...], low: int, high: int) -> list[int | None]:
    """Values of what is seen as those of the item's answers."""
    if len(values) != len(order):
        raise Refused("invalid", f"{len(order)} answers, and {len(values)} values")
    if sum(value is not None for value in values) < 2:
        raise Refused("invalid", "fewer than two answers are compared", remedy="skip the item")
    placed: list[int | None] = [None] * len(order)
    for place, value in zip(order, values, strict=True):
        placed[place] = None if value is None else _whole(value, low, high, "a rank or rating")
    return placed


def _strength(value: int | None, order: tuple[int, ...]) -> int:
    strength = _whole(value, -STRONGEST, STRONGEST, "strength")
    return strength if order == (0, 1) else -strength


def _flags(flags: Sequence[str], order: tuple[int, ...]) -> list[str]:
    kept = set()
    for flag in flags:
        name, _, place = flag.partition(":")
        if name == "unsafe" and place.isascii() and place.isdecimal() and int(place) < len(order):
            kept.add(f"unsafe:{order[int(place)]}")
        elif flag in FLAGS[1:]:
            kept.add(flag)
        else:
            raise Refused("invalid", f"there is no flag {flag!r:.40}", remedy="broken, private, unsafe:PLACE")
    return sorted(kept)


def _note(note: str) -> str:
    if not isinstance(note, str) or len(note) > LONGEST_NOTE:
        raise Refused("invalid", f"a note has at most {LONGEST_NOTE:,} letters")
    return note


def _whole(value: Any, low: int, high: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused("invalid", f"{name} is a whole number from {low} to {high}, not {value!r:.40}")
    return value


def _check_id(id: str) -> None:
    if not isinstance(id, str) or not re.fullmatch(r"[A-Za-z0-9_-]{8,64}", id):
        raise Refused("invalid", f"an id has 8 to 64 letters, digits, - or _, not {id!r:.80}")


def ranks_of(given: Mapping[str, Any], n: int) -> list[int | None]:
    """Of what somebody said of an item, the ranks of its answers: 1 is best, equal ranks are ties, None is
    left unranked. An edit ranks nothing.
    """
    if "strength" in given:
        return list(ranks_from_scores([-given["strength"], given["strength"]]))
    better = given.get("rating") or [None if rank is None else -rank for rank in given.get("ranks", ())]
    values = {place: value for place, value in enumerate(better) if value is not None}
    ranks: list[int | None] = [None] * n
    for place, rank in zip(values, ranks_from_scores(list(values.values())), strict=True):
        ranks[place] = rank
    return ranks
