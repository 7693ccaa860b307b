"""A student's file, asked from outside: tensors go in over a pipe, tensors come out, nothing else does.

The file runs in `child`, in a folder of its own, and is ended when it takes too long or too much. What went
wrong is one line (`Ended`, or the error of an answer); a fresh process answers the next question, so that one
endless loop costs one function and not the rest.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import alignlab

from . import child
from .child import MOST_BYTES, packed, unpacked

Case = dict[str, Any]
"""The arguments of one call by name, in the order of the function; a tensor's name ends in its shape."""

POLL = 0.05  # seconds between two looks at the process
PRINTED = 2000  # letters that are kept of what a file prints


@dataclass(frozen=True)
class Answer:
    """What a function gave for one case: a value, and a gradient where one was asked for; or an error."""

    value: Any = None
    gradient: Any = None
    error: str = ""
    unwritten: bool = False  # it raises NotImplementedError: the gap of the stub

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Answer:
        if "error" in said:
            return cls(error=str(said["error"]), unwritten=said.get("kind") == "NotImplementedError")
        return cls(said.get("value"), said.get("gradient"))


class Asked(Protocol):
    """Whoever answers for a student's functions."""

    def calls(self, function: str, cases: Sequence[Case], gradient: str = "") -> list[Answer]: ...

    def drive(self, driver: str, given: Mapping[str, Any]) -> dict[str, Any]: ...


class Ended(Exception):
    """The student's process is no more; the text is one line."""


@dataclass(frozen=True)
class Limits:
    """What a student's file may take: processor seconds to be read, of a question and of a drive (four times
    as many of the clock), and bytes resident.
    """

    start: float = 30.0
    question: float = 30.0
    drive: float = 180.0
    memory: int = 2 * 2**30


