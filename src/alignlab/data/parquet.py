"""Parquet and Arrow tables -> rows of plain values, bounded by what the file could hold.

A Parquet file says in three places how large it is: in its footer, in the header of every page, and by how
often a page repeats its values. A short file can claim gigabytes in each. So the headers of all pages are
read first, and what comes out is counted against the file's size. (Format:
https://github.com/apache/parquet-format; headers are Thrift structs in the compact protocol.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import DataError
from ..text.escapes import first_line
from .bounds import AGAIN, COLUMNS, GROWTH, twice

if TYPE_CHECKING:
    import pyarrow

FREE = 2**24  # bytes that a file may unpack to, however short it is; beyond them, GROWTH times its size
PAGE = 2**27  # bytes of one page, unpacked; writers make them of one megabyte
HEADER = 2**20  # bytes of a page's header
FOOTER = 2**22  # bytes of the file's metadata
VALUE = 16  # bytes that a value takes at least, however often it is repeated
DICTIONARY, BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY, DELTAS = (
    2,
    6,
    7,
    (5, 6, 7),
)  # numbers of the format: a kind of page, two types, encodings
BATCH = 2**26  # bytes that a batch of rows may come to
ROWS = 1000  # of a batch


def parquet_rows(file: BinaryIO, path: Path) -> Iterator[tuple[int, Any]]:
    """Rows of a Parquet file with their places, from 1.

    Raises:
        DataError: the file is damaged, claims more than it can hold, or has a column whose values cannot be
            read.
    """
    import pyarrow
    import pyarrow.parquet

    size, number = file.seek(0, 2), 0
    try:
        repeating, longest = _check_pages(file, size, path)
        table = pyarrow.parquet.ParquetFile(
            file,
            read_dictionary=repeating,
            thrift_string_size_limit=FOOTER,
            thrift_container_size_limit=FOOTER // 16,
        )
        batches = table.iter_batches(batch_size=max(1, min(ROWS, BATCH // longest)), use_threads=False)
        for number, row in table_rows(batches, size, path):
            yield number, row
    except (
        pyarrow.ArrowException,
        OSError,
        UnicodeDecodeError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise DataError(
            f"the Parquet file is cut off or damaged after row {number}: {first_line(error):.120}",
            where=str(path),
            remedy=AGAIN,
        ) from error


def table_rows(batches: Iterable[Any], size: int, path: Path) -> Iterator[tuple[int, Any]]:
    """Rows of record batches or tables with their places, from 1; `size` is that of the file they come from.

    Dates, times and durations come as the whole numbers that the file holds: Python's own have another range,
    and no reader takes them.
    """

    number = taken = 0
    for batch in batches:
        if name := twice(batch.schema.names):
            raise DataError(
                f"two columns are named {name!r:.40}", where=str(path), remedy="rename one of them"
            )
        taken += sum(_expanded(column) for column in batch.columns)
        if taken > FREE + GROWTH * size:
            raise _too_much("the file", f"{path}:{number + 1}")
        columns = {
            name: _values(column, name, f"{path}:{number + 1}")
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        for place in range(batch.num_rows):
            yield number + place + 1, {name: values[place] for name, values in columns.items()}
        number += batch.num_rows


def _too_much(what: str, where: str) -> DataError:
    return DataError(
        f"{what} unpacks to more than {GROWTH} times the file's size",
        where=where,
        remedy="text does not pack so well: if it is what you want, write it as JSONL",
    )


def _values(column: pyarrow.Array | pyarrow.ChunkedArray, name: str, where: str) -> list[Any]:
    import pyarrow

    try:
        plain = _plain(column.type)
        return (column if plain == column.type else column.cast(plain, safe=False)).to_pylist()
    except (
        pyarrow.ArrowException,
        ValueError,
        TypeError,
        LookupError,
        OverflowError,
        AttributeError,
    ) as error:
        raise DataError(
            f"the column {name!r:.60} ({str(column.type):.60}) cannot be read: {first_line(error):.80}",
            where=where,
            remedy="write the file without it, or with a type of text, numbers, lists and tables",
        ) from error


def _plain(kind: pyarrow.DataType) -> pyarrow.DataType:
    """The type with dictionaries of texts written out and times as whole numbers."""
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(kind):
        return _plain(kind.value_type)
    if types.is_temporal(kind):
        return pyarrow.int32() if kind.bit_width == 32 else pyarrow.int64()
    if types.is_struct(kind):
        return pyarrow.struct([inner.with_type(_plain(inner.type)) for inner in kind])
    if types.is_map(kind):
        return pyarrow.map_(_plain(kind.key_type), _plain(kind.item_type))
    if types.is_list(kind) or types.is_large_list(kind):
        inner = kind.value_field.with_type(_plain(kind.value_type))
        return pyarrow.list_(inner) if types.is_list(kind) else pyarrow.large_list(inner)
    return kind


def _expanded(column: Any) -> int:
    """Bytes of a column once every value of a dictionary is written out."""
    import pyarrow
    import pyarrow.compute
    from pyarrow import types

    compute: Any = pyarrow.compute
    kind, chunks = column.type, getattr(column, "chunks", [column])
    if types.is_dictionary(kind) and (types.is_string(kind.value_type) or types.is_binary(kind.value_type)):
        return sum(
            int(
                compute.sum(
                    compute.take(compute.binary_length(chunk.dictionary).cast("int64"), chunk.indices)
                ).as_py()
                or 0
            )
            for chunk in chunks
        )
    if types.is_list(kind) or types.is_large_list(kind):
        return column.nbytes + sum(_expanded(chunk.flatten()) for chunk in chunks)
    if types.is_map(kind):
        return column.nbytes + sum(_expanded(chunk.keys) + _expanded(chunk.items) for chunk in chunks)
    if types.is_struct(kind):
        return sum(_expanded(inner) for chunk in chunks for inner in chunk.flatten())
    return column.nbytes


# footer and pages
# `pyarrow` ends the process where some fields of a footer do not fit together, so the few that matter are
# read here.


def _check_pages(file: BinaryIO, size: int, path: Path) -> tuple[list[str], int]:
    """Read the footer and the header of every page. Raises DataError for pages that come to more than the
    file can hold, ValueError for a damaged file.

    Returns:
        The columns of texts that have dictionaries, and the most bytes that a value can have which its page
        repeats.
    """
    repeating: dict[str, None] = {}
    values: dict[int, int] = {}
    unpacked, longest = 0, 1
    for group in _footer(file, size, path).get(4, []):
        for place, chunk in enumerate(column[3] for column in group[1]):
            name, text = (
                ".".join(part.decode() for part in chunk[3]),
                chunk[1] in (BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY),
            )
            delta = any(encoding in DELTAS for encoding in chunk[2])
            for kind, plain, held in _pages(file, chunk, size):
                unpacked += plain
                values.setdefault(place, 0)
                if kind != DICTIONARY:
                    values[place] += held
                elif chunk[1] == BYTE_ARRAY:
                    repeating[name] = None
                if text and (delta or kind == DICTIONARY):
                    longest = max(longest, plain)
                if plain > PAGE or max(unpacked, VALUE * values[place]) > FREE + GROWTH * size:
                    a_page_of = "a page of " if plain > PAGE else ""
                    raise _too_much(f"{a_page_of}the column {name!r:.60}", str(path))
    return list(repeating), longest


def _footer(file: BinaryIO, size: int, path: Path) -> dict[int, Any]:
    """The fields of the file's metadata: 2 is the schema, 4 the row groups."""
    file.seek(max(0, size - 8))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or length + 12 > size:
        raise ValueError("it does not end as a Parquet file does")
    if length > FOOTER:
        raise DataError(
            f"the file has a footer of {length:,} bytes",
            where=str(path),
            remedy="write fewer columns, or larger row groups",
        )
    file.seek(size - 8 - length)
    footer, _ = _struct(file.read(length), 0)
    if len(footer[2]) > 8 * COLUMNS:
        raise DataError(
            f"the file has {len(footer[2]) - 1:,} columns",
            where=str(path),
            remedy=f"at most {COLUMNS:,}: keep those that are read",
        )
    return footer


