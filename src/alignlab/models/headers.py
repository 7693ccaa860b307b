"""What the headers of weight files say, read within bounds and held against the file, before a library opens
it.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ModelError

Shapes = dict[str, tuple[int, ...]]

LARGEST_HEADER = 2**24
"""Bytes of a safetensors header; a model of 400 billion parameters has shards of some 100 kB."""
MOST_NODES = 2**22
"""Values in a JSON file; the largest tokenizers of the field have half as many."""
BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "C64": 64,
    "U64": 64,
    "I64": 64,
    "F64": 64,
}
NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
"""Types of GGUF's values that have a fixed width; 8 is a string, 9 an array."""
BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 40),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
    39: (32, 17),
}
"""Of each type of GGUF's tensors, numbers in a block and its bytes."""


class Broken(ValueError):
    """A file that is not what its ending says; the caller names it."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file and its size. Raises OSError for a pipe, a device, a folder, or what cannot be read."""
    with os.fdopen(
        os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
    ) as file:  # a pipe that nobody writes to does not wait
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        yield file, status.st_size


def read_file(path: Path, most: int) -> bytes:
    """The bytes of a regular file. Raises OSError, also for more than `most` bytes."""
    with opened(path) as (file, size):
        if size > most:
            raise OSError(f"it has {size:,} bytes, and {most:,} are the most that is read")
        return file.read(most)


def parsed(raw: bytes) -> Any:
    """A JSON document. Raises ValueError, also for names that stand twice, NaN, and more values or levels
    than any real one has.
    """
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MOST_NODES:
        raise Broken(f"it has more than {MOST_NODES:,} values")
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_constant)
    except RecursionError:
        raise Broken("it is nested too deep") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise Broken("a name stands twice in it")
    return row


def _constant(name: str) -> float:
    if name == "NaN":
        raise Broken("it holds NaN")
    return float(name)


def shapes(path: Path) -> Shapes:
    """The shape of each tensor of a .safetensors or .gguf file. Raises ModelError for a file whose header it
    does not keep.
    """
    try:
        return gguf(path)[1] if path.suffix == ".gguf" else safetensors(path)
    except (OSError, ValueError, struct.error) as error:
        raise ModelError(
            f"cannot load the weights: {error}", where=str(path), remedy="copy or download the file again"
        ) from None


def safetensors(path: Path) -> Shapes:
    """The header of a .safetensors file: known types, and tensors that lie one behind the other and fill the
    file.
    """
    with opened(path) as (file, size):
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise Broken(f"its header is said to have {length:,} bytes, and the file has {size:,}")
        if length > LARGEST_HEADER:
            raise Broken(
                f"its header has {length:,} bytes, and no model has one of more than {LARGEST_HEADER:,}"
            )
        rows = parsed(file.read(length))
    found: Shapes = {}
    places: list[tuple[int, int]] = []
    if not isinstance(rows, dict):
        raise Broken("its header is no object")
    for name, row in rows.items():
        if name == "__metadata__":
            continue
        try:
            bits, shape, (begin, end) = BITS[row["dtype"]], tuple(row["shape"]), row["data_offsets"]
        except (KeyError, TypeError, ValueError):
            raise Broken(f"its header says of {name!r:.80} what is no tensor") from None
        if (
            any(type(n) is not int or n < 0 for n in (*shape, begin, end))
            or len(shape) > 16
            or end - begin != -(-math.prod(shape) * bits // 8)
        ):
            raise Broken(f"the shape of {name!r:.80} does not fit its place in the file")
        found[name] = shape
        places.append((begin, end))
    at = 0
    for begin, end in sorted(places):
        if begin != at:
            raise Broken(f"its tensors do not lie one behind the other (byte {at:,})")
        at = end
    if at != size - 8 - length:
        raise Broken(f"its header speaks of {at:,} bytes of tensors, and there are {size - 8 - length:,}")
    return found


def gguf(path: Path) -> tuple[dict[str, Any], Shapes]:
    """The values and the tensors' shapes (in torch's order) of a .gguf file's header.

    Raises:
        ValueError, struct.error: it is cut, has values or tensors that are not in the file, or is of a kind
        that is not known.
    """
    with opened(path) as (file, size):
        reader = _Reader(file, size)
        if file.read(4) != b"GGUF" or (version := reader.number("<I")) not in (2, 3):
            raise Broken("it is no GGUF file of version 2 or 3")
        tensors, count = reader.number("<Q"), reader.number("<Q")
        values: dict[str, Any] = {}
        reader.room(count, 12)
        for _ in range(count):
            name = reader.text(2**16)
            if name in values:
                raise Broken(f"the value {name!r:.80} stands twice")
            values[name] = reader.value(reader.number("<I"))
        reader.room(tensors, 24)
        found: Shapes = {}
        ends: list[int] = []
        for _ in range(tensors):
            name = reader.text(2**10)
            dims = tuple(reader.number("<Q") for _ in range(min(reader.number("<I"), 9)))
            kind, offset = reader.number("<I"), reader.number("<Q")
            if name in found or not 1 <= len(dims) <= 4 or kind not in BLOCKS:
                raise Broken(f"its header says of {name!r:.80} what is no tensor (GGUF {version})")
            block, width = BLOCKS[kind]
            found[name] = dims[::-1]
            ends.append(offset + -(-math.prod(dims) // block) * width)
        at = values.get("general.alignment", 32)
        if type(at) is not int or not 1 <= at <= 2**16:
            raise Broken(f"its alignment is {at!r:.20}")
        begin = -(-file.tell() // at) * at
    if ends and begin + max(ends) > size:
        raise Broken(
            f"its header speaks of tensors up to byte {begin + max(ends):,}, and the file has {size:,}"
        )
    return values, found


class _Reader:
    """Reads what a GGUF header says, and never more than the file holds."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.nodes = file, size, 0

    def room(self, count: int, width: int) -> None:
        self.nodes += count
        if count * width > self.size - self.file.tell() or self.nodes > MOST_NODES:
            raise Broken(f"its header counts {count:,} values, and the file has {self.size:,} bytes")

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.file.read(struct.calcsize(form)))[0]

    def text(self, most: int = 2**24) -> str:
        length = self.number("<Q")
        if length > min(most, self.size - self.file.tell()):
            raise Broken(f"its header has a text of {length:,} bytes")
        return self.file.read(length).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == 8:
            return self.text()
        if kind != 9:
            return self.number(NUMBERS[kind]) if kind in NUMBERS else self.unknown(kind)
        kind, count = self.number("<I"), self.number("<Q")
        if kind == 8:
            self.room(count, 8)
            return [self.text() for _ in range(count)]
        if kind not in NUMBERS:
            return self.unknown(kind)
        form = NUMBERS[kind]
        self.room(count, struct.calcsize(form))
        return list(struct.unpack(f"<{count}{form[1]}", self.file.read(count * struct.calcsize(form))))

    @staticmethod
    def unknown(kind: int) -> Any:
        raise Broken(f"its header has a value of the unknown kind {kind}")
