"""A store of votes: opened by one process that writes, and read by any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, select

from ..errors import DataError
from ..run import Busy, writing
from ..run.lock import lock, release
from ..text.disk import make_folder, write_whole
from . import chain, fold, migrations, schema
from .chain import Head, Verdict
from .database import FILE, Database, in_use, url_of_store
from .writer import Clock, Transaction, Writer, wall_clock

P = ParamSpec("P")
T = TypeVar("T")
_open: set[Path] = set()  # of this process, whose lock keeps other processes out only


def name_of(connection: Connection) -> str:
    """The name of a store; every store has one of its own."""
    name = select(schema.meta.c.value).where(schema.meta.c.key == "store")
    return connection.execute(name).scalar_one()


def studio_folder(runs: Path) -> Path:
    """Where the studio of a folder of runs keeps what is its own."""
    return runs / "studio"


def has_store(runs: Path) -> bool:
    """Whether there is a store of a folder of runs; one on PostgreSQL is there."""
    return bool(url_of_store()) or (studio_folder(runs) / FILE).exists()


class Store:
    """The store that this process writes to. Use `Store.open`, and `close` at the end."""

    def __init__(self, database: Database, folder: Path, writer: Writer) -> None:
        self._database, self._writer, self.folder = database, writer, folder
        self._closed = False
        self.name = database.name

    @staticmethod
    def open(folder: Path, *, url: str | None = None, clock: Clock = wall_clock) -> Store:
        """Open the store of a studio's folder, made where there is none, and bring it to today's schema.

        An older SQLite store is copied beside itself first (`votes.schema-N.db`).

        Args:
            url: of a PostgreSQL database; None = what `ALIGNLAB_STORE` says; empty = SQLite.

        Raises:
            ResourceError: another process has it open, or the disk cannot be used. DataError: it is newer
            than this program (nothing is changed), or broken.
        """
        database = Database(folder / FILE, url_of_store() if url is None else url)
        with writing(folder):
            make_folder(folder)
        where = folder.absolute()
        try:
            if where in _open:
                raise in_use(database.name)
            lock(folder)
        except Busy:
            raise in_use(database.name) from None
        _open.add(where)
        try:
            database.lock()
            _bring_up(database)
            return Store(database, folder, Writer(database, clock))
        except BaseException:
            _close(database, folder)
            raise

    def submit(
        self, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Have an operation done; the future is done once that is on the disk.

        The future raises Refused for what the operation does not do, NotSaved where the disk did not take it.
        """
        return self._writer.submit(lambda transaction: operation(transaction, *args, **kwargs))

    def do(self, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`submit`, and wait for it."""
        return self.submit(operation, *args, **kwargs).result()

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection that cannot write; it sees what was committed when it was asked first."""
        return self._database.reading()

    def rebuild(self) -> None:
        """Make the votes again from the events."""
        self.do(fold.rebuild)

    def backup(self, file: Path) -> Verdict:
        """As `backup_of`."""
        return backup_of(self._database, file)

    def close(self) -> None:
        """After everything that was submitted before. Twice is the same."""
        if not self._closed:
            self._closed = True
            self._database.stop_reading()
            self._writer.close()
            _close(self._database, self.folder)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _close(database: Database, folder: Path) -> None:
    database.close()
    release(folder)
    _open.discard(folder.absolute())


def _bring_up(database: Database) -> None:
    """The tables of today. Raises DataError for a store that is newer, before anything is written to."""
    number = 0
    if not database.is_sqlite or database.file.exists():
        with database.reading() as connection:
            number = migrations.number_of(connection)
    if 0 < number < migrations.newest() and database.is_sqlite:
        with write_whole(database.file.with_name(f"votes.schema-{number}.db")) as staging:
            database.copy(staging)
    with database.writing() as connection:
        if number == 0:
            with connection.begin():
                migrations.create(connection)
        for older in range(number or migrations.newest(), migrations.newest()):
            with connection.begin():
                migrations.change(connection, older)


@contextmanager
def read_store(folder: Path) -> Iterator[Connection]:
    """A connection to a store that cannot write; it may be open elsewhere.

    Raises:
        DataError: there is none, it is broken, or of another schema than today's.
    """
    database = Database(folder / FILE, url_of_store())
    try:
        with database.reading() as connection:
            if (number := migrations.number_of(connection)) != migrations.newest():
                raise DataError(
                    f"the store is of schema {number}, and this program reads {migrations.newest()}",
                    where=database.name,
                    remedy="alignlab studio brings it up to date",
                )
            yield connection
    finally:
        database.close()


def audit(connection: Connection, *, known: Head | None = None) -> Verdict:
    """Whether the history is whole, and the votes are what it says.

    Args:
        known: a head that was carried out of the store, as a run of `collect --kind votes` has it in its
            summary.
    """
    rows = connection.execute(select(schema.event).order_by(schema.event.c.seq)).mappings()
    verdict = chain.check(map(dict, rows), known=known)
    if verdict.whole and (wrong := fold.differs(connection)):
        return Verdict(verdict.events, verdict.head, wrong[0], wrong[1], verdict.erased)
    return verdict


def backup_of(database: Database, file: Path) -> Verdict:
    """A whole copy of the store, checked: SQLite's own check, and the chain. It takes its name only when it
    is whole and on the disk.

    Raises:
        UserError: a store on PostgreSQL. NotSaved, ResourceError: no room. DataError: the copy is not whole.
    """
    with writing(file), write_whole(file) as staging:
        database.copy(staging)
        copied = Database(staging)
        try:
            with copied.reading() as connection:
                verdict = audit(connection)
        finally:
            copied.close()
        if not verdict.whole:
            raise DataError(
                f"the history is broken at event {verdict.first_bad}: {verdict.what}",
                where=database.name,
                remedy="alignlab studio audit; an older backup",
            )
    return verdict
