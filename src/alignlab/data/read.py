"""Files, folders, runs and hub data sets -> records, with a report of what was dropped. (`folders` finds the
files, `files` reads their rows.)

A file or row that is broken stops the reading with a `DataError` that says where and what mends it. Rows that
are sound but teach nothing (an identical pair, an empty completion, a duplicate) are dropped and counted: see
`LoadReport`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..records import Prompt, Record
from .bounds import AGAIN, Rows
from .folders import RUN_FILES, local, sources
from .formats import NEEDS, ONE, Columns, Shaped, Useless, Want, columns_in, columns_of, kind_of_row, shaped
from .load_report import LoadReport
from .own import numbered


@dataclass(frozen=True, slots=True)
class Loaded:
    records: list[Any]  # of the wanted kind
    report: LoadReport


def load_records(source: str | Path, want: Want, *, limit: int | None = None, split: str = "train") -> Loaded:
    """Records of one kind from a file, a folder of files, a run folder or a hub name.

    Args:
        source: JSONL, JSON, CSV or Parquet (also gzipped), a folder of those, a run folder, `owner/name` on
            the hub, or a reader of the user's own and its path (`own`); before it may stand what its columns
            are (`formats.columns`).
        want: kind of record; other kinds are converted where that makes sense (`formats.convert`).
        limit: stop after this many records.
        split: which split of a hub data set, of a folder whose files are named by split, or of a run
            (`NAME_test.jsonl`).

    Raises:
        DataError: nothing there, a broken file or row, several formats in one file, or nothing left after
            dropping.
    """
    columns, name = columns_in(str(source))
    return _loaded(LoadReport(str(source), want), sources(name, want, split), columns, limit)


def records_of(
    items: Iterable[Any], want: Want, *, name: str = "the list", limit: int | None = None
) -> Loaded:
    """Records of one kind from rows, or from records of any kind, that are there already; as
    `load_records` does of a file.
    """
    return _loaded(LoadReport(name, want), [(name, numbered(items, name))], None, limit)


def _loaded(
    report: LoadReport, files: Iterable[tuple[str, Rows]], columns: Columns | None, limit: int | None
) -> Loaded:
    """The records of files, each with its rows, until there are enough."""
    want = report.want
    records: list[Record] = []
    seen: set[bytes] = set()
    for where, record in chain.from_iterable(
        _convert_rows(name, rows, want, report, columns) for name, rows in files
    ):
        key = same(record)
        if key in seen:
            report.drop("duplicate", where)
            continue
        seen.add(key)
        records.append(record)
        if len(records) == limit:
            break
    report.kept = len(records)
    if not records:
        what = "no rows"
        if report.read:
            what = f"nothing left of {report.read} rows: dropped {report.dropped_text()}"
        raise DataError(what, where=report.source, remedy=f"{ONE[want]} needs {NEEDS[want]}")
    return Loaded(records, report)


MOST_BROKEN = 10_000  # rows that a survey names


@dataclass(slots=True)
class Survey:
    """A whole source, whatever is wrong with it: its records and where they stand, and every row that cannot
    be read.
    """

    report: LoadReport
    records: list[Any] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    broken: list[DataError] = field(default_factory=list)


def survey(source: str | Path, want: Want, *, limit: int | None = None, split: str = "train") -> Survey:
    """As `load_records`, but it goes on behind a broken row, keeps duplicates and lets formats differ: what
    `alignlab doctor` looks at.

    Raises:
        DataError: there is no such source.
    """
    found = Survey(LoadReport(str(source), want))
    report = found.report
    columns, source = columns_in(str(source))
    for name, rows in sources(source, want, split):
        try:
            for number, row in rows:
                where = f"{name}:{number}"
                report.read += 1
                try:
                    here = shaped(row, columns)
                    report.formats[here.form.name] = report.formats.get(here.form.name, 0) + 1
                    reading = here.read(want)
                    report.note(reading)
                    found.records += reading.records
                    found.places += [where] * len(reading.records)
                except Useless as reason:
                    report.drop(str(reason), where)
                except DataError as error:
                    found.broken.append(_at(error, where))
                    if len(found.broken) == MOST_BROKEN:
                        raise DataError(
                            f"{MOST_BROKEN:,} rows cannot be read; what is behind them was not looked at",
                            where=where,
                            remedy=AGAIN,
                        ) from None
                if limit and len(found.records) >= limit:
                    break
            if columns:
                columns.check(name)
        except DataError as error:  # the file itself: nothing can be read behind it
            found.broken.append(error)
        if limit and len(found.records) >= limit:
            break
    report.kept = len(found.records)
    return found


def kind_of_source(source: str | Path, *, split: str = "train") -> Want:
    """What a source holds by nature: a run what its most telling file holds, any other what its first row is.
    Raises as `load`.
    """
    columns, source = columns_in(str(source))
    path = local(source)
    if (path / "run.json").exists():
        names = {file.stem for file in (path / "data").glob("*.jsonl")}
        for want, (name, *_) in reversed(RUN_FILES.items()):
            if name in names:
                return want
    for name, rows in sources(source, "prompt", split):
        for number, row in rows:
            try:
                return kind_of_row(row, columns)
            except DataError as error:
                raise _at(error, f"{name}:{number}") from error
    raise DataError("the file holds no rows", where=str(source), remedy=AGAIN)


def _convert_rows(
    name: str, rows: Iterable[tuple[int, Any]], want: Want, report: LoadReport, columns: Columns | None
) -> Iterator[tuple[str, Record]]:
    """The records of one file with where they stand; every row must be in the format of the first."""
    first: Shaped | None = None
    first_columns, start = set[str](), report.read
    rows = iter(rows)
    for number, row in rows:
        where = f"{name}:{number}"
        report.read += 1
        try:
            here = shaped(row, columns)
        except DataError as error:
            if columns:
                columns.check(where)
            if first and isinstance(row, dict):
                raise _mixed(
                    name, first.form.name, first_columns, report.read - start - 1, number, row, rows, columns
                ) from error
            raise _at(error, where) from error
        if not first:
            first, first_columns = here, columns_of(row) if isinstance(row, dict) else set()
        elif here.form != first.form:
            raise _mixed(
                name, first.form.name, first_columns, report.read - start - 1, number, row, rows, columns
            )
        report.formats[here.form.name] = report.formats.get(here.form.name, 0) + 1
        try:
            reading = here.read(want)
        except Useless as reason:
            report.drop(str(reason), where)
            continue
        except DataError as error:
            if (
                columns and report.read == start + 1
            ):  # what is wrong with the first row may be a name that it does not have
                columns.check(where)
            raise _at(error, where) from error
        report.note(reading)
        for record in reading.records:
            yield where, record
    if columns:
        columns.check(name)
    if not first:
        raise DataError("the file holds no rows", where=name, remedy=AGAIN)


def _at(error: DataError, where: str) -> DataError:
    return DataError(error.what, where=where, remedy=error.remedy or "mend the row, or take it out")


def _mixed(
    name: str,
    first: str,
    columns: set[str],
    good: int,
    number: int,
    row: Any,
    rest: Iterator[tuple[int, Any]],
    said: Columns | None,
) -> DataError:
    """The error for a file whose rows are not all in one format: it says which rows are in which."""
    missing = sorted(columns - columns_of(row)) if isinstance(row, dict) else []
    found: dict[str, list[int]] = {}
    counts = {first: good}
    for place, other in [(number, row), *rest]:
        try:
            kind = shaped(other, said).form.name
        except DataError:
            kind = "no known format"
        counts[kind] = counts.get(kind, 0) + 1
        if kind != first:
            found.setdefault(kind, []).append(place)
    parts = [f"{first} ({counts[first]} rows, from the first on)"]
    parts += [f"{kind} (row {_spans(places)})" for kind, places in found.items()]
    lacks = f"; row {number} has no {' and no '.join(missing)}" if missing else ""
    return DataError(
        f"the rows are in different formats: {', '.join(parts)}{lacks}",
        where=f"{name}:{number}",
        remedy="fill in the missing column, or put each format into a file of its own",
    )


def _spans(numbers: list[int]) -> str:
    """1, 2, 3, 7 as "1-3, 7", at most eight spans."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans[:8])
    return f"{shown} and {len(spans) - 8} more places" if len(spans) > 8 else shown


def same(record: Record) -> bytes:
    """What makes two records duplicates: everything but what a prompt's source noted on it."""
    if isinstance(record, Prompt):
        return record.id.encode()
    row = record.to_json()
    row.pop("meta", None)
    return hashlib.blake2b(json.dumps(row, sort_keys=True, default=str).encode(), digest_size=16).digest()
