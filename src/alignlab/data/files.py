"""One file -> its rows with their numbers: JSON lines, a JSON document, CSV or Parquet, also gzipped.

What is wrong with the bytes is a `DataError` with file and row, in bounded time and memory: a row, a document
in one piece and what a packed file unpacks to have their limits below.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path

from ..errors import DataError
from ..text.documents import MOST_JSON, Malformed, check_regular
from .bounds import AGAIN, COLUMNS, SUFFIXES, Rows, suffix
from .csv_rows import csv_rows
from .json_rows import json_rows
from .plain import open_plain


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
    return read_by(path, {".csv": csv_rows, ".parquet": _parquet_rows}.get(suffix(path), json_rows))


def read_by(path: Path, reader: Callable[[Path], Rows]) -> Rows:
    """The rows that a reader finds in a file; what the file system or the packing says is a `DataError`."""
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
