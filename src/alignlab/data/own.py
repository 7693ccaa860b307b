"""A reader of the user's own: a function from a path to rows or records (how it is named: `plugins`).

    # my_readers.py
    def forum(path):
        for line in open(path, encoding="utf-8"):
            question, answer = line.rstrip("\\n").split("\\t")
            yield {"prompt": question, "completion": answer}

    alignlab sft --data my_readers:forum:posts.tsv ...

Behind the reader's name stands what it is to read: `my_readers:forum:PATH`, or `NAME:PATH` for a reader that
an installed package brings along (`alignlab.readers`). Its rows are dictionaries in any format that files are
read in, or records (`alignlab.records`); everything that is said of a file's rows is said of them. A file
that is called so comes first, and no file of others may name a reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from .. import plugins
from ..errors import DataError
from ..records import Record
from ..text.nearest import nearest_path
from .bounds import Rows

NAME = re.compile(r"((?:python:)?[A-Za-z_][\w.]*:[A-Za-z_]\w*):(.+)", re.DOTALL)
RECORDS = get_args(Record)


def reader_in(name: str) -> tuple[str, str] | None:
    """The reader and the path that a name of data says; None for a name of anything else."""
    whole = NAME.fullmatch(name)
    if whole and plugins.parse(whole[1]) and not Path(name).exists():
        return whole[1], whole[2]
    first, _, path = name.partition(":")
    if path and first not in plugins.OURS and first in plugins.installed("reader"):
        return first, path
    return None


def check(reader: str, path: str) -> None:
    """Raise UserError unless both are there; nothing of anybody's is imported."""
    plugins.find("reader", reader)
    if not Path(path).expanduser().exists():
        raise DataError(
            f"no such file or folder for {reader}",
            where=path,
            remedy=nearest_path(Path(path)) or "check the path",
        )


def own_rows(reader: str, path: str) -> Rows:
    """What the reader gives for the path, numbered from 1.

    Raises:
        UserError: no such module, function or path. DataError: the reader failed, or gave something else than
            rows and records; with the row.
    """
    check(reader, path)
    with plugins.blamed(reader, where=path):
        found = plugins.load("reader", reader)(Path(path).expanduser())
    if not isinstance(found, Iterable) or isinstance(found, (str, bytes, Mapping)):
        raise DataError(
            f"{reader} gave {type(found).__name__}, and no rows",
            where=path,
            remedy="yield rows, or return a list of them",
        )
    with plugins.blamed(reader, where=path):
        yield from numbered(found, f"{reader}:{path}")


def numbered(items: Iterable[Any], where: str) -> Rows:
    """Rows and records as the rows of a file, from 1 on. Raises DataError for what is neither."""
    for number, item in enumerate(items, 1):
        if isinstance(item, RECORDS):
            yield number, item
        elif isinstance(item, Mapping):
            yield number, dict(item)
        else:
            raise DataError(
                f"{item!r:.60} is {type(item).__name__}, and no row",
                where=f"{where}:{number}",
                remedy="a dictionary by the names of columns (docs/data.md), or a record of alignlab.records",
            )
