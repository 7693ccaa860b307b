"""Whoever asks: what is open to them, what is kept of them, and what their votes say of them."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from ...votes import assignment, figures, people, standing, tasks, voting
from ...votes.chain import sha256
from ...votes.store import name_of
from .. import schema
from ..desk import Visit
from ..inside import clean, text
from ..problems import in_json


def myself(visit: Visit, asked: schema.Nothing) -> schema.Myself:
    """Who asks, and the tasks that are open to them or that they voted in; in a class, its own alone is."""
    id = visit.person
    with visit.desk.store.reading() as connection:
        person = people.person_of(connection, id)
        listed = [_task(connection, task, id) for task in tasks.tasks_of(connection).values()]
        outbox = sha256(name_of(connection), id)[:16]
    room = visit.desk.classroom if visit.door.shared else None
    if room:
        shown = [task for task in listed if task.id == room.lesson.task or task.mine]
    else:
        shown = [task for task in listed if task.state == "open" or task.mine]
    return schema.Myself(id=id, name=text(person.name), role=visit.role, outbox=outbox, tasks=shown)


def _task(connection: Connection, id: str, person: str) -> schema.MyTask:
    settings, state = tasks.task_of(connection, id)
    about: dict[str, Any] = {"id": id, "mode": settings.mode, "state": state}
    return schema.MyTask(
        name=text(settings.name),
        question=text(settings.asks),
        left=assignment.left_of(connection, id),
        mine=assignment.mine_of(connection, id, person),
        ahead=standing.ahead_of(connection, id, person, time.time_ns() // 1000),
        guideline=tasks.newest_guideline(connection, id),
        read=voting.guideline_read(connection, id, person),
        **about,
    )


def erase(visit: Visit, asked: schema.Nothing) -> Response:
    """Whoever asks is forgotten: name, notes and votes. An annotator is signed out."""
    answer = in_json(schema.Erased(erased=visit.desk.store.do(people.erase, visit.person)))
    if visit.role == "annotator":
        answer.delete_cookie(visit.door.cookie, httponly=True, samesite="strict")
    return answer


def data(visit: Visit, asked: schema.Nothing) -> schema.MyData:
    """All that is kept of whoever asks."""
    id = visit.person
    with visit.desk.store.reading() as connection:
        kept = people.kept_of(connection, id)
    return schema.MyData.model_validate(clean(kept))


def mirror(visit: Visit, asked: schema.MirrorAsked) -> schema.Mirror:
    """What the votes of whoever asks say of them, in one task."""
    id = visit.person
    with visit.desk.store.reading() as connection:
        tasks.task_of(connection, asked.task)
        found = figures.mirror(figures.votes_of(connection, asked.task), id)
    habits = {name: _habit(found[name]) for name in ("left", "length", "repeats", "gold")}
    return schema.Mirror(n=found["n"], seconds=found["seconds"], **habits)


def _habit(found: dict[str, Any]) -> schema.Habit:
    low, high = found["ci"] or (None, None)
    return schema.Habit(mean=found["mean"], low=low, high=high, n=found["n"])
