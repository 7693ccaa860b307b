"""The one thread that writes.

What is submitted while a commit is being synced shares the next one, each piece within a savepoint of its
own: so thirty people at once cost no more syncs than the disk can do, and "database is locked" cannot happen.
An answer goes out after its commit.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection, exc, select
from sqlalchemy.exc import DBAPIError

from ..errors import UserError
from . import chain, schema
from .chain import Head
from .database import Database
from .errors import NotSaved

T = TypeVar("T")
MOST_AT_ONCE = 64
OURS = (exc.IntegrityError, exc.DataError, exc.ProgrammingError)
"""Errors of the database that are about what was said to it, and not about the disk."""
Clock = Callable[[], int]
"""Microseconds since 1970."""


def wall_clock() -> int:
    return time.time_ns() // 1000


class Transaction:
    """What an operation writes with.

    Attributes:
        now: what the clock says. Times of events may go back when it is set; their order is their number.
        secret: the store's own, for orders and return codes.
        erases: something was erased: the write-ahead log, which still has it, is emptied behind the commit.
    """

    def __init__(self, connection: Connection, head: Head, now: int, secret: str) -> None:
        self.connection, self.head, self.now, self.secret = connection, head, now, secret
        self.erases = False

    def execute(self, statement: Any, *values: Any) -> Any:
        return self.connection.execute(statement, *values)

    def append(
        self, id: str, kind: str, payload: Any, *, actor: str = "", task: str = "", item: str = ""
    ) -> dict[str, Any]:
        """The next event of the chain; its row."""
        about = {"id": id, "at": self.now, "kind": kind, "actor": actor, "task": task, "item": item}
        row = chain.link(self.head, about, payload)
        self.execute(schema.event.insert().values(row))
        self.head = Head(row["seq"], row["hash"])
        return row


class Writer:
    """A thread with the only connection that writes. `submit` from any thread; `close` ends it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._connection: Connection | None = database.writing()
        self._secret = ""
        self._asked: queue.SimpleQueue[tuple[Callable[[Transaction], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, name="votes", daemon=True)
        self._lock, self._closed, self._erased = threading.Lock(), False, False
        self._thread.start()

    def submit(self, operation: Callable[[Transaction], T]) -> Future[T]:
        """Do something within a transaction; the future is done when it is on the disk.

        The future raises what the operation raised, nothing of it being kept, or NotSaved.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise NotSaved("the store is closed", remedy="send it again to the studio that runs")
            self._asked.put((operation, future))
        return future

    def close(self) -> None:
        """After what was submitted before."""
        with self._lock:
            self._closed = True
            self._asked.put(None)
        self._thread.join()

    # --- the thread

    def _work(self) -> None:
        ending = False
        while not ending:
            batch = [self._asked.get()]
            while len(batch) < MOST_AT_ONCE and batch[-1] is not None:
                try:
                    batch.append(self._asked.get_nowait())
                except queue.Empty:
                    break
            ending = batch[-1] is None
            asked = [one for one in batch if one is not None]
            self._together([one for one in asked if one[1].set_running_or_notify_cancel()])
        self._drop()

    def _together(self, batch: list[tuple[Callable[[Transaction], Any], Future[Any]]]) -> None:
        """One transaction, and the answers behind it."""
        if not batch:
            return
        answers: list[Callable[[], None]] = []
        try:
            connection = self._at_hand()
            with connection.begin():
                head = head_of(connection)
                for operation, future in batch:
                    head = self._one(connection, head, operation, future, answers)
        except Exception as error:  # BEGIN, COMMIT, or a connection that is broken
            self._drop()
            for _, future in batch:
                future.set_exception(self._not_saved(error))
            return
        self._empty_log(connection)
        for answer in answers:
            answer()

    def _empty_log(self, connection: Connection) -> None:
        """Once something was erased, take the log into the file, where it is overwritten; if that fails now,
        behind the next transaction.
        """
        driver = connection.connection.driver_connection
        if not self._erased or not self._database.is_sqlite or driver is None:
            return
        try:
            busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self._erased = bool(busy)
        except sqlite3.Error:
            self._drop()

    def _one(
        self,
        connection: Connection,
        head: Head,
        operation: Callable[[Transaction], Any],
        future: Future[Any],
        answers: list[Callable[[], None]],
    ) -> Head:
        """One operation within its savepoint; the head behind it."""
        transaction = Transaction(connection, head, self._clock(), self._secret)
        savepoint = connection.begin_nested()
        try:
            result = operation(transaction)
        except DBAPIError as error:
            if not isinstance(error, OURS):
                raise  # the disk: nothing of this transaction can be kept
            savepoint.rollback()
            answers.append(lambda error=error: future.set_exception(error))
            return head
        except Exception as error:
            savepoint.rollback()
            answers.append(lambda error=error: future.set_exception(error))
            return head
        savepoint.commit()
        self._erased |= transaction.erases
        answers.append(lambda: future.set_result(result))
        return transaction.head

    def _at_hand(self) -> Connection:
        if self._connection is None:
            self._connection = self._database.writing()
        if not self._secret:
            with self._connection.begin():
                row = self._connection.execute(
                    select(schema.meta.c.value).where(schema.meta.c.key == "secret")
                )
                self._secret = row.scalar_one()
        return self._connection

    def _drop(self) -> None:
        """Give the connection up: the next transaction begins with a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except DBAPIError:
                connection.invalidate()

    def _not_saved(self, error: Exception) -> Exception:
        if isinstance(error, DBAPIError):
            why = str(error.orig).partition("\n")[0]
        elif isinstance(error, (OSError, UserError)):
            why = str(getattr(error, "what", error))
        else:
            return error
        return NotSaved(
            f"not saved: {why}", where=self._database.name, remedy="make room on the disk, and send it again"
        )


def head_of(connection: Connection) -> Head:
    """The newest event."""
    event = schema.event.c
    row = connection.execute(select(event.seq, event.hash).order_by(event.seq.desc()).limit(1)).first()
    return Head(row.seq, row.hash) if row else Head()
