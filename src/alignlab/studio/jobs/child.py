"""The process of one job: its commands one after the other, each in a session of its own, so that neither a
studio that ends nor a key on its terminal ends them. It keeps the time, the end of what they say, and how it
ended.

    python -m alignlab.studio.jobs.child FOLDER JOB < {"program", "commands", "seconds"}

The commands come from the studio that asks and are never read from the folder, which somebody else may have
filled. Nothing of this package is imported but the lock: a job has the machine to itself. A command of
alignlab whose keeper was killed is asked to save and stop (`command`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .command import KEEPER
from .slot import take

KEPT = 64_000  # bytes of what the commands said, the last ones
GRACE = 30.0  # seconds in which a command that was asked to stop saves what it has
EVERY = 0.1


class Job:
    """A job that runs."""

    def __init__(self, folder: Path, job: str, asked: dict[str, Any]) -> None:
        self.place, self.program = folder / job, list(asked["program"])
        self.commands: list[list[str]] = asked["commands"]
        self.until = time.monotonic() + asked["seconds"]
        self.why = ""  # it was told to stop: stopped, late
        self.said, self.unwritten, self.kill_at = b"", False, 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        state: dict[str, Any] = {"started": time.time(), "ended": None, "exit": None, "why": ""}
        self._write("state.json", json.dumps(state).encode())
        code = 0
        for command in self.commands:
            if code or self.why:
                break
            code = self._one(command)
        state |= {"ended": time.time(), "exit": code, "why": self.why}
        self._write("state.json", json.dumps(state).encode())

    def stop(self, why: str) -> None:
        """Ask the command to stop; one that has not after a while is killed."""
        self.why = self.why or why
        self.kill_at = self.kill_at or time.monotonic() + GRACE
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def _one(self, command: list[str]) -> int:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            self.process = subprocess.Popen(
                [*self.program, *command],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                env=os.environ | {KEEPER: str(os.getpid())},
                start_new_session=True,
            )
            os.close(writing)
            if self.why:  # told between two commands
                self.process.terminate()
            while self.process.poll() is None:
                now = time.monotonic()
                if now > self.until and not self.why:
                    self.stop("late")
                if self.kill_at and now > self.kill_at:
                    with suppress(ProcessLookupError):
                        os.killpg(self.process.pid, signal.SIGKILL)
                self._read(reading)
                time.sleep(EVERY)
            self._read(reading)
        finally:
            os.close(reading)
        return self.process.returncode

    def _read(self, reading: int) -> None:
        """What was said meanwhile, as far as it is kept."""
        with suppress(BlockingIOError):
            while data := os.read(reading, 65_536):
                self.said = (self.said + data)[-KEPT:]
                self.unwritten = True
        if self.unwritten:
            self.unwritten = False
            with suppress(OSError):
                self._write("said.txt", self.said)

    def _write(self, name: str, data: bytes) -> None:
        staging = self.place / f".{name}.{os.getpid()}.tmp"
        staging.write_bytes(data)
        os.replace(staging, self.place / name)


def main(folder: str, job: str) -> int:
    doing = Job(Path(folder), job, json.load(sys.stdin))
    signal.signal(signal.SIGTERM, lambda *_: doing.stop("stopped"))
    lock = take(Path(folder), job)
    if lock is None:
        return 1
    with lock:
        with suppress(OSError):
            os.nice(5)  # the studio still answers while it works
        doing.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
