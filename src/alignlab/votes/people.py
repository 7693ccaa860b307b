"""Who votes. Data knows somebody by an id that says nothing; the name is for the class alone, and can be
erased.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from . import fold
from .chain import ERASABLE, canonical
from .errors import Refused
from .schema import annotator, event, lease, session
from .tasks import new_id
from .writer import Transaction

LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that looks like another
MOST_PEOPLE = 200


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who votes.

    Attributes:
        return_code: said once, to whoever joins: with it the same name is the same person on another device.
    """

    id: str
    name: str
    role: str
    groups: tuple[str, ...] = ()
    return_code: str = ""


def join(
    transaction: Transaction,
    name: str,
    *,
    role: str = "annotator",
    return_code: str = "",
    groups: Sequence[str] = (),
) -> Person:
    """Somebody new, or with the return code whoever has the name.

    Raises:
        Refused: name_taken without the right code; invalid for a name of no letters, or the store is full.
    """
    shown = " ".join("".join(filter(_is_seen, name)).split())
    folded = unicodedata.normalize("NFKC", shown).casefold()
    if not 1 <= len(shown) <= 40 or not shown.isprintable():
        raise Refused("invalid", f"a name has 1 to 40 letters, not {name!r:.60}")
    stored = annotator.c
    there = transaction.execute(select(annotator).where(stored.folded == canonical(folded))).first()
    if there:
        given = _hashed(transaction.secret, return_code.strip().upper())
        if not hmac.compare_digest(given, there.return_hash or ""):
            remedy = "your return code, if it is you; else another name"
            raise Refused("name_taken", "somebody has that name", remedy=remedy)
        return person_of(transaction.connection, there.id)
    living = select(stored.id).where(stored.erased.is_(None))
    if len(transaction.execute(living).all()) >= MOST_PEOPLE:
        raise Refused("invalid", f"{MOST_PEOPLE} people have joined already", remedy="another store")
    code = new_code()
    row = _row(new_id(), role, groups, transaction.now) | {
        "name": canonical(shown),
        "folded": canonical(folded),
        "return_hash": _hashed(transaction.secret, code),
    }
    transaction.execute(annotator.insert().values(row))
    transaction.append(new_id(), "join", {"name": shown, "groups": sorted(groups)}, actor=row["id"])
    return Person(row["id"], shown, role, tuple(sorted(groups)), code)


def new_code() -> str:
    """Eight letters that can be read aloud: 40 bits."""
    return "".join(secrets.choice(LETTERS) for _ in range(8))


def _is_seen(letter: str) -> bool:
    """Whether a letter of a name is one: marks that join, part or turn letters come from keyboards, or to
    deceive, and two names that differ in them alone look alike.
    """
    return unicodedata.category(letter) != "Cf"


def known_as(transaction: Transaction, id: str) -> str:
    """Whoever data calls by that id, without a name here; somebody new if nobody is called so."""
    if not transaction.execute(select(annotator.c.id).where(annotator.c.id == id)).first():
        transaction.execute(annotator.insert().values(_row(id, "imported", (), transaction.now)))
        transaction.append(new_id(), "join", {"name": None, "groups": []}, actor=id)
    return id


def here(transaction: Transaction, id: str) -> str:
    """As `known_as`; somebody who was erased is here again, and what they said before is not."""
    gone = annotator.update().where(
        annotator.c.id == known_as(transaction, id), annotator.c.erased.is_not(None)
    )
    if transaction.execute(gone.values(erased=None, joined=transaction.now)).rowcount:
        transaction.append(new_id(), "join", {"name": None, "groups": []}, actor=id)
    return id


def is_here(connection: Connection, id: str) -> bool:
    """Whether somebody is called so and was not erased."""
    living = select(annotator.c.id).where(annotator.c.id == id, annotator.c.erased.is_(None))
    return connection.execute(living).first() is not None


def set_groups(transaction: Transaction, id: str, groups: Sequence[str]) -> None:
    """The groups of somebody, by which `collect --kind votes --group` chooses."""
    person_of(transaction.connection, id)
    changed = annotator.update().where(annotator.c.id == id)
    transaction.execute(changed.values(groups=canonical(sorted(groups))))


