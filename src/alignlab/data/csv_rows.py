"""A CSV file -> rows by the names in its first line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError
from .bounds import AGAIN, COLUMNS, LINES, ROW, Rows, too_long, twice
from .plain import command, open_plain, text_lines


def csv_rows(path: Path) -> Rows:
    """The rows of a CSV file by the names in its first line."""
    csv.field_size_limit(ROW)  # the default, 128 KiB, is less than a long completion
    with open_plain(path) as file:
        start, taken = 1, 0

        def lines() -> Iterator[str]:
            nonlocal taken
            for number, line in text_lines(file, path):
                taken += len(line)
                if taken > ROW or number - start > LINES:
                    raise too_long(path, start, ", or a quoted cell is never closed")
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
                        remedy="delete the line: " + command(path, f"sed -i {start}d {{file}}"),
                    )
                if cells:
                    yield start, dict(zip(header, cells, strict=True))
                start, taken = reader.line_num + 1, 0
        except csv.Error as error:
            what = f"the row is not CSV: {error}"
            if "unexpected end" in str(error):
                what = "a quoted cell is never closed"
            raise DataError(
                what, where=f"{path}:{start}", remedy=f'{AGAIN}; a quote inside a quoted cell is doubled: ""'
            ) from error
