"""SQLite as a store of votes must have it, or PostgreSQL.

SQLite: a write-ahead log, synced at every commit (`synchronous=FULL`; NORMAL may lose commits when power is
lost); where a log cannot be had, as on a network disk, a rollback journal with `EXTRA`. What was asked for is
read back. One connection writes, the others cannot (`mode=ro`, `query_only`).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from ..errors import DataError, ResourceError, UserError
from ..run import writing as saving
from ..text.disk import sync_path
from ..text.streams import say
from .errors import NotSaved

VARIABLE = "ALIGNLAB_STORE"
"""Environment variable with the URL of a PostgreSQL database; the command line would show its password."""
FILE = "votes.db"
ALWAYS = {
    "fullfsync": 1,  # macOS: through the disk's own cache
    "checkpoint_fullfsync": 1,
    "foreign_keys": 1,
    "busy_timeout": 5000,
    "trusted_schema": 0,
    "secure_delete": 1,  # what is erased is overwritten
}
JOURNAL = "wal"
DURABLE = {"wal": 2, "delete": 3}
"""By journal, how a commit is synced: 2 = FULL, 3 = EXTRA."""


class Database:
    """Where votes lie: one engine that writes, one that only reads.

    Args:
        file: of SQLite.
        url: of a PostgreSQL database, in its place.

    Raises:
        UserError: the URL is none of PostgreSQL, or psycopg is not installed.
    """

    def __init__(self, file: Path, url: str = "") -> None:
        self.file = file
        self.is_sqlite = not url
        if self.is_sqlite:
            self._engines = _sqlite(self.file, writes=True), _sqlite(self.file, writes=False)
        else:
            self._engines = _postgres(url, writes=True), _postgres(url, writes=False)
        self._locked: Connection | None = None

    @property
    def name(self) -> str:
        """What the store is called in what people read; no password."""
        return str(self.file) if self.is_sqlite else self._engines[0].url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that cannot write, in one transaction. Raises DataError for what is no store."""
        self._must_be_there()
        try:
            with self._engines[1].connect() as connection:
                yield connection
        except DBAPIError as error:
            raise DataError(
                f"the store cannot be read: {_said(error)}", where=self.name, remedy="take it from a backup"
            ) from error

    def _must_be_there(self) -> None:
        if self.is_sqlite and not self.file.exists():
            raise DataError(
                "there are no votes yet", where=self.name, remedy="alignlab studio import makes a store"
            )

    def writing(self) -> Connection:
        """The connection that writes, as it must be. Raises ResourceError where it cannot be had."""
        if self.is_sqlite and not self.file.exists():
            with saving(self.file.parent):
                self.file.touch(mode=0o600)
                sync_path(self.file.parent)
        try:
            connection = self._engines[0].connect()
            if self.is_sqlite:
                _as_it_must_be(connection, self.name)
        except (DBAPIError, sqlite3.Error) as error:
            raise ResourceError(
                f"the store cannot be opened: {_said(error)}",
                where=self.name,
                remedy="make room, or mend the rights of its folder",
            ) from error
        return connection

    def lock(self) -> None:
        """PostgreSQL's own lock, for as long as this process lives. Raises ResourceError where somebody else
        has it.
        """
        if self.is_sqlite:
            return
        try:
            self._locked = self._engines[0].execution_options(isolation_level="AUTOCOMMIT").connect()
        except DBAPIError as error:
            raise ResourceError(
                f"the database cannot be reached: {_said(error)}", where=self.name, remedy=f"check {VARIABLE}"
            ) from error
        number = int.from_bytes(hashlib.sha256(b"alignlab votes").digest()[:7], "big")
        if not self._locked.execute(text("SELECT pg_try_advisory_lock(:n)"), {"n": number}).scalar():
            self._locked.close()
            raise in_use(self.name)

    def copy(self, file: Path) -> None:
        """A whole copy of what is there now, checked by SQLite itself. The file must not exist.

        Raises:
            UserError: PostgreSQL, which copies by its own tools. NotSaved: the disk did not take it.
        """
        if not self.is_sqlite:
            raise UserError(
                "a store on PostgreSQL is copied by PostgreSQL's own tools", where=self.name, remedy="pg_dump"
            )
        self._must_be_there()
        file.touch(mode=0o600)
        try:
            source = sqlite3.connect(_uri(self.file, "mode=ro"), uri=True)
            try:
                source.execute("VACUUM INTO ?", (str(file),))
            finally:
                source.close()
            copied = sqlite3.connect(_uri(file, "mode=ro"), uri=True)
            try:
                said = copied.execute("PRAGMA integrity_check").fetchone()[0]
            finally:
                copied.close()
        except sqlite3.Error as error:
            raise NotSaved(f"the copy was not made: {error}", where=str(file), remedy="make room") from error
        if said != "ok":
            raise DataError(f"the copy is not whole: {said}", where=str(file), remedy="check the disk")

    def stop_reading(self) -> None:
        """Close what reads: the connection that writes is then the last, and takes the log into the file."""
        self._engines[1].dispose()

    def close(self) -> None:
        if self._locked:
            self._locked.close()
        for engine in self._engines:
            engine.dispose()