def _pages(file: BinaryIO, chunk: dict[int, Any], size: int) -> Iterator[tuple[int, int, int]]:
    """Of each page of a column: its kind, its bytes when unpacked, and how many values it holds."""
    left, length, start = chunk[5], chunk[7], chunk[9]
    if not left:
        return
    if 0 < chunk.get(11, 0) < start:
        start = chunk[11]
    if not 4 <= start <= start + length <= size:
        raise ValueError("a column lies outside the file")
    place = start
    while left > 0 and place < start + length:
        file.seek(place)
        header, end = _struct(file.read(min(HEADER, start + length - place)), 0)
        kind, plain, packed = header[1], header[2], header[3]
        held = next((header[field][1] for field in (5, 7, 8) if field in header), 0)
        if min(kind, plain, packed, held) < 0:
            raise ValueError("a page has a negative size")
        yield kind, plain, held
        place += end + packed
        if kind != DICTIONARY:
            left -= held


def _struct(data: bytes, place: int) -> tuple[dict[int, Any], int]:
    """The fields of a Thrift struct by their numbers, and the place behind it."""
    fields: dict[int, Any] = {}
    field = 0
    while (head := data[place]) != 0:
        place += 1
        if head >> 4:
            field += head >> 4
        else:
            field, place = _whole(data, place)
        kind = head & 15
        if kind in (1, 2):
            fields[field] = kind == 1
        else:
            fields[field], place = _value(data, place, kind)
    return fields, place + 1


def _value(data: bytes, place: int, kind: int) -> tuple[Any, int]:
    """A value of a kind of the compact protocol, and the place behind it."""
    if kind in (1, 2, 3):  # true and false in a list, a byte
        return data[place], place + 1
    if kind in (4, 5, 6):
        return _whole(data, place)
    if kind == 7:  # a double
        return None, place + 8
    if kind == 8:
        length, place = _varint(data, place)
        return data[place : place + length], place + length
    if kind == 12:
        return _struct(data, place)
    if kind != 9:
        raise ValueError(f"a value of kind {kind} in its metadata")
    head = data[place]
    length, place = head >> 4, place + 1
    if length == 15:  # it stands behind
        length, place = _varint(data, place)
    values = []
    for _ in range(min(length, len(data))):
        value, place = _value(data, place, head & 15)
        values.append(value)
    return values, place


def _whole(data: bytes, place: int) -> tuple[int, int]:
    value, place = _varint(data, place)
    return (value >> 1) ^ -(value & 1), place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[place] & 127) << shift
        shift += 7
        place += 1
        if data[place - 1] < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number in its metadata never ends")
