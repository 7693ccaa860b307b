"""Standard input, output and errors as a command finds them: closed, full, or with ASCII alone."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import Terminated

NAMES = ("stdin", "stdout", "stderr")


def guarded(command: Callable[[], int]) -> int:
    """The exit code of a command.

    A stream that is closed reads and takes nothing; what a stream has no letters for is escaped. Exit code 8
    where the output could not be written, 0 where its reader has gone; a pipe to anything else that breaks is
    an error like any other. SIGTERM becomes `Terminated`, so that a command can say how to go on.
    """
    _open_all()
    ours = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if ours else None
    stdout = sys.stdout
    sys.stdout = output = _Output(stdout)
    try:
        try:
            return command()
        finally:
            output.flush()
    except OutputUnread:
        _to_nowhere(stdout)
        return 0
    except BrokenPipeError:
        if not _unread(sys.stderr):
            raise
        return 0
    except OutputLost as error:
        _to_nowhere(stdout)
        say(f"alignlab: the output cannot be written: {error}\n  remedy: make room, or send it elsewhere")
        return 8
    finally:
        if sys.stdout is output:  # else it is somebody else's by now
            sys.stdout = stdout
        if ours:
            signal.signal(signal.SIGTERM, before)
        try:
            sys.stderr.flush()
        except OSError:
            _to_nowhere(sys.stderr)


class OutputLost(Exception):
    """Standard output takes no more: a full disk. No OSError, since libraries pass over those when they
    print.
    """


class OutputUnread(Exception):
    """The reader of standard output has gone, as `| head` does."""


class _Output:
    """Standard output whose errors are told from those of any other file."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._taking(self._stream.write, text)

    def flush(self) -> None:
        self._taking(self._stream.flush)

    def _taking(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except BrokenPipeError:
            raise OutputUnread from None
        except OSError as error:
            raise OutputLost(error.strerror) from None


def speak_utf_8() -> None:
    """Begin the process again where its locale knows ASCII alone: names of files are bytes, and the libraries
    that read them want UTF-8.
    """
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.utf8_mode:
        os.execve(
            sys.executable,
            [sys.executable, "-X", "utf8", *sys.orig_argv[1:]],
            {**os.environ, "PYTHONUTF8": "1"},
        )


def say(text: str) -> None:
    """A line on stderr; where that cannot be written, nobody is there to be told."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _open_all() -> None:
    for number, name in enumerate(NAMES):
        try:
            os.fstat(number)
        except (
            OSError
        ):  # closed: else the next file that is opened gets its number, and what is said goes into it
            os.open(os.devnull, os.O_RDWR)
        stream = getattr(sys, name)
        if stream is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _unread(stream: Any) -> bool:
    """Whether a stream is a pipe that nobody reads any more."""
    with suppress(OSError, ValueError):
        asked = select.poll()
        asked.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in asked.poll(0))
    return False


def _to_nowhere(stream: Any) -> None:
    """So that what is left in its buffer does not fail once more when the process ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _terminate(*_: Any) -> None:
    raise Terminated
