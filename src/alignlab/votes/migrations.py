"""How the tables came to be, and change: numbered functions, each one transaction, in both dialects.

A new store gets the tables of today. The schema of a released version is never edited without a function that
brings older stores to it: one more in `CHANGES`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from sqlalchemy import Connection, inspect, select

from ..errors import DataError
from .schema import meta, metadata

CHANGES: tuple[Callable[[Connection], None], ...] = ()
"""The first makes schema 2 of schema 1, and so on."""


def newest() -> int:
    """The number of the schema that this program reads and writes."""
    return 1 + len(CHANGES)


def number_of(connection: Connection) -> int:
    """The schema of a store; 0 of an empty one.

    Raises:
        DataError: it is newer than this program, or no store of votes.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return 0
    if "meta" not in tables or "event" not in tables:
        raise DataError("the database holds other tables, and no votes", remedy="name another one")
    number = connection.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar()
    if number is None or not number.isdecimal():
        raise DataError("the store does not say by which schema it was made", remedy="take it from a backup")
    if int(number) > newest():
        raise DataError(
            f"the store was made by a newer alignlab: schema {number}, and this one knows {newest()}",
            remedy="the newer alignlab; nothing was changed",
        )
    return int(number)


def create(connection: Connection) -> None:
    """The tables of today, in an empty database."""
    metadata.create_all(connection)
    values = {"schema": str(newest()), "store": secrets.token_hex(8), "secret": secrets.token_hex(32)}
    connection.execute(meta.insert(), [{"key": key, "value": value} for key, value in values.items()])


def change(connection: Connection, number: int) -> None:
    """A store of this schema becomes one of the next, within the transaction that is open."""
    CHANGES[number - 1](connection)
    connection.execute(meta.update().where(meta.c.key == "schema").values(value=str(number + 1)))
