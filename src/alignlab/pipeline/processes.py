"""Stages in processes of this machine, one thread each. Where no other stage can run, a core is lent to one
that does (`run.beside`).
"""

from __future__ import annotations

import io
import multiprocessing as mp
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self

from ..errors import UserError
from ..run import Busy, beside, onlookers, wait_until_free
from ..text.streams import say
from .executor import Heard, Work

PRELOAD = "alignlab.pipeline.warm"
CHILDREN = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "ALIGNLAB_PROGRESS": "file"}
"""What stands in the environment of stages."""
ENDED = ("done", "error", "bug", "gone")


@dataclass
class Process:
    """A stage's process, what it is heard by, and 1 in `lent` while a core is lent to it."""

    work: Work
    process: BaseProcess
    pipe: Connection
    lent: Any


class Processes:
    """An `Executor` of processes that are forked where that is safe, from one that has imported all."""

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers or min(2, cores())
        self.under_way: list[Process] = []
        self.environment: dict[str, str | None] = {}
        self.context: Any = None

    def __enter__(self) -> Self:
        self.environment = {name: os.environ.get(name) for name in CHILDREN}
        os.environ.update(CHILDREN)
        if "forkserver" in mp.get_all_start_methods():
            self.context = mp.get_context("forkserver")
            self.context.set_forkserver_preload([PRELOAD])
        else:
            self.context = mp.get_context("spawn")
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._stop()
        finally:
            for name, value in self.environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def start(self, work: Work) -> None:
        receiver, sender = self.context.Pipe(duplex=False)
        lent = self.context.RawValue("b", 0)
        arguments = work, sender, lent if self.workers > 1 else None
        process = self.context.Process(target=_child, args=arguments, name=work.name)
        process.start()
        sender.close()
        self.under_way.append(Process(work, process, receiver, lent))

    def heard(self, timeout: float) -> list[Heard]:
        spare = self.workers - len(self.under_way)
        for place, one in enumerate(self.under_way):
            one.lent.value = int(place < spare)
        found = []
        ready = wait([one.pipe for one in self.under_way], timeout)
        for one in [one for one in self.under_way if one.pipe in ready]:
            outcome, payload = self._hear(one)
            if outcome in ENDED:
                self.under_way.remove(one)
            found.append((one.work.name, outcome, payload))
        return found

    def _hear(self, one: Process) -> tuple[str, Any]:
        try:
            return one.pipe.recv()
        except EOFError:
            one.process.join()
            return "gone", f"was killed (exit code {one.process.exitcode})"

    def _stop(self) -> None:
        alive = [one.process for one in self.under_way if one.process.is_alive()]
        for process in alive:
            process.terminate()
        try:
            for process in alive:
                process.join(timeout=20)
        except KeyboardInterrupt:  # asked a second time while they save
            for process in alive:
                process.terminate()
            raise


def cores() -> int:
    """The cores that this process may use: those that it is bound to, where it is."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Said(io.TextIOBase):
    """Standard output and error of a stage: whole lines go to the pipeline, which puts them where no bar
    is.
    """

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self.begun, self.lock = pipe, "", threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *whole, self.begun = (self.begun + text).split("\n")
        for line in whole:
            if line.strip():
                self.tell("said", line)
        return len(text)

    def tell(self, outcome: str, payload: Any) -> None:
        with self.lock, suppress(BrokenPipeError):  # the pipeline was killed: the stage still ends whole
            self.pipe.send((outcome, payload))


def alone(target: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """What a stage gives. While another process is writing to its folder it waits, and then finds the run
    done or goes on with it: two pipelines may share runs.
    """
    while True:
        try:
            return target(**arguments)
        except Busy as busy:
            say(f"another process is making {busy.staging.name.removesuffix('.partial')}: waiting for it")
            wait_until_free(busy.staging)


def _child(work: Work, pipe: Connection, lent: Any) -> None:
    """One stage in a process of its own: one thread, errors sent back as they are.

    Ctrl-C reaches every process of the terminal; a stage leaves it to the pipeline, which then asks once, by
    SIGTERM. Asked twice, a run leaves without saving.
    """
    import torch

    said = _Said(pipe)
    sys.stdout = sys.stderr = said  # type: ignore[assignment]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    torch.set_num_threads(1)
    onlookers.NO_GAIN.set(work.no_gain)
    if lent is not None:
        beside.lend(lambda: bool(lent.value))
    try:
        result = alone(work.target, work.arguments)
        if isinstance(result, Generator):
            threading.Thread(target=beside.end_with_parent, daemon=True).start()
            for made in result:
                said.tell("made", made)
            result = None
        said.tell("done", (result or {}).get("text", ""))
    except UserError as error:
        said.tell("error", error)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        said.tell("bug", traceback.format_exc())
