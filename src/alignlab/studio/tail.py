"""A file that grows by a line at a time, read as it grows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO, Protocol

from .inside import Inside

MOST_LINE = 2**20  # bytes of one line; a longer one is counted and not read
_MARK = 64  # bytes before the end of what was read, by which it is known again


class Reader(Protocol):
    """Who takes the lines."""

    def take(self, offset: int, line: bytes | None) -> None:
        """The next whole line, without its end, and where it begins; None for one that is too long."""
        ...

    def clear(self) -> None:
        """All lines so far are gone."""
        ...


class Counter:
    """Counts lines."""

    def __init__(self) -> None:
        self.rows = 0

    def take(self, offset: int, line: bytes | None) -> None:
        self.rows += 1

    def clear(self) -> None:
        self.rows = 0


class Tail:
    """What was read of a file, up to its last whole line.

    A file that is shorter than that, another one of the same name, or one whose last bytes are others than
    those that were read, is read anew: a run that goes on from a state cuts its files back. Each time is one
    `generation` more.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader, self.generation = reader, 0
        self._forget()

    def _forget(self) -> None:
        self._identity: tuple[int, int] | None = None
        self._at, self._mark = 0, b""
        self._begun = 0  # bytes of a line without its end that were passed over as too long

    def catch_up(self, inside: Inside, paths: Sequence[str]) -> None:
        """Take the whole lines that are new of the first of these files that can be read; where none can,
        there are no lines.
        """
        file = first_of(inside, paths)
        if file is None:
            self._anew()
            return
        with file:
            found = os.fstat(file.fileno())
            mark = os.pread(file.fileno(), len(self._mark), max(0, self._at - len(self._mark)))
            if self._identity not in (None, (found.st_dev, found.st_ino)) or mark != self._mark:
                self._anew()
            self._identity = found.st_dev, found.st_ino
            self._read(file.fileno())

    def _anew(self) -> None:
        if self._identity is not None:
            self.generation += 1
            self.reader.clear()
        self._forget()

    def _read(self, handle: int) -> None:
        begun, size = self._at, MOST_LINE + 1
        while chunk := os.pread(handle, size, self._at + self._begun):
            *whole, _ = chunk.split(b"\n")
            for line in whole:
                self.reader.take(self._at, None if self._begun else line)
                self._at += self._begun + len(line) + 1
                self._begun = 0
            if len(chunk) < size:
                break
            if not whole:
                self._begun += size
        if self._at != begun:
            size = min(_MARK, self._at)
            self._mark = os.pread(handle, size, self._at - size)


def first_of(inside: Inside, paths: Sequence[str]) -> BinaryIO | None:
    """The first of these files that can be read."""
    for path in paths:
        try:
            return inside.open(path)
        except OSError:
            pass
    return None
