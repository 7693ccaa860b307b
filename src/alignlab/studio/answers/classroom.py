"""A class: joining it, holding it, and what it says so far."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select
from starlette.responses import Response

from ...records import Ranking
from ...votes import errors
from ...votes import schema as tables
from ...votes.assignment import COUNTED
from ...votes.people import Person, close_session, erase, join, open_session, people_of, person_of, present
from ...votes.tasks import task_of, tasks_of
from ...votes.writer import Transaction
from .. import schema
from ..classroom import Classroom
from ..desk import Visit
from ..inside import text
from ..problems import Refused, in_json
from ..sessions import HOURS

HERE = 60.0  # seconds without a word after which somebody is away
MOST_DISPUTED = 50
NONE = "the studio was begun without a class"
WITH = "alignlab studio FOLDER --class"


async def enter(visit: Visit, asked: schema.Join) -> Response:
    """The code of a class and a name for a cookie. A name that somebody has asks for its return code."""
    if visit.role == "instructor":
        raise Refused(409, "this browser is the teacher's", remedy="join in a private window")
    room = _room(visit)
    room.enter(asked.code)  # on the loop's own thread, as the count of wrong codes is: none slips in between
    token = secrets.token_urlsafe(32)
    given = asked.name, asked.return_code, token, visit.cookie
    try:
        person = await asyncio.wrap_future(room.store.submit(_join, *given))
    except errors.Refused as error:
        if error.code != "name_taken" or not asked.return_code:
            raise
        remedy = "the eight letters that were shown when the name was new; else another name"
        what = "that is not the return code of this name"
        raise Refused(401, what, remedy=remedy, field="return_code", code="wrong_code") from None
    room.see(person.id)
    answer = in_json(schema.Joined(name=text(person.name), return_code=person.return_code or None))
    secure = visit.door.scheme == "https"
    kept = {"max_age": HOURS * 3600, "httponly": True, "samesite": "strict", "secure": secure}
    answer.set_cookie(visit.door.cookie, token, **kept)
    return answer


def _join(transaction: Transaction, name: str, return_code: str, token: str, before: str) -> Person:
    person = join(transaction, name, return_code=return_code)
    close_session(transaction, before)
    open_session(transaction, person.id, token, expires=transaction.now + HOURS * 3_600_000_000)
    return person


def state(visit: Visit, asked: schema.Nothing) -> schema.Class:
    """The class: its code, who is there, what their votes say so far, and what goes wrong."""
    return _state(visit.desk.classroom)


def change(visit: Visit, asked: schema.ClassAsked) -> schema.Class:
    """Open or close the class, give it a task, a time, another code."""
    room = _room(visit)
    room.hold(open=asked.open, task=asked.task, new=asked.new_code, minutes=asked.minutes)
    return _state(room)


def remove(visit: Visit, asked: schema.Removed) -> schema.Class:
    """Somebody is out of the class: name, notes and votes are erased, and the code is another, so that they
    come in again only by the one that the teacher then shows them.
    """
    room = _room(visit)
    with room.store.reading() as connection:
        if person_of(connection, asked.id).role != "annotator":
            raise Refused(404, "nobody of the class is called that")
    if room.lesson.code:
        room.hold(new=True)
    room.store.do(erase, asked.id, by=visit.role)
    return _state(room)


def room(visit: Visit, asked: schema.Nothing) -> schema.Room:
    """The items on which the class differs, for all to see: no name is among them."""
    found = visit.desk.classroom
    said = found.said() if found else None
    if found is None or said is None:
        return schema.Room(question="", total=0, rows=[])
    with found.store.reading() as connection:
        question = text(task_of(connection, found.lesson.task)[0].asks)
    rows = [_disputed(row, asked_of) for row, asked_of in said.disputed[:MOST_DISPUTED]]
    return schema.Room(question=question, total=len(said.disputed), rows=rows)


def _disputed(row: Mapping[str, Any], asked_of: Ranking) -> schema.Disputed:
    """Of an item with more than two answers, the two that divide people most."""
    pair = max(row["pairs"], key=lambda each: min(each["votes"][0], each["votes"][2]))
    first, second = (text(asked_of.completions[place].text, schema.CUT) for place in pair["pair"])
    said = [
        schema.Said(role=each.role, content=text(each.content, schema.CUT))
        for each in asked_of.prompt.messages
    ]
    return schema.Disputed(prompt=said, first=first, second=second, votes=tuple(pair["votes"]))


def _room(visit: Visit) -> Classroom:
    if visit.desk.classroom is None:
        raise Refused(409, NONE, remedy=WITH, code="no_class")
    return visit.desk.classroom


def _state(room: Classroom | None) -> schema.Class:
    if room is None:
        return schema.Class(served=False)
    lesson, said, now = room.lesson, room.said(), time.time_ns() // 1000
    with room.store.reading() as connection:
        tasks = {id: text(name) for name, id in tasks_of(connection).items()}
        votes = _votes(connection, lesson.task)
        seats = _seats(connection, room, now, votes)
        items = select(func.count()).where(
            tables.item.c.task == lesson.task, tables.item.c.repeat_of.is_(None)
        )
        count = connection.execute(items).scalar_one()
    alpha = None
    if said:
        low, high = said.alpha["ci"] or (None, None)
        alpha = schema.Figure(name="alpha", value=said.alpha["mean"], low=low, high=high, n=said.alpha["n"])
    task = schema.ClassTask(id=lesson.task, name=tasks[lesson.task]) if lesson.task in tasks else None
    return schema.Class(
        served=True,
        open=bool(lesson.code),
        code=lesson.code,
        addresses=[_address(url, lesson.code) for url in room.urls],
        seconds_left=max(0.0, (lesson.until - now) / 1e6) if lesson.until else None,
        task=task,
        tasks=[schema.ClassTask(id=id, name=name) for id, name in tasks.items()],
        annotators=seats,
        votes=sum(votes.values()),
        items=count,
        alpha=alpha,
        disputed=len(said.disputed) if said else 0,
        troubles=[
            schema.ClassTrouble(what=text(one.what), remedy=text(one.remedy)) for one in room.troubles()
        ],
    )


def _votes(connection: Connection, task: str) -> dict[str, int]:
    """Votes on a task that count, by who gave them."""
    vote = tables.vote.c
    counts = select(vote.annotator, func.count()).where(vote.task == task, COUNTED).group_by(vote.annotator)
    return {row.annotator: row[1] for row in connection.execute(counts)}


def _seats(connection: Connection, room: Classroom, now: int, votes: Mapping[str, int]) -> list[schema.Seat]:
    """Whoever has joined and has a session or votes, by name."""
    lease, item = tables.lease.c, tables.item.c
    task = room.lesson.task
    at_it = select(lease.annotator).join(tables.item, item.id == lease.item)
    at_it = at_it.where(item.task == task, lease.given <= now, lease.expires > now)
    looking, there = set(connection.execute(at_it).scalars()), present(connection, now)
    seats = []
    for person in people_of(connection):
        if person.role != "annotator" or person.id not in there | votes.keys():
            continue
        ago = room.seen_ago(person.id)
        here = ago is not None and ago < HERE
        where = "away"
        if here:
            where = "looking" if person.id in looking else "here"
        name, count = text(person.name), votes.get(person.id, 0)
        seats.append(schema.Seat(id=person.id, name=name, state=where, ago=ago, votes=count))
    return sorted(seats, key=lambda seat: seat.name.casefold())


def _address(url: str, code: str) -> schema.Address:
    import segno  # only once somebody holds a class

    there = f"{url}/#code={code}" if code else url
    rows = [*segno.make(there, error="m", micro=False).matrix_iter(border=4)]
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark)
    return schema.Address(url=url, qr=schema.Qr(size=len(rows), path=path))
