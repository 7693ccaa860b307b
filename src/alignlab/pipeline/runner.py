"""Runs the stages of a recipe side by side, each in a process of its own with one thread.

A recipe calls `Pipeline.stage(...)` in the order in which it would be read; a stage that is given another
stage as an argument waits for it. One thread per process keeps the figures the same whatever the number of
cores, and two stages that do not need each other run on two cores. Where no other stage can run, a core is
lent to one that does (`run.beside`). What passes between stages are run folders.
"""

from __future__ import annotations

import io
import multiprocessing as mp
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ..errors import Terminated, UserError
from ..run import DONE_ALREADY, Busy, Resume, beside, check_folder, onlookers, read_run, wait_until_free
from ..run.files import write_json
from ..settings import Training
from ..text.lists import by_comma
from ..text.streams import say
from .view import View

PRELOAD = "alignlab.pipeline.warm"


@dataclass(eq=False)
class Stage:
    """A stage of a pipeline: its name, its run folder and what it waits for. As an argument it stands for its
    run folder.
    """

    name: str
    target: Callable[..., Any]
    out: Path
    arguments: dict[str, Any]
    needs: list[Stage]
    seconds: float = 0.0
    state: str = "waiting"  # waiting, running, done, failed
    error: Exception | None = None  # why it failed, or what it needs did
    text: str = ""
    was_done: bool = False  # by an earlier command
    no_gain: str = ""  # why it is not to get better at anything, where it is not
    lent: Any = field(default=None, repr=False)  # seen by its process too: 1 while a core is lent to it
    process: BaseProcess | None = field(default=None, repr=False)
    pipe: Connection | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return str(self.out)

    def is_control(self, why: str) -> Stage:
        """This stage, of which no progress is expected: that there is none is no alarm then."""
        self.no_gain = f"a control that is not to learn, for {why}"
        return self

    @property
    def is_ready(self) -> bool:
        """Whether all that it needs is there."""
        return all(need.state == "done" for need in self.needs)


@dataclass(frozen=True)
class Joined:
    """Several stages in one argument: their run folders, comma separated, after a prefix such as `gated:`."""

    stages: tuple[Stage, ...]
    prefix: str = ""

    def __str__(self) -> str:
        return self.prefix + ",".join(map(str, self.stages))


