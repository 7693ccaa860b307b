"""Files, folders, runs and hub data sets -> records, with a report of what was dropped.

A file or row that is broken stops the reading with a `DataError` that says where and what mends it. Rows that are sound but teach
nothing (an identical pair, an empty completion, a duplicate) are dropped and counted: see `LoadReport`.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import hashlib
import json
import re
import shlex
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any, cast

from ..errors import DataError
from ..records import Prompt, Record, Text
from ..text.escapes import one_line
from .formats import KNOWN_COLUMNS, NEEDS, Columns, Reading, Shaped, Useless, Want, columns_in, columns_of, shaped
from .formats import kind_of as kind_of_row

SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".parquet")
SPLITS = ("train", "test", "validation", "valid", "val", "dev", "eval")
AGAIN = "fetch or write the file again"
RUN_FILES: dict[Want, tuple[str, ...]] = {  # files of a run's data folder that hold what is wanted, the best first
    "text": ("texts",),
    "prompt": ("prompts", "demonstrations", "rankings", "comparisons"),
    "demonstration": ("demonstrations", "comparisons", "rankings"),
    "comparison": ("comparisons", "rankings"),
    "ranking": ("rankings", "comparisons"),
    "unpaired": ("unpaired", "rankings", "comparisons"),
}


@dataclass(slots=True)
class LoadReport:
    """What became of the rows of a source.

    Attributes:
        source: file, folder or hub name; formats: the format of each file, by name.
        read: rows read; kept: records made of them (a ranking may give several comparisons).
        dropped: rows or records that teach nothing, by reason; examples: where each reason was seen first.
        not_read: columns with text that no reader used, with their rows; taken: of those, the column that was taken in their place.
        others: columns without text (ids, numbers, what a row is filed under) that no reader used, with their rows.
        remarks: rows that were read in a way to know of (a prompt that was guessed), with their number.
    """

    source: str
    want: Want
    read: int = 0
    kept: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    not_read: dict[str, int] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, int] = field(default_factory=dict)

    def note(self, reading: Reading) -> None:
        """Count what a row has that no reader used, and how else it was read."""
        for counts, found in ((self.not_read, reading.not_read), (self.others, reading.others), (self.remarks, reading.remarks)):
            for name in found:
                counts[name] = counts.get(name, 0) + 1
        self.taken.update({name: taken for name, taken in reading.not_read.items() if taken})

    def drop(self, reason: str, where: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self.examples.setdefault(reason, where)

    def __str__(self) -> str:
        plural = {"prompt": "prompts", "unpaired": "unpaired completions"}.get(self.want, f"{self.want}s")
        lines = [f"{self.source}: {self.read} rows ({', '.join(self.formats)}) -> {self.kept} {plural}"]
        lines += [f"dropped: {self.dropped_text()}"] if self.dropped else []
        lines += [f"{count} {remark}" for remark, count in self.remarks.items()]
        lines += [f"not read: {self.not_read_text()}"] if self.not_read else []
        others = [name for name in self.others if name not in self.not_read]
        lines += [f"not read, and no text: {_listed(others)}"] if others else []
        return "\n  ".join(lines)

    def not_read_text(self) -> str:
        return _listed([f"{name} ({count} row{'s' * (count != 1)}" + (f"; {self.taken[name]} was taken)" if name in self.taken else ")")
                        for name, count in self.not_read.items()])

    def dropped_text(self) -> str:
        return ", ".join(f"{count} {reason} (first: {self.examples[reason]})" for reason, count in self.dropped.items())

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(one_line(name, 60) for name in names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass(frozen=True, slots=True)
class Loaded:
    records: list[Any]  # of the wanted kind
    report: LoadReport


def load(source: str | Path, want: Want, *, limit: int | None = None, split: str = "train") -> Loaded:
    """Records of one kind from a file, a folder of files, a run folder or a hub name.

    Args:
        source: JSONL, JSON, CSV or Parquet (also gzipped), a folder of those, a run folder, or `owner/name` on the hub; before it
            may stand what its columns are (`formats.columns`).
        want: kind of record; other kinds are converted where that makes sense (`formats.convert`).
        limit: stop after this many records.
        split: which split of a hub data set, of a folder whose files are named by split, or of a run (`NAME_test.jsonl`).

    Raises:
        DataError: nothing there, a broken file or row, several formats in one file, or nothing left after dropping.
    """
    report = LoadReport(str(source), want)
    columns, source = columns_in(str(source))
    sources = _sources(source, want, split)
    records: list[Record] = []
    seen: set[bytes] = set()
    for where, record in chain.from_iterable(_convert_rows(name, rows, want, report, columns) for name, rows in sources):
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
        what = f"nothing left of {report.read} rows: dropped {report.dropped_text()}" if report.read else "no rows"
        raise DataError(what, where=str(source), remedy=f"a {want} needs {NEEDS[want]}")
    return Loaded(records, report)


@dataclass(slots=True)
class Survey:
    """A whole source, whatever is wrong with it: its records and where they stand, and every row that cannot be read."""

    report: LoadReport
    records: list[Any] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    broken: list[DataError] = field(default_factory=list)


def survey(source: str | Path, want: Want, *, limit: int | None = None, split: str = "train") -> Survey:
    """As `load`, but it goes on behind a broken row, keeps duplicates and lets formats differ: what `alignlab doctor` looks at.

    Raises:
        DataError: there is no such source.
    """
    found = Survey(LoadReport(str(source), want))
    report = found.report
    columns, source = columns_in(str(source))
    for name, rows in _sources(source, want, split):
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


def kind_of(source: str | Path, *, split: str = "train") -> Want:
    """What a source holds by nature: a run what its most telling file holds, any other what its first row is. Raises as `load`."""
    columns, source = columns_in(str(source))
    path = Path(source).expanduser()
    if (path / "run.json").exists():
        names = {file.stem for file in (path / "data").glob("*.jsonl")}
        for want, (name, *_) in reversed(RUN_FILES.items()):
            if name in names:
                return want
    for name, rows in _sources(source, "prompt", split):
        for number, row in rows:
            try:
                return kind_of_row(row, columns)
            except DataError as error:
                raise _at(error, f"{name}:{number}") from error
    raise DataError("the file holds no rows", where=str(source), remedy=AGAIN)


def _sources(source: str | Path, want: Want, split: str) -> list[tuple[str, Iterator[tuple[int, Any]]]]:
    """The files (or the hub's set) behind a source, each with its rows."""
    path = Path(source).expanduser()
    if path.is_dir():
        files = _run_files(path, want, split) if (path / "run.json").exists() else _folder_files(path, split)
        return [(str(file), file_rows(file)) for file in files]
    return [(str(path), file_rows(path))] if path.exists() else [(str(source), _hub_rows(source, path, split))]


def _convert_rows(name: str, rows: Iterable[tuple[int, Any]], want: Want, report: LoadReport, columns: Columns | None) -> Iterator[tuple[str, Record]]:
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
                raise _mixed(name, first.form.name, first_columns, report.read - start - 1, number, row, rows, columns) from error
            raise _at(error, where) from error
        if not first:
            first, first_columns = here, columns_of(row) if isinstance(row, dict) else set()
        elif here.form != first.form:
            raise _mixed(name, first.form.name, first_columns, report.read - start - 1, number, row, rows, columns)
        report.formats[here.form.name] = report.formats.get(here.form.name, 0) + 1
        try:
            reading = here.read(want)
        except Useless as reason:
            report.drop(str(reason), where)
            continue
        except DataError as error:
            if columns and report.read == start + 1:  # what is wrong with the first row may be a name that it does not have
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


def _mixed(name: str, first: str, columns: set[str], good: int, number: int, row: Any, rest: Iterator[tuple[int, Any]],
           said: Columns | None) -> DataError:
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
    return DataError(f"the rows are in different formats: {', '.join(parts)}{lacks}", where=f"{name}:{number}",
                     remedy="fill in the missing column, or put each format into a file of its own")


def _spans(numbers: list[int]) -> str:
    """1, 2, 3, 7 as "1-3, 7", at most eight spans."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans[:8])
    return shown + (f" and {len(spans) - 8} more places" if len(spans) > 8 else "")


def same(record: Record) -> bytes:
    """What makes two records duplicates: everything but what a prompt's source noted on it."""
    if isinstance(record, Prompt):
        return record.id.encode()
    row = {"text": record.text} if isinstance(record, Text) else record.to_json()
    row.pop("meta", None)
    return hashlib.blake2b(json.dumps(row, sort_keys=True, default=str).encode(), digest_size=16).digest()


# --- where the files are ------------------------------------------------------------------------------------------------------------

def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _folder_files(folder: Path, split: str) -> list[Path]:
    files = sorted(f for f in folder.rglob("*")
                   if f.is_file() and _suffix(f) in SUFFIXES and not any(part.startswith(".") for part in f.relative_to(folder).parts))
    if not files:
        raise DataError("the folder holds no data files", where=str(folder), remedy=f"give a file or folder of {', '.join(SUFFIXES)}")
    by_split = {f: word for f in files if (word := re.split(r"[^a-z]", f.name.lower())[0]) in SPLITS}
    if not by_split:
        return files
    chosen = [f for f, word in by_split.items() if word == split]
    if not chosen:
        raise DataError(f"the folder has no split {split!r}", where=str(folder), remedy=f"it has: {', '.join(sorted(set(by_split.values())))}")
    return chosen


def _run_files(run: Path, want: Want, split: str) -> list[Path]:
    for name in RUN_FILES[want]:
        file = run / "data" / (f"{name}.jsonl" if split == "train" else f"{name}_{split}.jsonl")
        if file.exists():
            return [file]
    held = ", ".join(sorted(f.stem for f in (run / "data").glob("*.jsonl"))) or "nothing"
    raise DataError(f"the run holds no {want} data for the split {split!r}", where=str(run / "data"),
                    remedy=f"it holds {held}; a {want} is read from {' or '.join(RUN_FILES[want])}")


def _hub_rows(source: str | Path, path: Path, split: str) -> Iterator[tuple[int, Any]]:
    name = str(source)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or _suffix(path) in SUFFIXES or path.parent.exists():
        there = [f.name for f in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, there, 1)
        raise DataError("no such file or folder", where=name,
                        remedy=f"did you mean {path.parent / near[0]}?" if near else "check the path; a hub name is owner/name")
    import datasets

    try:
        rows = datasets.load_dataset(name, split=split)
    except Exception as error:  # the hub client raises a dozen kinds: no network, no such set, no such split, a set that needs code
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"the data set could not be fetched from the hub: {reason:.200}", where=f"{name}, split {split}",
                        remedy="check the name and the network, or fetch its files elsewhere and give their folder") from error
    return enumerate(cast(Iterable[Any], rows), 1)