def in_use(name: str) -> ResourceError:
    return ResourceError(
        "another process has this store of votes open", where=name, remedy="the studio that runs, or stop it"
    )


def _said(error: Exception) -> str:
    return str(getattr(error, "orig", error)).partition("\n")[0]


def _uri(file: Path, *query: str) -> str:
    return f"{file.absolute().as_uri()}?{'&'.join(query)}"


def _sqlite(file: Path, *, writes: bool) -> Engine:
    query = "mode=rwc" if writes else "mode=ro"

    def connected() -> sqlite3.Connection:
        # transactions are ours to begin; the pool hands a connection to one thread at a time
        connection = sqlite3.connect(
            _uri(file, query), uri=True, isolation_level=None, check_same_thread=False
        )
        if not writes:
            connection.execute("PRAGMA query_only = 1")
            connection.execute("PRAGMA busy_timeout = 5000")
        return connection

    pool: dict[str, Any] = {"poolclass": NullPool} if writes else {"poolclass": QueuePool, "pool_size": 4}
    engine = create_engine("sqlite://", creator=connected, **pool)

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _as_it_must_be(connection: Connection, name: str) -> None:
    """Settings, asked for and read back. Raises ResourceError for one that does not hold."""
    driver = connection.connection.driver_connection
    assert driver is not None

    def pragma(setting: str) -> Any:
        return (driver.execute(f"PRAGMA {setting}").fetchone() or (None,))[0]

    journal = pragma(f"journal_mode = {JOURNAL}")
    if journal != "wal":
        say(f"{name}: no write-ahead log here (a network disk?): a rollback journal, which is slower")
        journal = pragma("journal_mode = DELETE")
    wanted = ALWAYS | {"synchronous": DURABLE[journal]}
    for setting, value in wanted.items():
        pragma(f"{setting} = {value}")
        if (now := pragma(setting)) != value:
            raise ResourceError(
                f"SQLite does not keep {setting} = {value}, but {now}",
                where=name,
                remedy="another build of SQLite: votes would not survive a loss of power",
            )


def _postgres(url: str, *, writes: bool) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "postgresql":
            raise UserError(
                f"{VARIABLE} names a database of {parsed.get_backend_name()!r:.40}",
                remedy="postgresql://user:password@host/name, or nothing: SQLite in the studio's folder",
            )
        reads: dict[str, Any] = (
            {} if writes else {"connect_args": {"options": "-c default_transaction_read_only=on"}}
        )
        return create_engine(parsed.set(drivername="postgresql+psycopg"), **reads)
    except ArgumentError:
        raise UserError(
            f"{VARIABLE} is no URL of a database", remedy="postgresql://user:password@host/name"
        ) from None
    except ModuleNotFoundError:
        raise UserError(
            f"{VARIABLE} is set, and psycopg is not installed", remedy="pip install 'alignlab[postgres]'"
        ) from None


def url_of_store() -> str:
    """The URL in the environment; empty = SQLite."""
    return os.environ.get(VARIABLE, "")
