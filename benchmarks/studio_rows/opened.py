"""What the studio's benchmarks share: a studio in a process of its own, who asks it, a browser, and lines of
the table of docs/studio.md.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any


@dataclass
class Opened:
    """A studio that runs: what its first line said, and its process."""

    told: dict[str, Any]
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """With the token of a link."""
        return self.told["url"]

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.told['port']}"

    @property
    def memory(self) -> float:
        """MB that it holds in memory now."""
        return self._kilobytes("VmRSS") / 1024

    @property
    def most_memory(self) -> float:
        """MB that it has held at most."""
        return self._kilobytes("VmHWM") / 1024

    @property
    def handles(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def _kilobytes(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def studio(folder: Path, *more: str) -> Iterator[Opened]:
    command = [sys.executable, "-m", "alignlab.cli", "studio", str(folder), "--port", "0", "--no-open"]
    process = subprocess.Popen([*command, "--json", *more], stdout=subprocess.PIPE, text=True)
    try:
        yield Opened(json.loads(process.stdout.readline()), process)  # type: ignore[union-attr]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


class Asker:
    """Whoever asks over HTTP, with the cookie that they were given."""

    def __init__(self, base: str) -> None:
        self.base, self.cookie = base, ""

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the answer."""
        connection = HTTPConnection(self.base.removeprefix("http://"), timeout=120)
        headers = {"Content-Type": "application/json", "Origin": self.base, "Cookie": self.cookie}
        connection.request(method, path, None if method == "GET" else json.dumps(body or {}), headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        self.cookie = (answer.getheader("Set-Cookie") or self.cookie).partition(";")[0]
        connection.close()
        return answer.status, said

    def get(self, path: str) -> Any:
        return self._well(*self.ask("GET", path))

    def post(self, path: str, body: Any = None) -> Any:
        return self._well(*self.ask("POST", path, body))

    def _well(self, status: int, said: Any) -> Any:
        if status != 200:
            raise SystemExit(f"{status}: {said}")
        return said


def instructor(opened: Opened) -> Asker:
    """Whoever opened the studio."""
    asker = Asker(opened.base)
    asker.post("/api/session", {"token": opened.url.partition("token=")[2]})
    return asker


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


def p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def line(what: str, bar: str, measured: str, row: str, *, met: bool | None = None) -> None:
    """A line of the table in docs/studio.md."""
    verdict = {True: "met: ", False: "**missed**: ", None: ""}[met]
    load = f"load {os.getloadavg()[0]:.1f}"
    print(f"| {what} | {bar} | {verdict}{measured} ({load}) | `{row}` |", flush=True)