# --- what is in a file --------------------------------------------------------------------------------------------------------------

def file_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Rows of one file with their numbers: the line in JSONL and CSV (the header is line 1), the place in JSON and Parquet."""
    reader = {".csv": _csv_rows, ".parquet": _parquet_rows}.get(_suffix(path), _json_rows)
    if _suffix(path) not in SUFFIXES:
        raise DataError(f"files ending in {path.suffix or 'nothing'} are not read", where=str(path), remedy=f"give one of {', '.join(SUFFIXES)}")
    number = 0
    try:
        for number, row in reader(path):
            yield number, row
    except EOFError as error:
        raise DataError(f"the compressed file is cut off after row {number}", where=str(path), remedy=AGAIN) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"the compressed file is damaged after row {number}: {error}", where=str(path), remedy=AGAIN) from error
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror or error}", where=str(path), remedy="check its permissions and the disk") from error


def _open(path: Path) -> BufferedReader | gzip.GzipFile:
    """The file's bytes, unpacked where its first bytes say that it is gzipped."""
    with open(path, "rb") as file:
        magic = file.read(2)
    if not magic:
        raise DataError("the file is empty", where=str(path), remedy=AGAIN)
    if magic == b"\x1f\x8b":
        return gzip.open(path, "rb")
    if path.name.lower().endswith(".gz"):
        raise DataError("the file is named .gz but is not gzipped", where=str(path), remedy=f"{AGAIN}, or take .gz off its name")
    return open(path, "rb")


