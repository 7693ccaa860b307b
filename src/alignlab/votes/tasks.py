"""What is asked: a task with its mode and its rules, and the guideline that people read first."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Connection, func, select

from ..errors import DataError
from . import schema
from .chain import canonical, sha256
from .errors import Refused
from .writer import Transaction

Mode = Literal["pair", "ranking", "rating", "edit", "harm"]
MODES: tuple[Mode, ...] = get_args(Mode)
QUESTIONS: dict[Mode, str] = {
    "pair": "Which answer would you rather get?",
    "ranking": "In which order would you rather get these answers?",
    "rating": "How good is each answer?",
    "edit": "How would this answer be better?",
    "harm": "Which answer does more harm?",
}
SHARES = ("gold_share", "repeat_share", "random_share", "held_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task.

    Attributes:
        mode: pair (two answers, which is better and by how much), ranking (2 to 9, ties allowed), rating
            (each answer from 1 to 7), edit (the answer is written better), harm (which of two does more
            harm).
        question: what stands above the answers; empty = what its mode asks.
        overlap: votes that each item needs, from different people; a late one may come on top.
        calibration: so many items, the first, are asked of everybody.
        gold_share, repeat_share: of a person's places, the share that asks an item whose answer is known, or
            one that they have voted on before, its answers the other way round.
        random_share: share of a person's places that asks whatever comes by chance, though items are
            selected.
        held_out: share of the questions that are asked by chance only, and whose votes are kept for testing.
        seed: splits questions, as `data.split` does.
    """

    name: str
    mode: Mode
    question: str = ""
    overlap: int = 1
    calibration: int = 0
    gold_share: float = 0.0
    repeat_share: float = 0.0
    random_share: float = 0.3
    held_out: float = 0.15
    seed: int = 0

    @property
    def asks(self) -> str:
        """What stands above the answers."""
        return self.question or QUESTIONS[self.mode]

    def check(self) -> None:
        """Raises Refused for a value that a task cannot have."""
        wrong = ""
        if not 1 <= len(self.name) <= 64 or not self.name.isprintable() or self.name != self.name.strip():
            wrong = f"a task's name has 1 to 64 letters, not {self.name!r:.80}"
        elif self.mode not in MODES:
            wrong = f"there is no mode {self.mode!r:.40}: {', '.join(MODES)}"
        elif not 1 <= self.overlap <= 50 or self.calibration < 0:
            wrong = f"overlap = {self.overlap}, calibration = {self.calibration}: from 1 to 50, and from 0"
        elif share := next((name for name in SHARES if not 0 <= getattr(self, name) <= 1), ""):
            wrong = f"{share} = {getattr(self, share)} is no share"
        elif self.gold_share + self.repeat_share > 0.5 or self.held_out == 1:
            wrong = "gold and repeated items are at most half of the places, and held_out is below 1"
        if wrong:
            raise Refused("invalid", wrong)


def add_task(transaction: Transaction, task: Task, guideline: str = "") -> str:
    """A new task, open; its id. Its guideline becomes version 1, and none is version 0.

    Raises:
        Refused: invalid, or a task has the name already (name_taken).
    """
    task.check()
    taken = select(schema.task.c.id).where(schema.task.c.name == task.name)
    if transaction.execute(taken).first():
        raise Refused("name_taken", f"there is a task {task.name!r} already", remedy="another name")
    id = new_id()
    row = {"id": id, "name": task.name, "settings": canonical(asdict(task)), "state": "open"}
    transaction.execute(schema.task.insert().values(row))
    transaction.append(new_id(), "task", {"settings": asdict(task), "state": "open"}, task=id)
    if guideline:
        set_guideline(transaction, id, guideline)
    return id


def set_state(transaction: Transaction, task: str, state: Literal["open", "closed"]) -> None:
    """Open or close a task: a closed one gives no items and takes no votes but those for leases it gave."""
    task_of(transaction.connection, task)
    transaction.execute(schema.task.update().where(schema.task.c.id == task).values(state=state))
    transaction.append(new_id(), "task", {"state": state}, task=task)


def set_guideline(transaction: Transaction, task: str, text: str) -> int:
    """The next version of a task's guideline; its number."""
    task_of(transaction.connection, task)
    version = newest_guideline(transaction.connection, task) + 1
    row = {"task": task, "version": version, "text": canonical(text), "digest": sha256(text)}
    transaction.execute(schema.guideline.insert().values(row))
    transaction.append(new_id(), "guideline", {"version": version, "digest": row["digest"]}, task=task)
    return version


def newest_guideline(connection: Connection, task: str) -> int:
    """The number of the newest version; 0 without any."""
    versions = select(func.max(schema.guideline.c.version)).where(schema.guideline.c.task == task)
    return connection.execute(versions).scalar() or 0


def guidelines_of(connection: Connection, task: str) -> list[dict[str, Any]]:
    """Every version of a task's guideline: version, text, digest."""
    rows = connection.execute(
        select(schema.guideline).where(schema.guideline.c.task == task).order_by(schema.guideline.c.version)
    )
    return [{"version": row.version, "text": json.loads(row.text), "digest": row.digest} for row in rows]


def task_of(connection: Connection, id: str) -> tuple[Task, str]:
    """A task and its state. Raises Refused (not_found)."""
    row = connection.execute(select(schema.task).where(schema.task.c.id == id)).first()
    if row is None:
        raise Refused("not_found", f"there is no task {id!r:.40}")
    return Task(**json.loads(row.settings)), row.state


def task_named(connection: Connection, name: str) -> str:
    """The id of a task. Raises DataError for a name that no task has."""
    there = tasks_of(connection)
    if name not in there:
        listed = ", ".join(there) or "there is none yet"
        raise DataError(f"there is no task {name!r:.80}", remedy=f"one of: {listed}")
    return there[name]


def tasks_of(connection: Connection) -> dict[str, str]:
    """Every task: name to id."""
    rows = connection.execute(select(schema.task.c.name, schema.task.c.id).order_by(schema.task.c.name))
    return {row.name: row.id for row in rows}


def new_id() -> str:
    """A name that nobody can guess."""
    return secrets.token_hex(12)
