"""Runs the stages of a recipe side by side, each in a process of its own with one thread.

A recipe calls `Pipeline.stage(...)` in the order in which it would be read; a stage that is given another
stage as an argument waits for it. One thread per process keeps the figures the same whatever the number of
cores or machines, and two stages that do not need each other run on two cores. Who works them is the
`executor`'s matter. What passes between stages are run folders.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError, Terminated, UserError
from ..run import DONE_ALREADY, Resume, check_folder, read_run
from ..run.files import write_json
from ..settings import Training
from ..text.lists import by_comma
from .executor import Executor, Work
from .on_ray import OnRay
from .processes import Processes
from .view import View


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

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 0,
        executor: str = "local",
        resume: Resume = True,
        tracker: str = "",
    ) -> None:
        self.executor = executor_named(executor, workers)
        check_folder(folder)
        self.folder, self.tracker = folder, tracker
        self.resume: Resume = resume
        if resume == "again":  # a stage that is made anew makes those anew that come of it
            self.resume = "changed"
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
        previous = signal.getsignal(signal.SIGTERM)
        try:
            with self.executor as executor, View(self.stages, executor.workers) as view:
                signal.signal(signal.SIGTERM, _interrupt)  # an executor may have put its own there
                while self._in_state("waiting") or self._in_state("running"):
                    self._start_ready(executor)
                    self._write_plan()
                    self._listen(executor, view, go_on=go_on)
                    view.show()
        finally:
            self._write_plan()
            signal.signal(signal.SIGTERM, previous)

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

    def _start_ready(self, executor: Executor) -> None:
        """Start what can be started, the longest way to the end first."""
        ready = [stage for stage in self._in_state("waiting") if stage.is_ready]
        ready.sort(key=lambda stage: -self._stages_behind(stage))
        for stage in ready[: executor.workers - len(self._in_state("running"))]:
            executor.start(Work(stage.name, stage.target, stage.arguments, stage.no_gain))
            stage.state, stage.seconds = "running", time.perf_counter()

    def _listen(self, executor: Executor, view: View, *, go_on: bool) -> None:
        """Hear what stages say, and what became of them."""
        running = {stage.name: stage for stage in self._in_state("running")}
        for name, outcome, payload in executor.heard(timeout=0.25):
            if outcome == "said":
                view.note(running[name], payload)
                continue
            try:
                self._hear(running[name], outcome, payload)
            except Exception as error:
                if not go_on:
                    raise
                self._fail(running[name], error)

    def _in_state(self, state: str) -> list[Stage]:
        return [stage for stage in self.stages if stage.state == state]

    def _stages_behind(self, stage: Stage) -> int:
        """How many stages, one after the other, wait for this one."""
        waiting = [other for other in self.stages if stage in other.needs]
        return max((1 + self._stages_behind(other) for other in waiting), default=0)

    def _hear(self, stage: Stage, outcome: str, payload: Any) -> None:
        """That a stage is done, or how it failed, which is raised."""
        stage.seconds = time.perf_counter() - stage.seconds
        if outcome == "error":
            raise payload
        if outcome == "bug":
            raise RuntimeError(f"stage {stage.name}\n{payload}")
        if outcome == "gone":
            raise UserError(
                f"the stage {stage.name} {payload}",
                where=str(stage.out),
                remedy="give the same command again: it goes on where it was",
            )
        stage.state, stage.text, stage.was_done = "done", payload, payload.endswith(DONE_ALREADY)
        stage.seconds = read_run(stage.out).seconds

    def _fail(self, stage: Stage, error: Exception) -> None:
        """A stage failed, and with it all that need it."""
        stage.state, stage.error, stage.text = "failed", error, str(error)
        for other in self.stages:
            if stage in other.needs and other.state == "waiting":
                self._fail(other, error)


def executor_named(name: str, workers: int) -> Executor:
    """`local`; `ray`, a cluster that is begun here or that RAY_ADDRESS names; `ray=HOST:PORT`, one that runs.

    Args:
        workers: stages side by side; 0 = one for each core (`local`: two at most).

    Raises:
        ConfigError: another name.
    """
    kind, _, address = name.partition("=")
    if name == "local":
        return Processes(workers)
    if name == "ray" or kind == "ray" and address:
        return OnRay(address, workers)
    raise ConfigError(f"executor = {name!r}", remedy="local, ray, or ray=HOST:PORT")


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