def _command(path: Path, command: str) -> str:
    """A shell command on the file, which is unpacked first if it has to be."""
    unpack = f"gunzip {shlex.quote(str(path))}; " if path.name.lower().endswith(".gz") else ""
    plain = path.with_suffix("") if unpack else path
    return unpack + command.format(file=shlex.quote(str(plain)), fixed=f"fixed{_suffix(path)}")


def _decode(data: bytes, path: Path, line: int, offset: int) -> str:
    """UTF-8 text of bytes that begin at `line` and byte `offset` of the file."""
    if offset == 0 and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError("the file is in UTF-16", where=str(path), remedy=_command(path, "iconv -f UTF-16 -t UTF-8 {file} > {fixed}"))
    if (nul := data.find(b"\0")) >= 0:
        raise DataError(f"a NUL byte at byte {offset + nul}: the file is damaged, or not text", where=f"{path}:{line + data[:nul].count(10)}",
                        remedy=f"{AGAIN}, or take them out: " + _command(path, "tr -d '\\000' < {file} > {fixed}"))
    try:
        return data.decode("utf-8-sig" if offset == 0 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"byte {offset + error.start} (0x{data[error.start]:02x}) is not UTF-8",
                        where=f"{path}:{line + data[:error.start].count(10)}", remedy="if the file is Latin-1 or Windows-1252: "
                        + _command(path, "iconv -f WINDOWS-1252 -t UTF-8 {file} > {fixed}")) from error


