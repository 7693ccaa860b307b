"""Parquet and Arrow tables -> rows of plain values, bounded by what the file could hold.

A Parquet file says in three places how large it is: in its footer, in the header of every page, and by how often a page repeats its values. A short file
can claim gigabytes in each. So the headers of all pages are read first, and what comes out is counted against the file's size. (Format:
https://github.com/apache/parquet-format; headers are Thrift structs in the compact protocol.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import DataError
from .files import AGAIN, COLUMNS, FREE, GROWTH, twice

if TYPE_CHECKING:
    import pyarrow

PAGE = 2**27  # bytes of one page, unpacked; writers make them of one megabyte
HEADER = 2**20  # bytes of a page's header
VALUE = 16  # bytes that a value takes at least, however often it is repeated
DICTIONARY = 2  # PageType.DICTIONARY_PAGE
BATCH = 2**26  # bytes that a batch of rows may come to
ROWS = 1000  # of a batch


def parquet_rows(file: BinaryIO, path: Path) -> Iterator[tuple[int, Any]]:
    """Rows of a Parquet file with their places, from 1.

    Raises:
        DataError: the file is damaged, claims more than it can hold, or has a column whose values cannot be read.
    """
    import pyarrow
    import pyarrow.parquet

    size, number = file.seek(0, 2), 0
    limits = {"thrift_string_size_limit": 10 * HEADER, "thrift_container_size_limit": 100_000}
    try:
        whole = pyarrow.parquet.ParquetFile(file, **limits).metadata
        if whole.num_columns > COLUMNS:
            raise DataError(f"the file has {whole.num_columns:,} columns", where=str(path), remedy=f"at most {COLUMNS:,}: keep those that are read")
        repeating, longest = _check_pages(file, whole, size, path)
        table = pyarrow.parquet.ParquetFile(file, read_dictionary=repeating, **limits)
        batches = table.iter_batches(batch_size=max(1, min(ROWS, BATCH // longest)), use_threads=False)
        for number, row in table_rows(batches, size, path):
            yield number, row
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, ValueError, LookupError, OverflowError) as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DataError(f"the Parquet file is cut off or damaged after row {number}: {first:.120}", where=str(path), remedy=AGAIN) from error


def table_rows(batches: Iterable[Any], size: int, path: Path) -> Iterator[tuple[int, Any]]:
    """Rows of record batches or tables with their places, from 1; `size` is that of the file they come from.

    Dates, times and durations come as the whole numbers that the file holds: Python's own have another range, and no reader takes them.
    """

    number = taken = 0
    for batch in batches:
        if name := twice(batch.schema.names):
            raise DataError(f"two columns are named {name!r:.40}", where=str(path), remedy="rename one of them")
        taken += sum(_expanded(column) for column in batch.columns)
        if taken > FREE + GROWTH * size:
            raise _too_much("the file", f"{path}:{number + 1}")
        columns = {name: _values(column, name, f"{path}:{number + 1}") for name, column in zip(batch.schema.names, batch.columns, strict=True)}
        for place in range(batch.num_rows):
            yield number + place + 1, {name: values[place] for name, values in columns.items()}
        number += batch.num_rows


def _too_much(what: str, where: str) -> DataError:
    return DataError(f"{what} unpacks to more than {GROWTH} times the file's size", where=where, remedy="text does not pack so well: if it is what you want, write it as JSONL")


def _values(column: pyarrow.Array | pyarrow.ChunkedArray, name: str, where: str) -> list[Any]:
    import pyarrow

    try:
        plain = _plain(column.type)
        return (column if plain == column.type else column.cast(plain, safe=False)).to_pylist()
    except (pyarrow.ArrowException, ValueError, TypeError, LookupError, OverflowError, AttributeError) as error:
        raise DataError(f"the column {name!r:.60} ({str(column.type):.60}) cannot be read: {next(iter(str(error).splitlines()), ''):.80}", where=where,
                        remedy="write the file without it, or with a type of text, numbers, lists and tables") from error


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
        return (pyarrow.list_ if types.is_list(kind) else pyarrow.large_list)(kind.value_field.with_type(_plain(kind.value_type)))
    return kind


def _expanded(column: Any) -> int:
    """Bytes of a column once every value of a dictionary is written out."""
    import pyarrow
    from pyarrow import compute, types

    kind, chunks = column.type, column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
    if types.is_dictionary(kind) and (types.is_string(kind.value_type) or types.is_binary(kind.value_type)):
        return sum(int(compute.sum(compute.take(compute.binary_length(chunk.dictionary).cast("int64"), chunk.indices)).as_py() or 0) for chunk in chunks)
    if types.is_list(kind) or types.is_large_list(kind):
        return column.nbytes + sum(_expanded(chunk.flatten()) for chunk in chunks)
    if types.is_map(kind):
        return column.nbytes + sum(_expanded(chunk.keys) + _expanded(chunk.items) for chunk in chunks)
    if types.is_struct(kind):
        return sum(_expanded(inner) for chunk in chunks for inner in chunk.flatten())
    return column.nbytes


# --- pages --------------------------------------------------------------------------------------------------------------------------

def _check_pages(file: BinaryIO, whole: Any, size: int, path: Path) -> tuple[list[str], int]:
    """Read the header of every page. Raises DataError for pages that come to more than the file can hold.

    Returns:
        The columns of texts that have dictionaries, and the most bytes that a value can have which its page repeats.
    """
    repeating: dict[str, None] = {}
    unpacked, longest, values = 0, 1, [0] * whole.num_columns
    for group in range(whole.num_row_groups):
        for place in range(whole.num_columns):
            chunk = whole.row_group(group).column(place)
            repeats = any(name.startswith("DELTA") for name in chunk.encodings)
            for kind, plain, held in _pages(file, chunk, size):
                unpacked += plain
                values[place] += held if kind != DICTIONARY else 0
                if kind == DICTIONARY and chunk.physical_type == "BYTE_ARRAY":
                    repeating[chunk.path_in_schema] = None
                if chunk.physical_type.endswith("BYTE_ARRAY") and (repeats or kind == DICTIONARY):
                    longest = max(longest, plain)
                if plain > PAGE or max(unpacked, VALUE * values[place]) > FREE + GROWTH * size:
                    raise _too_much(f"the column {chunk.path_in_schema!r:.60}" if plain <= PAGE else f"a page of the column {chunk.path_in_schema!r:.60}", str(path))
    return list(repeating), longest


def _pages(file: BinaryIO, chunk: Any, size: int) -> Iterator[tuple[int, int, int]]:
    """Of each page of a column: its kind, its bytes when unpacked, and how many values it holds."""
    if not chunk.num_values:
        return
    starts = [chunk.data_page_offset] + ([chunk.dictionary_page_offset] if chunk.has_dictionary_page else [])
    place = start = min(starts)
    if not 4 <= start <= start + chunk.total_compressed_size <= size:
        raise ValueError("a column lies outside the file")
    left = chunk.num_values
    while left > 0 and place < start + chunk.total_compressed_size:
        file.seek(place)
        data = file.read(min(HEADER, start + chunk.total_compressed_size - place))
        header, end = _thrift_struct(data, 0)
        kind, plain, packed = (header.get(field, -1) for field in (1, 2, 3))
        held = next((header[field].get(1, 0) for field in (5, 7, 8) if isinstance(header.get(field), dict)), 0)
        if min(kind, plain, packed, held) < 0:
            raise ValueError("a page has a negative size")
        yield kind, plain, held
        place += end + packed
        left -= held if kind != DICTIONARY else 0


def _thrift_struct(data: bytes, place: int) -> tuple[dict[int, Any], int]:
    """The fields of a struct by their numbers, and the place behind it. Whole numbers and structs are kept, the rest is passed over."""
    found: dict[int, Any] = {}
    field = 0
    while (head := data[place]) != 0:
        place += 1
        step, kind = head >> 4, head & 15
        if step:
            field += step
        else:
            field, place = _whole(data, place)
        found[field], place = _thrift_value(data, place, kind)
    return found, place + 1


def _thrift_value(data: bytes, place: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2):  # true, false
        return kind == 1, place
    if kind == 3:  # a byte
        return data[place], place + 1
    if kind in (4, 5, 6):
        return _whole(data, place)
    if kind == 7:  # a double
        return None, place + 8
    if kind == 8:  # bytes
        length, place = _varint(data, place)
        return None, place + length
    if kind == 12:
        return _thrift_struct(data, place)
    raise ValueError(f"a page's header holds a value of kind {kind}")


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
            raise ValueError("a number of a page's header never ends")
