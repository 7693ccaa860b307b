"""What people say of an answer by itself: an event of kind `label` each. The newest of somebody on a subject
stands for those before; one who is erased has said nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from .errors import Refused
from .schema import event
from .tasks import new_id
from .voting import LONGEST_NOTE
from .writer import Transaction

LABELS = ("comply", "partial", "refuse", "void")


@dataclass(frozen=True, slots=True)
class Labelled:
    """What somebody says of a subject.

    Attributes:
        label: of LABELS; None takes back what was said.
        at: microseconds since 1970. seq: the number of the event.
    """

    subject: str
    person: str
    label: str | None
    note: str
    at: int
    seq: int


def label(transaction: Transaction, person: str, subject: str, value: str | None, note: str = "") -> int:
    """Say what an answer is, or with None take it back; the number of the event. The same again is the same
    event.

    Args:
        subject: by which prompt and answer are known, as `redteam.judging` does.

    Raises:
        Refused: invalid.
    """
    if value is not None and value not in LABELS:
        raise Refused("invalid", f"there is no label {value!r:.40}", remedy=f"one of: {', '.join(LABELS)}")
    if len(note) > LONGEST_NOTE:
        raise Refused("invalid", f"a note has at most {LONGEST_NOTE:,} letters")
    last = {said.person: said for said in _said(transaction.connection, subject)}.get(person)
    if last and (last.label, last.note) == (value, note):
        return last.seq
    given = {"label": value, "note": note}
    return transaction.append(new_id(), "label", {"given": given}, actor=person, item=subject)["seq"]


def labels_of(connection: Connection) -> dict[str, Labelled]:
    """What is said of each subject: the newest of whoever said something last and has not taken it back."""
    newest = {(said.subject, said.person): said for said in _said(connection)}
    ordered = sorted(newest.values(), key=lambda said: said.seq)
    return {said.subject: said for said in ordered if said.label is not None}


def _said(connection: Connection, subject: str = "") -> Iterator[Labelled]:
    """Everything that was said, of one subject or of all, in order."""
    asked = select(event).where(event.c.kind == "label", event.c.payload.is_not(None)).order_by(event.c.seq)
    if subject:
        asked = asked.where(event.c.item == subject)
    for row in connection.execute(asked):
        given = json.loads(row.payload)["given"]
        yield Labelled(row.item, row.actor, given["label"], given["note"], row.at, row.seq)