def _lines(file: Iterable[bytes], path: Path) -> Iterator[tuple[int, str]]:
    offset = 0
    for number, line in enumerate(file, 1):
        yield number, _decode(line, path, number, offset)
        offset += len(line)


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """JSON lines, or one JSON document, whichever the ending says: many `.json` files on the hub hold lines."""
    with _open(path) as file:
        head = file.peek(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        if head[:1] == b"[" or head.split(b"\n", 1)[0].strip() == b"{":
            yield from _document_rows(_decode(file.read(), path, 1, 0), path)
            return
        for number, line in _lines(file, path):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                what = f"the row is not JSON: {error}" if line.endswith("\n") else "the file ends in the middle of a row"
                raise DataError(what, where=f"{path}:{number}",
                                remedy=f"{AGAIN}, or delete the line: " + _command(path, f"sed -i {number}d {{file}}")) from error
            if number == 1 and (rows := _wrapped(row)) is not None:
                yield from enumerate(rows, 1)
                return
            yield number, row


def _wrapped(document: Any) -> list[Any] | None:
    """The rows of a document such as `{"data": [...]}`."""
    if isinstance(document, dict) and len(document) == 1:
        [(name, rows)] = document.items()
        if name not in KNOWN_COLUMNS and isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            return rows
    return None


def _document_rows(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of one JSON document; those of a list one by one, so that a broken one has a number."""
    if text.lstrip()[0] == "{":
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the file is not JSON: {error}", where=str(path), remedy=AGAIN) from error
        yield from enumerate([document] if (rows := _wrapped(document)) is None else rows, 1)
        return
    decoder, blank, number = json.JSONDecoder(), re.compile(r"\s*"), 0

    def skip(place: int) -> int:
        return cast(re.Match[str], blank.match(text, place)).end()

    place = skip(text.index("[") + 1)
    while text[place:place + 1] != "]":
        number += 1
        try:
            row, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            what = "the file ends before the list is closed" if _cut(error, text, place) else f"the row is not JSON: {error}"
            raise DataError(what, where=f"{path}:{number}", remedy=AGAIN) from error
        yield number, row
        place = skip(place)
        if text[place:place + 1] == ",":
            place = skip(place + 1)
        elif text[place:place + 1] != "]":
            what = "a comma is missing after the row" if text[place:] else "the file ends before the list is closed"
            raise DataError(what, where=f"{path}:{number}", remedy=AGAIN)
    if text[place + 1:].strip():
        raise DataError("the file goes on after its list is closed", where=f"{path}:{number}", remedy="write one list, or one row a line (JSONL)")


def _cut(error: Exception, text: str, place: int) -> bool:
    """Did the text run out, rather than go wrong?"""
    if place >= len(text):
        return True
    return isinstance(error, json.JSONDecodeError) and (error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"))


def _csv_rows(path: Path) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(2**31 - 1)  # the default, 128 KiB, is less than a long completion
    with _open(path) as file:
        reader = csv.reader((line for _, line in _lines(file, path)), strict=True)
        start = 1
        try:
            header = [name.strip() for name in next(reader, [])]
            twice = [name for name in header if header.count(name) > 1]
            if twice:
                raise DataError(f"two columns are named {twice[0]!r:.40}", where=f"{path}:1", remedy="rename one of them")
            start = reader.line_num + 1
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise DataError(f"the row has {len(cells)} cells, the header {len(header)}", where=f"{path}:{start}",
                                    remedy='put a text with commas into quotes: "so, like this"')
                if cells:
                    yield start, dict(zip(header, cells, strict=True))
                start = reader.line_num + 1
        except csv.Error as error:
            what = "a quoted cell is never closed" if "unexpected end" in str(error) else f"the row is not CSV: {error}"
            raise DataError(what, where=f"{path}:{start}", remedy=f'{AGAIN}; a quote inside a quoted cell is doubled: ""') from error


def _parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow
    import pyarrow.parquet

    with _open(path) as file:
        number = 0
        try:
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise DataError(f"the Parquet file is cut off or damaged after row {number}: {str(error).splitlines()[0]:.120}",
                            where=str(path), remedy=AGAIN) from error