class Here:
    """Functions of this very process, for the grader's own tests and for solutions that are trusted."""

    def __init__(self, module: Any, drivers: Mapping[str, Path] | None = None) -> None:
        self.module, self.drivers = module, drivers or {}
        self.file = str(getattr(module, "__file__", ""))

    def calls(self, function: str, cases: Sequence[Case], gradient: str = "") -> list[Answer]:
        answers: list[Answer] = []
        for case in cases:
            try:
                said = child.called(getattr(self.module, function), case, gradient)
                said = unpacked(packed(said)[8:])
            except Exception as error:  # whatever a solution raises
                said = child.failed(error, self.file)
            answers.append(Answer.of(said))
        return answers

    def drive(self, driver: str, given: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return child.loaded(str(self.drivers[driver]), f"driver_{driver}").drive(self.module, dict(given))
        except Exception as error:
            return child.failed(error, self.file)


@dataclass
class Student:
    """A student's file in processes of its own; closed by `with`.

    Args:
        file: what he wrote.
        functions: those the exercise asks for.
        drivers: scripts of ours by name that run in his process and use several of his functions; each has
            `drive(student, given) -> dict`.
        closed: files that he may not read, beside the grader's own.
    """

    file: Path
    functions: Sequence[str]
    drivers: Mapping[str, Path] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    closed: Sequence[Path] = ()
    network: str = ""  # what kept it off the network
    printed: str = ""
    _process: _Process | None = None

    def __enter__(self) -> Student:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def calls(self, function: str, cases: Sequence[Case], gradient: str = "") -> list[Answer]:
        """One answer a case, in order."""
        asked = {"verb": "call", "function": function, "cases": list(cases), "gradient": gradient}
        said = self._asked(asked, self.limits.question)
        answers = said.get("answers")
        if "error" not in said and isinstance(answers, list) and len(answers) == len(cases):
            return [Answer.of(answer) for answer in answers]
        return [Answer(error=str(said.get("error", "gave no answer")))] * len(cases)

    def drive(self, driver: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What a driver found, or {"error"}."""
        return self._asked({"verb": "drive", "driver": driver, "given": dict(given)}, self.limits.drive)

    def there(self) -> tuple[list[str], str]:
        """The functions that the file defines, and the line that says why it cannot be read."""
        try:
            self._begin()
        except Ended as end:
            return [], str(end)
        assert self._process is not None
        return self._process.functions, self._process.broken

    def _asked(self, asked: dict[str, Any], seconds: float) -> dict[str, Any]:
        try:
            self._begin()
            assert self._process is not None
            if self._process.broken:
                return {"error": self._process.broken}
            return self._process.ask(asked, seconds)
        except Ended as end:
            self._end()
            return {"error": str(end)}

    def _begin(self) -> None:
        if self._process is not None:
            return
        self._process = _Process(self.limits)
        load = {
            "verb": "load",
            "file": str(self._process.take(self.file)),
            "functions": list(self.functions),
            "drivers": {name: str(path) for name, path in self.drivers.items()},
            "closed": [str(path.resolve()) for path in (Path(alignlab.__file__).parent, *self.closed)],
            "seconds": int(4 * (self.limits.drive + self.limits.question)),
        }
        said = self._process.ask(load, self.limits.start)
        self._process.functions = said.get("functions", [])
        self._process.broken = said.get("error", "")
        self.network = said.get("network", self.network)

    def _end(self) -> None:
        if self._process is not None:
            self.printed = (self.printed + self._process.printed)[-PRINTED:]
            self._process.end()
            self._process = None


class _Process:
    """One process of `child`, its folder, and the pipes to it."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.functions, self.broken, self.printed = limits, [], "", ""
        self._folder = Path(tempfile.mkdtemp(prefix="alignlab-grade-"))
        self._count = 0
        their_asks, self._asks = os.pipe()
        self._answers, their_answers = os.pipe()
        self._prints, their_prints = os.pipe()
        home = str(self._folder)
        threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        self._process = subprocess.Popen(
            [sys.executable, "-I", child.__file__, str(their_asks), str(their_answers)],
            stdin=subprocess.DEVNULL,
            stdout=their_prints,
            stderr=their_prints,
            pass_fds=(their_asks, their_answers),
            cwd=home,
            env={"HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", **threads},
            start_new_session=True,
        )
        for theirs in (their_asks, their_answers, their_prints):
            os.close(theirs)
        os.set_blocking(self._asks, False)

    def take(self, file: Path) -> Path:
        return Path(shutil.copyfile(file, self._folder / file.name))

    def ask(self, words: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Raises Ended: the process ended, took too long or too much, or answered with what is no answer."""
        self._count += 1
        number = f"{self._count}-{os.urandom(8).hex()}"
        pending, answer = memoryview(packed({**words, "id": number})), bytearray()
        begun, used = time.monotonic(), self._processor()
        while True:
            ready = select.select([self._answers, self._prints], [self._asks] if pending else [], [], POLL)
            if self._asks in ready[1]:
                try:
                    pending = pending[os.write(self._asks, pending[: 2**16]) :]
                except BrokenPipeError:
                    raise Ended(self._epitaph()) from None
            if self._prints in ready[0]:
                self.printed = (self.printed + os.read(self._prints, 2**16).decode("utf-8", "replace"))[
                    -PRINTED:
                ]
            if self._answers in ready[0]:
                got = os.read(self._answers, 2**20)
                if not got:
                    raise Ended(self._epitaph())
                answer += got
                size = int.from_bytes(answer[:8], "little") if len(answer) >= 8 else 0
                if size > MOST_BYTES:
                    raise Ended("writes into the grader's own channel")
                if len(answer) >= 8 and len(answer) >= 8 + size:
                    return _read(bytes(answer[8:]), number)
            self._watch(begun, used, seconds)

    def _watch(self, begun: float, used: float, seconds: float) -> None:
        """Raises Ended where it takes more than it may: processor seconds, four times as many of the clock,
        memory.
        """
        if self._processor() - used > seconds or time.monotonic() - begun > 4 * seconds:
            raise Ended(f"took more than {seconds:.0f} s, and was stopped")
        if self._resident() > self.limits.memory:
            raise Ended(f"took more than {self.limits.memory / 2**30:.0f} GB of memory, and was stopped")

    def _epitaph(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed the grader's channel"
        if code < 0:
            return f"was ended by the system ({signal.Signals(-code).name})"
        return f"ended the program (exit code {code}) before it had answered"

    def _stat(self, name: str) -> list[str]:
        try:
            text = Path(f"/proc/{self._process.pid}/{name}").read_text(encoding="ascii", errors="replace")
        except OSError:  # no /proc here, or the process is gone
            return []
        return text.rpartition(")")[2].split()

    def _processor(self) -> float:
        """Seconds of the processor so far; 0 where the system does not say."""
        fields = self._stat("stat")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if len(fields) > 12 else 0.0

    def _resident(self) -> int:
        fields = self._stat("statm")
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else 0

    def end(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        for pipe in (self._asks, self._answers, self._prints):
            os.close(pipe)
        shutil.rmtree(self._folder, ignore_errors=True)


def _read(body: bytes, number: str) -> dict[str, Any]:
    broken: Callable[[], Ended] = lambda: Ended("writes into the grader's own channel")  # noqa: E731
    try:
        words = unpacked(body)
    except Exception:  # whatever a parser says of bytes that are no message
        raise broken() from None
    if not isinstance(words, dict) or words.pop("id", None) != number:
        raise broken()
    return words
