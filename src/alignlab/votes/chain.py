"""The chain of events: each one's hash covers the one before, and not its text, so that what a person said
can be erased and the chain still holds.

    hash = SHA-256 of [prev, seq, id, at, kind, actor, task, item, digest]
    digest = SHA-256 of [salt, payload]

Whoever rewrites history contradicts every head that was carried out of the store (in runs, exports, backups);
somebody who can rewrite those too is not stopped.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError

START = "0" * 64
"""What stands before the first event."""
ERASABLE = ("vote", "skip", "undo", "join", "label", "adjudicate")
"""Kinds of events whose payload an erasure empties."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest event: its number (0: none yet) and hash."""

    seq: int = 0
    hash: str = START

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @staticmethod
    def parse(text: str) -> Head:
        """Raises UserError for anything but NUMBER:HASH."""
        seq, _, digest = text.partition(":")
        if not (seq.isascii() and seq.isdecimal()) or len(digest) != len(START):
            raise UserError(f"{text!r:.80} is no head", remedy="NUMBER:HASH, as a run's summary says it")
        return Head(int(seq), digest)


def canonical(value: Any) -> str:
    """A JSON value as the one text that stands for it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def sha256(*parts: Any) -> str:
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def hash_of(row: Mapping[str, Any]) -> str:
    """The hash of an event, of its row in the store."""
    return sha256(
        *(row[name] for name in ("prev", "seq", "id", "at", "kind", "actor", "task", "item", "digest"))
    )


def link(head: Head, row: Mapping[str, Any], payload: Any) -> dict[str, Any]:
    """The row of the next event.

    Args:
        row: id, at, kind, actor, task and item.
    """
    salt = secrets.token_hex(16)
    text = canonical(payload)
    whole = {
        **row,
        "seq": head.seq + 1,
        "payload": text,
        "salt": salt,
        "digest": sha256(salt, text),
        "prev": head.hash,
    }
    return whole | {"hash": hash_of(whole)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of checking a chain: how far it is whole, where it ends, and what is wrong first."""

    events: int
    head: Head
    first_bad: int | None = None
    what: str = ""
    erased: int = 0

    @property
    def whole(self) -> bool:
        return self.first_bad is None


def check(rows: Iterable[Mapping[str, Any]], *, known: Head | None = None) -> Verdict:
    """Go along a chain from its first event.

    Args:
        rows: of all events, by number.
        known: a head that was carried out of the store, which must be part of this history.
    """
    head, count, erased = Head(), 0, 0
    emptied: dict[str, int] = {}
    last_erasure: dict[str, int] = {}
    for row in rows:
        if wrong := _wrong(row, head):
            return Verdict(count, head, head.seq + 1, wrong, erased)
        head, count = Head(row["seq"], row["hash"]), count + 1
        if row["payload"] is None:
            emptied.setdefault(row["actor"], row["seq"])
            erased += 1
        if row["kind"] == "erase":
            last_erasure[row["actor"]] = row["seq"]
        if known and known.seq == row["seq"] and known.hash != row["hash"]:
            return Verdict(count, head, row["seq"], "another history than the one the head is of", erased)
    for actor, seq in emptied.items():
        if seq > last_erasure.get(actor, 0):
            return Verdict(count, head, seq, "its text is gone, and nobody has erased it", erased)
    if known and known.seq > head.seq:
        return Verdict(count, head, head.seq + 1, f"the history ends before event {known.seq}", erased)
    return Verdict(count, head, erased=erased)


def _wrong(row: Mapping[str, Any], before: Head) -> str:
    """What is wrong with an event behind a head; nothing if nothing is."""
    if row["seq"] != before.seq + 1:
        return f"event {before.seq + 1} is missing"
    if row["prev"] != before.hash:
        return "it does not follow the event before it"
    if row["hash"] != hash_of(row):
        return "its hash is another"
    if row["payload"] is None:
        return "" if row["kind"] in ERASABLE else "its text is gone"
    return "" if row["digest"] == sha256(row["salt"], row["payload"]) else "its text is another"
