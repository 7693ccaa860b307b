"""One file -> its rows with their numbers: JSON lines, a JSON document, CSV or Parquet, also gzipped.

What is wrong with the bytes is a `DataError` with file and row, in bounded time and memory: a row, a document
in one piece and what a packed file unpacks to have their limits below.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import shlex
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import DataError
from ..text.documents import MOST_JSON, Malformed, check_depth, check_regular, from_json
from .formats import KNOWN_COLUMNS
from .formats.values import parsed

SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".parquet")
AGAIN = "fetch or write the file again"
ROW = 2**24  # bytes of one row: four million tokens
COLUMNS = 1000  # of one row
LINES = 1_000_000  # of one cell, or empty ones between two rows
FREE, GROWTH = (
    2**21,
    100,
)  # a packed file may unpack to so many bytes, and to so many times its own; text packs three to twenty times
CHUNK = 2**20

Rows = Iterator[tuple[int, Any]]


def suffix(path: Path) -> str:
    """The ending that says what a file holds, without .gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def file_rows(path: Path) -> Rows:
    """Rows of one file with their numbers: the line in JSONL and CSV (the header is line 1), the place in
    JSON and Parquet.

    Raises:
        DataError: the file cannot be read, is broken, or holds a row beyond the limits.
    """
    if suffix(path) not in SUFFIXES:
        raise DataError(
            f"files ending in {path.suffix[:20] or 'nothing'} are not read",
            where=str(path),
            remedy=f"give one of {', '.join(SUFFIXES)}",
        )
    return read_by(path, {".csv": csv_rows, ".parquet": _parquet_rows}.get(suffix(path), _json_rows))


def read_by(path: Path, reader: Callable[[Path], Rows]) -> Rows:
    """The rows that a reader finds in a file; whatever the file system or the packing says is a `DataError`."""
    number = 0
    try:
        check_regular(path)
        for number, row in reader(path):
            if isinstance(row, dict) and len(row) > COLUMNS:
                raise DataError(
                    f"the row has {len(row):,} columns",
                    where=f"{path}:{number}",
                    remedy=f"at most {COLUMNS:,}: keep those that are read",
                )
            yield number, row
    except EOFError as error:
        raise DataError(
            f"the compressed file is cut off after row {number}", where=str(path), remedy=AGAIN
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"the compressed file is damaged after row {number}: {error}", where=str(path), remedy=AGAIN
        ) from error
    except OSError as error:
        raise DataError(
            f"the file cannot be read: {error.strerror or error}",
            where=str(path),
            remedy="check its permissions and the disk",
        ) from error
    except Malformed as error:
        raise DataError(
            f"the file is not read: {error}",
            where=str(path),
            remedy="give a file; what a pipe holds can be written into one first",
        ) from error


class _Unpacked(io.RawIOBase):
    """The bytes of a gzipped file. Raises DataError where they are too many for what has been read of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.taken = path, 0
        self.packed = open(path, "rb")
        self.plain = gzip.GzipFile(fileobj=self.packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.plain.read1(len(buffer))
        buffer[: len(data)] = data
        self.taken += len(data)
        if self.taken > FREE + GROWTH * self.packed.tell():
            raise DataError(
                f"the packed file unpacks to more than {GROWTH} times its size",
                where=str(self.path),
                remedy="text does not pack so well: if it is what you want, unpack it first",
            )
        return len(data)

    def close(self) -> None:
        self.packed.close()
        super().close()


def open_plain(path: Path) -> io.BufferedReader:
    """The file's bytes, unpacked where its first bytes say that it is gzipped."""
    with open(path, "rb") as file:
        magic = file.read(2)
    if not magic:
        raise DataError("the file is empty", where=str(path), remedy=AGAIN)
    if magic == b"\x1f\x8b":
        return io.BufferedReader(_Unpacked(path))
    if path.name.lower().endswith(".gz"):
        raise DataError(
            "the file is named .gz but is not gzipped",
            where=str(path),
            remedy=f"{AGAIN}, or take .gz off its name",
        )
    return open(path, "rb")