def _row(id: str, role: str, groups: Sequence[str], now: int) -> dict[str, Any]:
    return {"id": id, "role": role, "groups": canonical(sorted(groups)), "joined": now}


def _hashed(secret: str, code: str) -> str:
    return hmac.new(secret.encode(), b"return" + code.encode(), hashlib.sha256).hexdigest()


def person_of(connection: Connection, id: str) -> Person:
    """Raises Refused (not_found) for nobody, and for somebody who was erased."""
    row = connection.execute(select(annotator).where(annotator.c.id == id)).first()
    if row is None or row.erased is not None:
        raise Refused("not_found", "nobody here is called that", remedy="join again")
    name = json.loads(row.name) if row.name else ""
    return Person(row.id, name, row.role, tuple(json.loads(row.groups)))


def people_of(connection: Connection) -> list[Person]:
    """Everybody who is not erased, in the order in which they joined."""
    living = (
        select(annotator.c.id)
        .where(annotator.c.erased.is_(None))
        .order_by(annotator.c.joined, annotator.c.id)
    )
    return [person_of(connection, id) for id in connection.execute(living).scalars().all()]


def pseudonyms(connection: Connection) -> dict[str, str]:
    """What everybody who ever joined is called where names are hidden: P1 is who came first. It stays theirs
    when others are erased.
    """
    joined = select(annotator.c.id).order_by(annotator.c.joined, annotator.c.id)
    return {id: f"P{n}" for n, id in enumerate(connection.execute(joined).scalars(), 1)}


# --- sessions


def open_session(transaction: Transaction, id: str, token: str, *, expires: int) -> None:
    """Whoever shows the token is somebody, until then; only its hash is kept."""
    person_of(transaction.connection, id)
    transaction.execute(session.delete().where(session.c.expires <= transaction.now))
    row = {"hash": _token(token), "annotator": id, "expires": expires}
    transaction.execute(session.insert().values(row))


def close_session(transaction: Transaction, token: str) -> None:
    """The token is nobody's any more."""
    transaction.execute(session.delete().where(session.c.hash == _token(token)))


def whose(connection: Connection, token: str, now: int) -> Person | None:
    """Whose token it is; None if nobody's, or no more."""
    row = connection.execute(select(session).where(session.c.hash == _token(token))).first()
    return person_of(connection, row.annotator) if row and now < row.expires else None


def present(connection: Connection, now: int) -> set[str]:
    """The ids of all whose token still holds."""
    return set(connection.execute(select(session.c.annotator).where(session.c.expires > now)).scalars())


def _token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# --- what is kept of somebody


def kept_of(connection: Connection, id: str) -> dict[str, Any]:
    """Everything that is kept of somebody, to be given to them."""
    person = person_of(connection, id)
    row = connection.execute(select(annotator).where(annotator.c.id == id)).mappings().one()
    events = connection.execute(select(event).where(event.c.actor == id).order_by(event.c.seq)).mappings()
    shown = ("seq", "id", "at", "kind", "task", "item")
    return {
        "id": id,
        "name": person.name,
        "groups": list(person.groups),
        "joined": row["joined"],
        "events": [
            {name: each[name] for name in shown} | {"said": json.loads(each["payload"] or "null")}
            for each in events
        ],
    }


def erase(transaction: Transaction, id: str, *, by: str = "") -> int:
    """Forget somebody: name, sessions, and what they said. The chain of events still holds, and says that
    they asked for it. The number of events that were emptied.

    Copies that were made before (backups, exports, runs) are not ours to change.

    Args:
        by: who asked for it, where it was another; the chain says so.

    Raises:
        Refused: nobody is called that.
    """
    person_of(transaction.connection, id)
    emptied = event.update().where(event.c.actor == id, event.c.kind.in_(ERASABLE))
    count = transaction.execute(emptied.values(payload=None, salt=None)).rowcount
    transaction.execute(lease.delete().where(lease.c.annotator == id))
    transaction.execute(session.delete().where(session.c.annotator == id))
    gone = {"name": None, "folded": None, "return_hash": None, "groups": "[]", "erased": transaction.now}
    transaction.execute(annotator.update().where(annotator.c.id == id).values(gone))
    row = transaction.append(new_id(), "erase", {"by": by} if by else {}, actor=id)
    fold.apply(transaction.connection, row)
    transaction.erases = True
    return count
