"""Chunks of long work that other processes make, of this machine or another.

Whoever starts a command says who they are (`made_by`). Each of them runs the same command, as far as the loop
whose chunks are wanted (`as_far_as`), and makes there what it is asked for. It writes to no run folder and
says nothing: the process that was started keeps what they hand over.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Others = Callable[[str, Sequence[int]], Generator[tuple[int, Any], None, None]]
"""Given a loop's name and the numbers of its chunks that are missing: each of them with its number, as they
come."""
_others: Others | None = None
_loop = ""


class Reached(BaseException):
    """A command has come to the loop whose chunks others want: no error, so that nobody takes it for one.

    Attributes:
        make: gives the chunk of a number.
        is_kept: whether the run has it by now.
    """

    def __init__(self, make: Callable[[int], Any], is_kept: Callable[[int], bool]) -> None:
        self.make, self.is_kept = make, is_kept


@contextmanager
def made_by(others: Others) -> Iterator[None]:
    """Whose chunks a command takes while this is entered."""
    global _others
    _others = others
    try:
        yield
    finally:
        _others = None


def others() -> Others | None:
    """Who makes the chunks of this process's run; None, and it makes them itself."""
    return _others


@contextmanager
def as_far_as(loop: str) -> Iterator[None]:
    """While this is entered the process makes chunks of that loop for others."""
    global _loop
    _loop = loop
    try:
        yield
    finally:
        _loop = ""


def for_others() -> bool:
    """Whether this process makes chunks for others, and has no run folder."""
    return bool(_loop)


def is_wanted(loop: str) -> bool:
    """Whether it is the chunks of this loop that others want."""
    return _loop == loop


def reached(command: Callable[[], object]) -> Reached:
    """The loop that `as_far_as` names, once the command has come there."""
    try:
        command()
    except Reached as found:
        return found
    raise RuntimeError(f"the command ended and had no loop {_loop!r}")
