"""A file's bytes as text: unpacked where they are packed, checked to be UTF-8, line by line."""

from __future__ import annotations

import gzip
import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError
from .bounds import AGAIN, FREE, GROWTH, ROW, suffix, too_long


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


def command(path: Path, command: str) -> str:
    """A shell command on the file, which is unpacked first if it has to be."""
    unpack = f"gunzip {shlex.quote(str(path))}; " if path.name.lower().endswith(".gz") else ""
    plain = path.with_suffix("") if unpack else path
    return unpack + command.format(file=shlex.quote(str(plain)), fixed=f"fixed{suffix(path)}")


def decode(data: bytes, path: Path, line: int, offset: int) -> str:
    """UTF-8 text of bytes that begin at `line` and byte `offset` of the file."""
    if offset == 0 and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            "the file is in UTF-16",
            where=str(path),
            remedy=command(path, "iconv -f UTF-16 -t UTF-8 {file} > {fixed}"),
        )
    if (nul := data.find(b"\0")) >= 0:
        raise DataError(
            f"a NUL byte at byte {offset + nul}: the file is damaged, or not text",
            where=f"{path}:{line + data[:nul].count(10)}",
            remedy=f"{AGAIN}, or take them out: " + command(path, "tr -d '\\000' < {file} > {fixed}"),
        )
    try:
        return data.decode("utf-8-sig" if offset == 0 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte {offset + error.start} (0x{data[error.start]:02x}) is not UTF-8",
            where=f"{path}:{line + data[: error.start].count(10)}",
            remedy="if the file is Latin-1 or Windows-1252: "
            + command(path, "iconv -f WINDOWS-1252 -t UTF-8 {file} > {fixed}"),
        ) from error


def byte_lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers. Raises DataError for one that is too long."""
    number = 0
    while line := file.readline(ROW + 1):
        number += 1
        if len(line) > ROW:
            raise too_long(path, number)
        yield number, line


def text_lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, str]]:
    offset = 0
    for number, line in byte_lines(file, path):
        yield number, decode(line, path, number, offset)
        offset += len(line)
