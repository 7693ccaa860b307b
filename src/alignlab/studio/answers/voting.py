"""What an annotator is asked, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...votes import assignment, standing, tasks, voting
from ...votes.assignment import Asked, Leased
from ...votes.errors import Refused
from ...votes.writer import Transaction
from .. import schema
from ..desk import Visit
from ..guideline import blocks_of, changes_of
from ..inside import text


def asked_next(visit: Visit, asked: schema.NextAsked) -> schema.Next:
    """Items to vote on, each leased to whoever asks."""
    found, ahead = visit.desk.store.do(_ask, asked, visit.person)
    return schema.Next(
        items=[_item(leased) for leased in found.items],
        state=found.state,
        with_others=found.with_others,
        left=found.left,
        mine=found.mine,
        ahead=ahead,
        guideline=found.guideline,
        seconds=assignment.LASTS // 1_000_000,
    )


def _ask(transaction: Transaction, asked: schema.NextAsked, person: str) -> tuple[Asked, int]:
    found = assignment.ask(transaction, asked.id, person, want=asked.want, held=asked.held)
    return found, standing.ahead_of(transaction.connection, asked.id, person, transaction.now)


def guideline(visit: Visit, asked: schema.GuidelineAsked) -> schema.Guideline:
    """What people read before they vote, and what changed since they read it."""
    person = visit.person
    with visit.desk.store.reading() as connection:
        tasks.task_of(connection, asked.id)
        versions = {row["version"]: row["text"] for row in tasks.guidelines_of(connection, asked.id)}
        since = asked.since
        if since is None:
            since = voting.guideline_read(connection, asked.id, person)
    newest = max(versions, default=0)
    before = versions.get(since, "")
    return schema.Guideline(
        version=newest,
        since=since,
        blocks=blocks_of(versions.get(newest, "")),
        changed=changes_of(before, versions[newest]) if before and since < newest else [],
    )


def leases(visit: Visit, asked: schema.Leases) -> schema.Held:
    """Leases that are looked at hold on; those of a page that was left are over."""
    return schema.Held(held=visit.desk.store.do(_leases, visit.person, asked.renew, asked.release))


def _leases(
    transaction: Transaction, person: str, renewed: Sequence[str], released: Sequence[str]
) -> list[str]:
    assignment.release(transaction, person, released)
    return list(assignment.renew(transaction, person, renewed))


def votes(visit: Visit, asked: schema.Votes) -> schema.Taken:
    """Votes and skips, each saved or refused by itself; the answer comes once they are on the disk. Where the
    disk does not take one, none is acknowledged: all may be sent again.
    """
    store, person = visit.desk.store, visit.person
    submitted = [(vote.id, store.submit(_vote, person, vote)) for vote in asked.votes]
    saved, refused = [], []
    for id, future in submitted:
        try:
            saved.append(schema.Saved(id=id, seq=future.result()))
        except Refused as error:
            refused.append(schema.NotTaken(id=id, code=error.code, what=text(error.what)))
    return schema.Taken(saved=saved, refused=refused)


def _vote(transaction: Transaction, person: str, vote: schema.Vote) -> int:
    said = vote.model_dump(exclude={"skip"}, exclude_defaults=True)
    if not vote.skip:
        return voting.vote_on(transaction, person, voting.Ballot(**said))
    if more := said.keys() - {"id", "lease", "flags", "note", "ms", "guideline"}:
        raise Refused("invalid", f"who skips an item says nothing of it: {', '.join(sorted(more))}")
    return voting.skip(transaction, person, vote.id, vote.lease, flags=vote.flags, note=vote.note)


def undo(visit: Visit, asked: schema.UndoAsked) -> schema.Item:
    """A vote is taken back, and its item is before its voter again."""
    return _item(visit.desk.store.do(voting.undo, visit.person, asked.undo, asked.id))


def _item(leased: Leased) -> schema.Item:
    about: dict[str, Any] = {"lease": leased.lease, "mode": leased.mode}
    prompt = [schema.Said(role=said.role, content=text(said.content)) for said in leased.prompt]
    return schema.Item(prompt=prompt, texts=[text(each) for each in leased.texts], **about)