# --- text
# ---------------------------------------------------------------------------------------------------------------------------


def _command(path: Path, command: str) -> str:
    """A shell command on the file, which is unpacked first if it has to be."""
    unpack = f"gunzip {shlex.quote(str(path))}; " if path.name.lower().endswith(".gz") else ""
    plain = path.with_suffix("") if unpack else path
    return unpack + command.format(file=shlex.quote(str(plain)), fixed=f"fixed{suffix(path)}")


def _decode(data: bytes, path: Path, line: int, offset: int) -> str:
    """UTF-8 text of bytes that begin at `line` and byte `offset` of the file."""
    if offset == 0 and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            "the file is in UTF-16",
            where=str(path),
            remedy=_command(path, "iconv -f UTF-16 -t UTF-8 {file} > {fixed}"),
        )
    if (nul := data.find(b"\0")) >= 0:
        raise DataError(
            f"a NUL byte at byte {offset + nul}: the file is damaged, or not text",
            where=f"{path}:{line + data[:nul].count(10)}",
            remedy=f"{AGAIN}, or take them out: " + _command(path, "tr -d '\\000' < {file} > {fixed}"),
        )
    try:
        return data.decode("utf-8-sig" if offset == 0 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte {offset + error.start} (0x{data[error.start]:02x}) is not UTF-8",
            where=f"{path}:{line + data[: error.start].count(10)}",
            remedy="if the file is Latin-1 or Windows-1252: "
            + _command(path, "iconv -f WINDOWS-1252 -t UTF-8 {file} > {fixed}"),
        ) from error


def byte_lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers. Raises DataError for one that is too long."""
    number = 0
    while line := file.readline(ROW + 1):
        number += 1
        if len(line) > ROW:
            raise _too_long(path, number)
        yield number, line


def _lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, str]]:
    offset = 0
    for number, line in byte_lines(file, path):
        yield number, _decode(line, path, number, offset)
        offset += len(line)


def _too_long(path: Path, number: int, guess: str = "") -> DataError:
    return DataError(
        f"the row is longer than {ROW:,} bytes or {LINES:,} lines{guess}",
        where=f"{path}:{number}",
        remedy=f"{AGAIN}; a long text goes into several rows",
    )


def _said(error: ValueError) -> str:
    """What is wrong with a JSON value; the place inside it means nothing to who sees the row's number."""
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


# --- JSON
# ---------------------------------------------------------------------------------------------------------------------------


