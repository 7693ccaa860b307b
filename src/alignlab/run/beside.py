"""A second process beside the one that makes a run, for as long as a core has nothing else to do.

A pipeline lends a stage the core that no other stage can use (`lend`), and takes it back when one can. Work
that falls into parts which do not need each other asks `Beside` for each part whether somebody is there to do
it, and does it itself if not. What comes out is the same either way: only who does it differs.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Self

_lent: Callable[[], bool] | None = None


def lend(lent: Callable[[], bool] | None) -> None:
    """Say how this process learns whether a core is lent to it; None, and none ever is."""
    global _lent
    _lent = lent


def may_be_lent() -> bool:
    """Whether anybody lends cores here, and a process can be copied as it is."""
    return _lent is not None and sys.platform == "linux"


class Beside:
    """A copy of this process, as it is when `Beside` is made, that answers calls of `work`; None, and there
    is no copy.

    It says nothing to people and ends with the process that it was copied from.
    """

    def __init__(self, work: Callable[[Any], Any] | None) -> None:
        self._work = work
        self._busy = False
        self._pipe: Connection | None = None
        self._process: BaseProcess | None = None
        if work is not None and may_be_lent():
            context = mp.get_context("fork")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=self._answer, args=(self._pipe, theirs), daemon=True)
            self._process.start()
            theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, part: Any) -> bool:
        """Hand a part over; False if nobody is there for it."""
        if self._pipe is None or _lent is None or not _lent():
            return False
        with suppress(OSError):
            self._pipe.send(part)
            self._busy = True
        return self._busy

    def result(self, part: Any) -> Any:
        """What was made of the part that was handed over; made here, if whoever had it was killed. An error
        there is raised here.
        """
        assert self._work and self._pipe and self._busy, "nothing was handed over"
        self._busy = False
        try:
            error, made = self._pipe.recv()
        except (EOFError, OSError):
            self._pipe = None
            return self._work(part)
        if error is not None:
            raise error
        return made

    def close(self) -> None:
        """Let the copy go, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._pipe = self._process = None

    def _answer(self, ours: Connection, pipe: Connection) -> None:
        assert self._work
        ours.close()
        lend(None)
        signal.signal(
            signal.SIGTERM, signal.SIG_DFL
        )  # what the run does when it is stopped is not for its copy
        threading.Thread(target=end_with_parent, daemon=True).start()
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        with suppress(EOFError, OSError):
            while True:
                part = pipe.recv()
                try:
                    answer = None, self._work(part)
                except Exception as error:  # whatever it is, it is theirs who asked
                    answer = error, None
                pipe.send(answer)


def end_with_parent() -> None:
    """Nobody is left to answer to: what this process holds, a run's lock among it, is free at once."""
    parent = mp.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
