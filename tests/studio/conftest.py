"""A studio over a folder of small runs, asked without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alignlab.studio.app import application
from alignlab.studio.desk import Desk
from alignlab.studio.scan import id_of
from alignlab.votes import tasks

PORT = 8710
HOST = f"127.0.0.1:{PORT}"
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Studio:
    """The application of one desk; `cookie` is that of an instructor."""

    client = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder, port=PORT, link_key="the key of the file")
        self.app = application(self.desk)
        self.cookie = f"{self.desk.cookie}={self.desk.sessions.exchange(self.desk.sessions.link())}"

    def raw(self, method: str, target: str, headers: Headers, body: bytes = b"", *, lines: int = 1) -> Answer:
        """The answer to these very headers; of a stream, its first chunks."""
        return asyncio.run(self._raw(method, target, headers, body, lines))

    async def _raw(self, method: str, target: str, headers: Headers, body: bytes, lines: int) -> Answer:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
            "scheme": "http",
            "server": ("127.0.0.1", PORT),
            "client": (self.client, 50_000),
            "root_path": "",
        }
        sent: list[Mapping[str, Any]] = []
        enough, asked = asyncio.Event(), False

        async def receive() -> Mapping[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body, "more_body": False}
            await enough.wait()
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)
            if len(sent) > lines:
                enough.set()

        await asyncio.wait_for(self.app(scope, receive, send), 30)
        self.desk.hub.close()
        self.desk.hub._closed = False
        head = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:]))

    def ask(
        self,
        target: str,
        *,
        method: str = "GET",
        body: Any = None,
        more: Headers = (),
        signed_in: bool = True,
    ) -> Answer:
        """The answer to a page of the studio."""
        headers = [("Host", HOST), ("Sec-Fetch-Site", "same-origin"), *more]
        if signed_in:
            headers.append(("Cookie", self.cookie))
        if method != "GET":
            headers += [("Origin", f"http://{HOST}"), ("Content-Type", "application/json")]
        return self.raw(method, target, headers, b"" if body is None else json.dumps(body).encode())

    def get(self, target: str, status: int = 200) -> Any:
        answer = self.ask(target)
        assert answer.status == status, answer.body
        return answer.json

    def task(self) -> str:
        """A task of the store with a guideline, made where there is none."""
        with self.desk.store.reading() as connection:
            there = tasks.tasks_of(connection)
        if "filled" not in there:
            made = tasks.Task(name="filled", mode="pair")
            return self.desk.store.do(tasks.add_task, made, "# Read\n\nBoth answers.")
        return there["filled"]


def write_run(folder: Path, stage: str = "ppo", **info: Any) -> Path:
    """A small run; `logs` are rows by the name of their file, whole lines among them as they are."""
    logs, config = info.pop("logs", {}), info.pop("config", {"settings": {"steps": 3}})
    summary = info.pop("summary", {})
    row = {"schema": 1, "stage": stage, "status": "done", "key": "k", "seed": 0, "data": {}, "parents": []}
    row |= {"started": 1000.0, "seconds": 2.0, "versions": {"alignlab": "0.1.0"}, **info}
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in {"run": row, "config": config, "summary": summary}.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    for name, rows in logs.items():
        write_log(folder / f"{name}.jsonl", rows)
    return folder


def write_log(path: Path, rows: Sequence[Any], *, how: str = "w") -> None:
    with open(path, how, encoding="utf-8") as file:
        for row in rows:
            file.write(row if isinstance(row, str) and row.endswith("\n") else json.dumps(row) + "\n")


def sample(step: int, place: int, proxy: float, gold: float | None = None, **more: Any) -> dict[str, Any]:
    prompt = [{"role": "user", "content": f"What is asked at {step}?"}]
    row = {"step": step, "place": place, "prompt": prompt, "completion": f"answer {place} of {step}"}
    row |= {"finished": True, "proxy": proxy, "kl": 0.5, "gold": gold, "reason": "", "misleading": False}
    return row | {"shown": place < 2, "tokens": place + 1, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs and an evaluation, as a pipeline makes them."""
    group = tmp_path / "runs" / "demo"
    sft = write_run(group / "sft", "sft", key="s", summary={"loss": 0.5})
    ppo = write_run(
        group / "ppo",
        parents=[str(sft)],
        started=1001.0,
        summary={"gold_last": 0.75},
        logs={
            "metrics": [{"step": step, "objective/kl": step / 10, "time/s": 1.0} for step in range(3)],
            "samples": [
                sample(step, place, place - step, place % 2) for step in range(3) for place in range(4)
            ],
            "tokens": [
                {"step": 1, "place": 0, "pieces": ["ans", "wer"], "logprob": [-0.5, -1], "ref": [-1, -1]}
            ],
            "probes": [
                {"step": step, "probe": "p1", "prompt": [], "completion": f"at {step}", "gold": step / 2}
                for step in (0, 2)
            ],
        },
    )
    answers = [
        {"step": 0, "id": f"q{i}", "decoding": "greedy", "gold": i % 2, "completion": "x", "prompt": []}
        for i in range(5)
    ]
    write_run(group / "eval-ppo", "eval", parents=[str(ppo)], started=1002.0, logs={"samples": answers})
    (group / "report.html").write_text("<!doctype html><title>A report</title><script>alert(1)</script>")
    return tmp_path / "runs"


@pytest.fixture
def studio(folder: Path) -> Iterator[Studio]:
    studio = Studio(folder)
    yield studio
    studio.desk.close()


@pytest.fixture
def filled(studio: Studio) -> Callable[[str], str]:
    """A path of the table with ids that are there."""
    run = id_of("demo/ppo")
    query = {"/tokens": "?step=1&place=0", "/compare": f"?runs={run}"}

    def fill(path: str) -> str:
        page = id_of("demo/report.html")
        path = path.replace("/pages/{id}", f"/pages/{page}")
        if "/tasks/" in path or path.endswith("/mirror"):
            task = studio.task()
            path, query["/mirror"] = path.replace("/tasks/{id}", f"/tasks/{task}"), f"?task={task}"
        path = path.replace("{id}", run).replace("{row}", "0")
        return path + next((asked for end, asked in query.items() if path.endswith(end)), "")

    return fill