class Pipeline:
    """Stages below one folder."""

    def __init__(self, folder: Path, *, workers: int = 0, resume: Resume = True, tracker: str = "") -> None:
        check_folder(folder)
        self.folder, self.tracker = folder, tracker
        self.resume: Resume = resume
        if resume == "again":  # a stage that is made anew makes those anew that come of it
            self.resume = "changed"
        self.workers = workers or min(2, cores())
        self.stages: list[Stage] = []
        self._plan: list[dict[str, Any]] = []  # as it was written last

    def stage(self, name: str, target: Callable[..., Any], **arguments: Any) -> Stage:
        """Plan a stage. Arguments that are stages, lists of them, or several `Joined`, are waited for and
        handed over as their run folders.
        """
        needs: dict[Stage, None] = {}
        for value in arguments.values():
            needs |= dict.fromkeys(_stages_in(value))
        plain = {key: _folder(value) for key, value in arguments.items()}
        if isinstance(given := plain.get("settings"), Training) and not given.tracker:
            plain["settings"] = replace(given, tracker=self.tracker)
        out = self.folder / name
        stage = Stage(name, target, out, plain | {"out": out, "resume": self.resume}, list(needs))
        self.stages.append(stage)
        return stage

    def run(self, *, go_on: bool = False) -> None:
        """Run everything that was planned. The first error stops the rest and is raised; what was finished
        stays.

        Args:
            go_on: an error stops those alone that need the stage; it is their `error` too, and not raised.
        """
        children = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "ALIGNLAB_PROGRESS": "file"}
        ours = {name: os.environ.get(name) for name in children}
        os.environ.update(children)
        if "forkserver" in mp.get_all_start_methods():
            context = mp.get_context("forkserver")
            context.set_forkserver_preload([PRELOAD])
        else:
            context = mp.get_context("spawn")
        view = View(self.stages, self.workers)
        previous = signal.signal(signal.SIGTERM, _interrupt)
        try:
            with view:
                while self._in_state("waiting") or self._in_state("running"):
                    self._start_ready(context)
                    self._write_plan()
                    self._collect(view, timeout=0.25, go_on=go_on)
                    view.show()
        finally:
            self._stop_all()
            self._write_plan()
            signal.signal(signal.SIGTERM, previous)
            for name, value in ours.items():
                if value is None:
                    os.environ.pop(name)
                else:
                    os.environ[name] = value

    def _write_plan(self) -> None:
        """`plan.json` in the folder, where the states are others than when it was written: the stages, for
        whoever looks at the runs before all of them are there.
        """
        plan = [
            {
                "name": stage.name,
                "stage": getattr(stage.target, "__name__", ""),
                "needs": [need.name for need in stage.needs],
                "state": stage.state,
                "text": stage.text if stage.state == "failed" else "",
            }
            for stage in self.stages
        ]
        if plan != self._plan:
            self._plan = plan
            with suppress(OSError):
                write_json(self.folder / "plan.json", {"schema": 1, "stages": plan}, sync=False)

    def _start_ready(self, context: Any) -> None:
        """Start what can be started, the longest way to the end first; cores that are left are lent."""
        running = self._in_state("running")
        ready = [stage for stage in self._in_state("waiting") if stage.is_ready]
        ready.sort(key=lambda stage: -self._stages_behind(stage))
        for stage in ready[: self.workers - len(running)]:
            self._start(stage, context)
            running.append(stage)
        left = self.workers - len(running)
        for place, stage in enumerate(running):
            stage.lent.value = int(place < left)

    def _start(self, stage: Stage, context: Any) -> None:
        receiver, sender = context.Pipe(duplex=False)
        stage.lent = context.RawValue("b", 0)
        lent = stage.lent if self.workers > 1 else None
        arguments = stage.target, stage.arguments, sender, lent, stage.no_gain
        process = context.Process(target=_child, args=arguments, name=stage.name)
        process.start()
        stage.process = process
        sender.close()
        stage.pipe, stage.state, stage.seconds = receiver, "running", time.perf_counter()

    def _in_state(self, state: str) -> list[Stage]:
        return [stage for stage in self.stages if stage.state == state]

    def _stages_behind(self, stage: Stage) -> int:
        """How many stages, one after the other, wait for this one."""
        waiting = [other for other in self.stages if stage in other.needs]
        return max((1 + self._stages_behind(other) for other in waiting), default=0)

    def _collect(self, view: View, timeout: float, *, go_on: bool) -> None:
        running = {stage.pipe: stage for stage in self._in_state("running")}
        for pipe in wait(list(running), timeout):  # type: ignore[arg-type]
            stage = running[pipe]  # type: ignore[index]
            try:
                self._hear(stage, view)
            except Exception as error:
                if not go_on:
                    raise
                self._fail(stage, error)

    def _hear(self, stage: Stage, view: View) -> None:
        """What a stage says: a line, that it is done, or how it failed, which is raised."""
        try:
            outcome, payload = stage.pipe.recv()  # type: ignore[union-attr]
        except EOFError:
            assert stage.process is not None
            stage.process.join()
            raise UserError(
                f"the stage {stage.name} was killed (exit code {stage.process.exitcode})",
                where=str(stage.out),
                remedy="give the same command again: it goes on where it was",
            ) from None
        if outcome == "said":
            view.note(stage, payload)
            return
        stage.seconds = time.perf_counter() - stage.seconds
        if outcome == "error":
            raise payload
        if outcome == "bug":
            raise RuntimeError(f"stage {stage.name}\n{payload}")
        stage.state, stage.text, stage.was_done = "done", payload, payload.endswith(DONE_ALREADY)
        stage.seconds = read_run(stage.out).seconds

    def _fail(self, stage: Stage, error: Exception) -> None:
        """A stage failed, and with it all that need it."""
        stage.state, stage.error, stage.text = "failed", error, str(error)
        for other in self.stages:
            if stage in other.needs and other.state == "waiting":
                self._fail(other, error)

    def _stop_all(self) -> None:
        processes = [stage.process for stage in self.stages if stage.process is not None]
        alive = [process for process in processes if process.is_alive()]
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


def seeds_of(text: str) -> list[int]:
    """Seeds from "0,1,2", each once."""
    try:
        return list(dict.fromkeys(map(int, by_comma(text))))
    except ValueError:
        raise UserError(f"--seeds {text!r} is not a list of whole numbers", remedy="as 0,1,2") from None


def _stages_in(value: Any) -> list[Stage]:
    if isinstance(value, Stage):
        return [value]
    if isinstance(value, Joined):
        value = list(value.stages)
    found: list[Stage] = []
    for item in value if isinstance(value, list) else ():
        found += _stages_in(item)
    return found


def _folder(value: Any) -> Any:
    """A stage as its run folder, a list of them as a list of folders, `Joined` ones as one text, everything
    else as it is.
    """
    if isinstance(value, list):
        return [_folder(item) for item in value]
    return str(value) if isinstance(value, (Stage, Joined)) else value


def _interrupt(*_: Any) -> None:
    raise Terminated


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


def _child(
    target: Callable[..., Any], arguments: dict[str, Any], pipe: Connection, lent: Any, no_gain: str
) -> None:
    """One stage in a process of its own: one thread, errors sent back as they are.

    Ctrl-C reaches every process of the terminal; a stage leaves it to the pipeline, which then asks once, by
    SIGTERM. Asked twice, a run leaves without saving.
    """
    import torch

    said = _Said(pipe)
    sys.stdout = sys.stderr = said  # type: ignore[assignment]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    torch.set_num_threads(1)
    onlookers.NO_GAIN.set(no_gain)
    if lent is not None:
        beside.lend(lambda: bool(lent.value))
    try:
        result = alone(target, arguments)
        said.tell("done", (result or {}).get("text", ""))
    except UserError as error:
        said.tell("error", error)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        said.tell("bug", traceback.format_exc())