def _json_rows(path: Path) -> Rows:
    """JSON lines, or one JSON document, whichever the first bytes say: many `.json` files on the hub hold
    lines.
    """
    with open_plain(path) as file:
        head = file.peek(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        if head[:1] == b"[":
            yield from _list_rows(file, path)
            return
        if head.split(b"\n", 1)[0].strip() == b"{":
            yield from _object_rows(read_object(file, path))
            return
        last, wrapped = 0, None
        for number, line in _lines(file, path):
            if not line.strip():
                if number - last > LINES:
                    raise DataError(
                        f"more than {LINES:,} empty lines", where=f"{path}:{number}", remedy=AGAIN
                    )
                continue
            last = number
            try:
                row = from_json(line.removeprefix("\ufeff"))  # files that were put together keep their marks
            except Malformed as error:
                raise _not_json(line, path, number, error) from error
            if wrapped is not None:  # more rows follow: the first was one itself
                yield wrapped
                wrapped = None
            if number == 1 and _wrapped(row) is not None:
                wrapped = number, row
            else:
                yield number, row
        if wrapped is not None:
            yield from _object_rows(wrapped[1])


def _not_json(line: str, path: Path, number: int, error: Malformed) -> DataError:
    where = f"{path}:{number}"
    if line.rstrip().endswith(","):
        return DataError(
            "a comma stands behind the row",
            where=where,
            remedy="one row a line, and nothing between: "
            + _command(path, "sed -i 's/,[[:space:]]*$//' {file}"),
        )
    if len(line) < 10**5 and parsed(line, "{") is not None:
        return DataError(
            "the row is as Python prints it, and not JSON",
            where=where,
            remedy="write each row with json.dumps",
        )
    what = f"the row is not JSON: {error}" if line.endswith("\n") else "the file ends in the middle of a row"
    return DataError(
        what,
        where=where,
        remedy=f"{AGAIN}, or delete the line: " + _command(path, f"sed -i {number}d {{file}}"),
    )


def read_object(file: BinaryIO, path: Path) -> Any:
    """A JSON document in one piece."""
    data = file.read(MOST_JSON + 1)
    if len(data) > MOST_JSON:
        raise DataError(
            f"the document is longer than {MOST_JSON:,} bytes",
            where=str(path),
            remedy="write one row a line (JSONL), or a list of rows",
        )
    try:
        return from_json(_decode(data, path, 1, 0))
    except Malformed as error:
        raise DataError(f"the file is not JSON: {error}", where=str(path), remedy=AGAIN) from error


def _object_rows(document: Any) -> Rows:
    return enumerate([document] if (rows := _wrapped(document)) is None else rows, 1)


def _wrapped(document: Any) -> list[Any] | None:
    """The rows of a document such as `{"data": [...]}`."""
    if isinstance(document, dict) and len(document) == 1:
        [(name, rows)] = document.items()
        if (
            name not in KNOWN_COLUMNS
            and isinstance(rows, list)
            and all(isinstance(row, dict) for row in rows)
        ):
            return rows
    return None


class _Window:
    """The part of a file's text that is being read. What lies before `place` is forgotten as more comes in."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path, self.text, self.place = file, path, "", 0
        self.decoder, self.line, self.offset = codecs.getincrementaldecoder("utf-8-sig")(), 1, 0

    def more(self) -> bool:
        """Read on, at least as much as is there already; False at the end of the file."""
        data = self.file.read(max(CHUNK, len(self.text) - self.place))
        kept = self.decoder.getstate()[0]  # the first bytes of a character
        if not data and not kept:
            return False
        try:
            text = self.decoder.decode(data, final=not data)
            if "\0" in text:
                raise UnicodeError
        except UnicodeError:
            _decode(kept + data, self.path, self.line, self.offset - len(kept))
            raise
        self.line, self.offset = self.line + text.count("\n"), self.offset + len(data)
        self.text, self.place = self.text[self.place :] + text, 0
        return True

    def skip(self) -> str:
        """To the next letter that is no white space, which is given; empty at the end of the file."""
        while True:
            self.place = cast(re.Match[str], re.compile(r"[ \t\r\n]*").match(self.text, self.place)).end()
            if self.place < len(self.text) or not self.more():
                return self.text[self.place : self.place + 1]


def _list_rows(file: BinaryIO, path: Path) -> Rows:
    """The rows of a JSON list, one by one, so that a broken one has a number and a long file is never in
    memory as a whole.
    """
    window, decoder, number = _Window(file, path), json.JSONDecoder(), 0
    window.skip()
    window.place += 1
    while (letter := window.skip()) != "]":
        number += 1
        where = f"{path}:{number}"
        while True:
            try:
                row, end = decoder.raw_decode(window.text, window.place)
                if end < len(window.text) or not window.more():  # a number may go on
                    break
            except RecursionError:
                raise DataError(
                    "the row is not JSON: too many lists or tables inside each other",
                    where=where,
                    remedy=AGAIN,
                ) from None
            except ValueError as error:
                if _near_end(error, window.text, 16) and len(window.text) - window.place > ROW:
                    raise _too_long(path, number, ", or a text in it is never closed") from None
                if not _near_end(error, window.text, 16) or not window.more():
                    what = (
                        "the file ends before the list is closed"
                        if _near_end(error, window.text.rstrip())
                        else f"the row is not JSON: {_said(error)}"
                    )
                    raise DataError(what, where=where, remedy=AGAIN) from None
        if end - window.place > ROW:
            raise _too_long(path, number)
        try:
            check_depth(row)
        except Malformed as error:
            raise DataError(f"the row is not read: {error}", where=where, remedy=AGAIN) from None
        window.place = end
        yield number, row
        letter = window.skip()
        if letter == ",":
            window.place += 1
        elif letter != "]":
            raise DataError(
                "a comma is missing after the row" if letter else "the file ends before the list is closed",
                where=where,
                remedy=AGAIN,
            )
    window.place += 1
    if window.skip():
        raise DataError(
            "the file goes on after its list is closed",
            where=f"{path}:{number}",
            remedy="write one list, or one row a line (JSONL)",
        )


def _near_end(error: ValueError, text: str, letters: int = 0) -> bool:
    """Did the text run out, rather than go wrong? It did so at most so many letters before its end (`tru`,
    `"\\u12`).
    """
    return isinstance(error, json.JSONDecodeError) and (
        error.pos >= len(text) - letters or error.msg.startswith("Unterminated string")
    )


# --- CSV and Parquet
# ----------------------------------------------------------------------------------------------------------------


def csv_rows(path: Path) -> Rows:
    """The rows of a CSV file by the names in its first line."""
    csv.field_size_limit(ROW)  # the default, 128 KiB, is less than a long completion
    with open_plain(path) as file:
        start, taken = 1, 0

        def lines() -> Iterator[str]:
            nonlocal taken
            for number, line in _lines(file, path):
                taken += len(line)
                if taken > ROW or number - start > LINES:
                    raise _too_long(path, start, ", or a quoted cell is never closed")
                yield line

        reader = csv.reader(lines(), strict=True)
        try:
            header = [name.strip() or f"column {place}" for place, name in enumerate(next(reader, []), 1)]
            if len(header) > COLUMNS:
                raise DataError(
                    f"the first line names {len(header):,} columns",
                    where=f"{path}:1",
                    remedy=f"at most {COLUMNS:,}: keep those that are read",
                )
            if name := twice(header):
                raise DataError(
                    f"two columns are named {name!r:.40}", where=f"{path}:1", remedy="rename one of them"
                )
            if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), "")):
                raise DataError(
                    f"the cells stand between {other!r}, and not between commas",
                    where=f"{path}:1",
                    remedy="write the file again with commas",
                )
            start, taken = reader.line_num + 1, 0
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise DataError(
                        f"the row has {len(cells)} cells, the header {len(header)}",
                        where=f"{path}:{start}",
                        remedy='put a text with commas into quotes: "so, like this"',
                    )
                if len(header) > 1 and [name.strip() for name in cells] == header:
                    raise DataError(
                        "the first line stands here again",
                        where=f"{path}:{start}",
                        remedy="delete the line: " + _command(path, f"sed -i {start}d {{file}}"),
                    )
                if cells:
                    yield start, dict(zip(header, cells, strict=True))
                start, taken = reader.line_num + 1, 0
        except csv.Error as error:
            what = (
                "a quoted cell is never closed"
                if "unexpected end" in str(error)
                else f"the row is not CSV: {error}"
            )
            raise DataError(
                what, where=f"{path}:{start}", remedy=f'{AGAIN}; a quote inside a quoted cell is doubled: ""'
            ) from error


def twice(names: list[str]) -> str | None:
    """The first name that stands there twice, if one does."""
    return (
        next((name for name in names if names.count(name) > 1), None)
        if len(set(names)) < len(names)
        else None
    )


def _parquet_rows(path: Path) -> Rows:
    from .parquet import parquet_rows

    with open_plain(path) as file:
        if file.seekable():
            yield from parquet_rows(file, path)
            return
        data = file.read(MOST_JSON + 1)  # a Parquet file is read from its end
        if len(data) > MOST_JSON:
            raise DataError(
                f"the packed Parquet file is longer than {MOST_JSON:,} bytes",
                where=str(path),
                remedy="unpack it first; Parquet packs by itself",
            )
        yield from parquet_rows(io.BytesIO(data), path)
