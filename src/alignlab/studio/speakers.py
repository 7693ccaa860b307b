"""Processes that answer for models: one each, so many at most, started when a model is first asked and given
up when others are. They end with the studio.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from ..text.escapes import one_line
from .child import KEY, NAME
from .models import Model
from .problems import Refused

MOST = 2  # models at once that write
HOST = "127.0.0.1"
LONGEST = 10_000  # letters of the line by which a process says that it is ready


@dataclass(frozen=True)
class Address:
    """Where a model answers.

    Attributes:
        context: tokens that a question and its answer may have.
        chats: whether it has a chat template; one without it goes on with texts.
    """

    port: int
    key: str
    context: int
    chats: bool


class Speaker:
    """The process of one model; `address` once it is loaded, `problem` and `remedy` if it could not be."""

    def __init__(self, model: Model, command: Sequence[str]) -> None:
        self.model, self.stamp = model, stamp_of(model)
        self.since = self.used = time.monotonic()
        self.address: Address | None = None
        self.problem = self.remedy = ""
        self._key = secrets.token_urlsafe(32)
        away = {KEY: self._key, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        self._process = subprocess.Popen(
            command,
            env=os.environ | away,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        for work in (self._hear, self._pass_on):
            threading.Thread(target=work, daemon=True, name=f"speaker {model.id}").start()

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    @property
    def memory(self) -> int | None:
        """Bytes that the process holds; None where the system does not say."""
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _hear(self) -> None:
        """Its first line, which says where it answers or why it does not."""
        assert self._process.stdout
        with self._process.stdout as said:
            try:
                row = json.loads(said.readline(LONGEST))
                if "what" in row:
                    self.problem, self.remedy = str(row["what"]), str(row.get("remedy", ""))
                else:
                    self.address = self._ask(int(row["port"]))
            except (ValueError, KeyError, TypeError, OSError, HTTPException):
                self.problem = "its process ended before it answered"

    def _ask(self, port: int) -> Address:
        connection = HTTPConnection(HOST, port, timeout=10)
        connection.request("GET", f"/v1/models/{NAME}", headers={"Authorization": f"Bearer {self._key}"})
        told = json.loads(connection.getresponse().read())["alignlab"]
        connection.close()
        return Address(port, self._key, int(told["context"]), bool(told["chats"]))

    def _pass_on(self) -> None:
        """What it says of bugs and warnings goes where ours go."""
        assert self._process.stderr
        with self._process.stderr as said:
            for line in said:
                text = one_line(line.decode("utf-8", "replace").rstrip())
                print(f"alignlab serve: {text}", file=sys.stderr, flush=True)


def stamp_of(model: Model) -> tuple[float, ...]:
    """What is another once the weights are."""
    try:
        return model.bytes, (model.folder / "config.json").stat().st_mtime_ns
    except OSError:
        return (model.bytes,)


class Speakers:
    """Who can be asked.

    Args:
        most: models at once.
        command: what is run for a model.
    """

    def __init__(self, most: int = MOST, command: Callable[[Model], Sequence[str]] | None = None) -> None:
        self.most, self.command = most, command or served
        self._lock, self._speakers, self._closed = threading.Lock(), dict[str, Speaker](), False

    def ready(self, models: Sequence[Model]) -> list[Address]:
        """Where these answer, `most` of them at most. Whichever was asked longest ago makes room.

        Raises:
            Refused: 503 while one of them is being loaded (model_loading), if one could not be, or the
                studio ends.
        """
        with self._lock:
            if self._closed:
                raise Refused(503, "the studio is ending")
            for model in models:
                self._begin(model, keep={one.id for one in models})
            speakers = [self._speakers[model.id] for model in models]
            for speaker in speakers:
                if speaker.problem:
                    del self._speakers[speaker.model.id]
                    speaker.end()
                    what = f"{speaker.model.name} cannot be asked: {speaker.problem}"
                    raise Refused(503, what, remedy=speaker.remedy, code="model_failed")
            addresses = [speaker.address for speaker in speakers if speaker.address is not None]
            if len(addresses) == len(speakers):
                return addresses
            slowest = min((one for one in speakers if one.address is None), key=lambda one: one.since)
        passed = time.monotonic() - slowest.since
        raise Refused(
            503,
            f"{slowest.model.name} is being loaded, {passed:.0f} s so far",
            remedy="the page asks again by itself",
            code="model_loading",
            retry_after=1,
        )

    def _begin(self, model: Model, keep: set[str]) -> None:
        """The process of a model, a new one where there is none, it has died, or the weights are others."""
        known = self._speakers.get(model.id)
        dead = known is not None and known.address is not None and not known.lives
        if known is not None and (dead or known.stamp != stamp_of(model)):
            self._give_up(model.id)
            known = None
        while known is None and len(self._speakers.keys() - {model.id}) >= self.most:
            others = [speaker for id, speaker in self._speakers.items() if id not in keep]
            self._give_up(min(others, key=lambda speaker: speaker.used).model.id)
        if known is None:
            known = self._speakers[model.id] = Speaker(model, self.command(model))
        known.used = time.monotonic()

    def _give_up(self, id: str) -> None:
        self._speakers.pop(id).end()

    def memory_of(self, id: str) -> tuple[bool, int | None]:
        """Whether a model is loaded, and the bytes that its process holds."""
        with self._lock:
            speaker = self._speakers.get(id)
            if speaker is None or speaker.address is None or not speaker.lives:
                return False, None
            return True, speaker.memory

    def close(self) -> None:
        """All of them end, and none begins."""
        with self._lock:
            self._closed = True
            while self._speakers:
                self._give_up(next(iter(self._speakers)))


def served(model: Model) -> list[str]:
    """The command that answers for a model. What lies in the working folder is none of its modules (-P)."""
    return [sys.executable, "-P", "-m", "alignlab.studio.child", str(model.folder), str(os.getpid())]
