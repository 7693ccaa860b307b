"""Records -> files that other libraries read: JSONL, JSON, CSV or Parquet, by the ending of the path."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, get_args

from ..errors import DataError, UserError
from ..records import Comparison, Completion, Demonstration, Ranking, Record
from ..run import check_file, whole_file
from . import layouts
from .formats import KINDS, Useless, Want, as_kind
from .layouts import ASIDE, BLANKS, LABEL, Layout, parts

A_LIST = "a list, which CSV cannot hold"


@dataclass(slots=True)
class WriteReport:
    """What became of the records.

    Attributes:
        read: records; written: rows (a ranking can give several).
        left_out: rows that were not written, by what the layout cannot carry; lost: records written without
            something, by what it is.
        examples: the number of the first record of each.
    """

    layout: str
    read: int = 0
    written: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    examples: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.read} records -> {self.written} rows in the layout {self.layout}"
        for words, form, counts in (
            ("left out", "{count} with {what}", self.left_out),
            ("written without", "{what} of {count}", self.lost),
        ):
            notes = []
            for what, count in counts.items():
                notes.append(f"{form.format(count=count, what=what)} (first: record {self.examples[what]})")
            if notes:
                text += f"\n  {words}: {', '.join(notes)}"
        return text

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def write(
    records: Iterable[Record],
    path: str | Path,
    *,
    format: str = "trl",
    plain: bool = False,
    overwrite: bool = False,
) -> WriteReport:
    """Write records in a layout; the path's ending says JSONL, JSON, CSV or Parquet. The file appears whole
    or not at all.

    What the layout cannot carry is counted: see `layouts`. Records of another kind are converted where that
    makes sense.

    Args:
        format: a name of `layouts.LAYOUTS`, or trl, openrlhf or llamafactory for what those read of records
            of this kind.
        plain: texts instead of messages, where TRL has both; CSV has no other.
        overwrite: a file that is there already may be replaced.

    Raises:
        UserError: no such layout or ending, or the file is there already. DataError: nothing that could be
            written.
        ResourceError: the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    records = list(records)
    if path.suffix not in WRITERS:
        raise UserError(
            f"cannot write a file ending in {path.suffix or 'nothing'}",
            where=str(path),
            remedy=f"name it {', '.join(WRITERS)}",
        )
    if path.exists() and not overwrite:
        raise UserError(
            "the file is there already", where=str(path), remedy="another name, or --overwrite to replace it"
        )
    check_file(path, ours=lambda _: True)
    if not records:
        raise DataError("no records to write", where=str(path))
    layout = layouts.layout(format, kind_of_record(records[0]), plain=plain)
    if path.suffix == ".csv" and layout.name in layouts.PLAIN:
        layout = layouts.PLAIN[layout.name]
    if path.suffix == ".parquet" and layout.kind is None:
        raise UserError(
            "Parquet has one type a column, and notes may hold anything",
            where=str(path),
            remedy="name it .jsonl",
        )
    report = WriteReport(layout.name)
    rows = [row for record in records for row in rows_of(record, layout, report, flat=path.suffix == ".csv")]
    report.written = len(rows)
    if not rows:
        raise DataError(
            f"nothing can be written: {report}",
            where=str(path),
            remedy="--format records in a .jsonl file holds everything",
        )
    with whole_file(path) as staging, open(staging, "wb") as file:
        WRITERS[path.suffix](rows, file)
    return report


def kind_of_record(record: Record) -> Want:
    """What a record is, in the words of the loader; a completion counts as a demonstration."""
    if isinstance(record, Completion):
        return "demonstration"
    return next(want for want in get_args(Want) if isinstance(record, KINDS[want]))


def rows_of(
    record: Record, layout: Layout, report: WriteReport, *, flat: bool = False
) -> list[dict[str, Any]]:
    """The rows of one record; what could not be carried is counted in the report. `flat`: rows that hold no
    list.
    """
    report.read += 1
    has = parts(record)
    rows: list[dict[str, Any]] = []
    lost: set[str] = set()
    try:
        for target in _converted(record, layout):
            own = parts(target)
            if reasons := sorted(own & layout.leaves_out):
                _count(report.left_out, reasons[0], report)
                continue
            row = layout.row(target)
            if flat and any(isinstance(value, (list, dict)) for value in row.values()):
                _count(report.left_out, A_LIST, report)
                continue
            lost |= {part for part in has & ASIDE if part in layout.loses or part not in parts(target)} | (
                own & layout.loses & {BLANKS}
            )
            rows.append(row)
    except Useless as reason:
        _count(report.left_out, f"nothing to show ({reason})", report)
    for part in sorted(lost):
        _count(report.lost, part, report)
    return rows


def _converted(record: Record, layout: Layout) -> list[Record]:
    kind = layout.kind
    if kind is None:
        return [record]
    if isinstance(record, Ranking) and kind == "comparison":
        return [one for pair in record.comparisons(ties=True) for one in _converted(pair, layout)]
    if (
        isinstance(record, Comparison)
        and record.label is not None
        and LABEL in layout.loses
        and kind != "prompt"
    ):
        record = record.favoured
    if isinstance(record, Comparison) and record.tie and kind not in ("comparison", "prompt"):
        raise Useless("a tie")
    if isinstance(record, Completion) and kind == "demonstration":
        if not record.finished:
            raise Useless("unfinished completion")
        return [Demonstration(record.prompt, record.text)]
    return as_kind(record, kind)


def _count(counts: dict[str, int], what: str, report: WriteReport) -> None:
    counts[what] = counts.get(what, 0) + 1
    report.examples.setdefault(what, report.read)


# files


def _jsonl(rows: list[dict[str, Any]], file: IO[bytes]) -> None:
    file.writelines((json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows)


def _json(rows: list[dict[str, Any]], file: IO[bytes]) -> None:
    file.write(("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n").encode())


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _csv(rows: list[dict[str, Any]], file: IO[bytes]) -> None:
    import io

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _columns(rows), restval="", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    file.write(text.getvalue().encode())


def _parquet(rows: list[dict[str, Any]], file: IO[bytes]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(
        pyarrow.table({name: [row.get(name) for row in rows] for name in _columns(rows)}), file
    )


WRITERS: dict[str, Callable[[list[dict[str, Any]], IO[bytes]], None]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}
