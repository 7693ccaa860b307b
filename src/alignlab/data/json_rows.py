"""JSON lines and JSON documents -> rows with their numbers, one at a time, however long the file is."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import DataError
from ..text.documents import MOST_JSON, Malformed, check_depth, from_json
from .bounds import AGAIN, LINES, ROW, Rows, too_long
from .formats import KNOWN_COLUMNS
from .formats.values import parsed
from .plain import command, decode, open_plain, text_lines

CHUNK = 2**20


def _said(error: ValueError) -> str:
    """What is wrong with a JSON value; the place inside it means nothing to who sees the row's number."""
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def json_rows(path: Path) -> Rows:
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
        for number, line in text_lines(file, path):
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
            + command(path, "sed -i 's/,[[:space:]]*$//' {file}"),
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
        remedy=f"{AGAIN}, or delete the line: " + command(path, f"sed -i {number}d {{file}}"),
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
        return from_json(decode(data, path, 1, 0))
    except Malformed as error:
        raise DataError(f"the file is not JSON: {error}", where=str(path), remedy=AGAIN) from error


def _object_rows(document: Any) -> Rows:
    rows = _wrapped(document)
    return enumerate([document] if rows is None else rows, 1)


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
    """The part of a file's text that is being read; what lies before `place` goes as more comes in."""

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
            decode(kept + data, self.path, self.line, self.offset - len(kept))
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
                    raise too_long(path, number, ", or a text in it is never closed") from None
                if not _near_end(error, window.text, 16) or not window.more():
                    what = f"the row is not JSON: {_said(error)}"
                    if _near_end(error, window.text.rstrip()):
                        what = "the file ends before the list is closed"
                    raise DataError(what, where=where, remedy=AGAIN) from None
        if end - window.place > ROW:
            raise too_long(path, number)
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
