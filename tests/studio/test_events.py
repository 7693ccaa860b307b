"""What is told of runs as they grow, and to those who come back."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from alignlab.studio import events, schema
from alignlab.studio.changes import Changes, Told
from alignlab.studio.events import Hub
from alignlab.studio.inside import Inside
from alignlab.studio.problems import Refused
from alignlab.studio.scan import id_of
from alignlab.studio.shelf import Shelf
from alignlab.studio.watched import Watch
from alignlab.votes import assignment, people

from .conftest import HOST, Studio, sample, task_in, write_log, write_run

RUN = f"run:{id_of('ppo')}"


def changes_of(folder: Path) -> Changes:
    inside = Inside(folder)
    return Changes(Shelf(inside), Watch(inside))


def test_a_run_that_grows_is_told_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    run = write_run(tmp_path / "ppo", logs={"metrics": [{"step": 0, "a": 1.0}]})
    changes = changes_of(tmp_path)
    topics = ["map", RUN]
    first = {topic: event for topic, event in changes.now(topics)}
    assert first[RUN].rows.metrics == 1 and first["map"].runs == 1
    changes.watch.of(changes.shelf.look().find(id_of("ppo"))).wait()
    assert changes.new(topics, fresh=0) == [] and changes.new(topics, fresh=0) == []
    write_log(run / "metrics.jsonl", [{"step": 1}, {"step": 2}], how="a")
    write_log(run / "samples.jsonl", [sample(0, 0, 1.0)])
    [(topic, event)] = changes.new(topics, fresh=0)
    assert (topic, event.rows.metrics, event.rows.samples, event.generation) == (RUN, 3, 1, 0)
    os.truncate(run / "metrics.jsonl", 3)
    [(_, event)] = changes.new(topics, fresh=0)
    assert (event.rows.metrics, event.generation) == (0, 1)
    (run / "progress.json").write_text("{}")
    assert changes.new(topics, fresh=0) == [], "of a run that is done nobody asks how far it is"


def test_the_map_is_told_of_runs_that_come_end_and_go(tmp_path: Path) -> None:
    changes = changes_of(tmp_path)
    assert changes.new(["map"], fresh=0) == []
    partial = write_run(tmp_path / "a.partial")
    (partial / ".lock").write_text(str(os.getpid()))
    assert [event.runs for _, event in changes.new(["map"], fresh=0)] == [1]
    (partial / "progress.json").write_text('{"done": 1, "total": 2, "seconds_left": 3}')
    assert len(changes.new(["map"], fresh=0)) == 1
    partial.rename(tmp_path / "a")
    assert len(changes.new(["map"], fresh=0)) == 1
    (tmp_path / "plan.json").write_text('{"stages": [{"name": "b", "state": "waiting"}]}')
    assert len(changes.new(["map"], fresh=0)) == 1
    assert changes.new(["map"], fresh=0) == []


class Said:
    """A source that says what it is given."""

    def __init__(self) -> None:
        self.next: list[Told] = []

    def now(self, topics: Iterable[str]) -> list[Told]:
        return [(topic, schema.MapEvent(runs=0)) for topic in topics]

    def new(self, topics: Iterable[str], *, fresh: float) -> list[Told]:
        said, self.next = self.next, []
        return said


async def lines(stream: AsyncIterator[bytes], count: int) -> list[dict[str, Any]]:
    """The next events of a stream, comments left out."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        text = (await asyncio.wait_for(anext(stream), 10)).decode()
        if text.startswith("event: "):
            fields = dict(line.split(": ", 1) for line in text.strip().split("\n"))
            found.append({**json.loads(fields["data"]), "id": fields["id"]})
            assert found[-1]["event"] == fields["event"]
    return found


def test_who_comes_back_is_told_what_was_missed_or_to_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        source = Said()
        hub = Hub("boot", source, every=0.001)
        stream = await hub.stream(frozenset({"map"}), "")
        source.next = [("map", schema.MapEvent(runs=count)) for count in (1, 2, 3)]
        told = await lines(stream, 3)
        assert [(event["runs"], event["id"]) for event in told] == [
            (1, "boot.1"),
            (2, "boot.2"),
            (3, "boot.3"),
        ]

        async def missed(last: str, topics: frozenset[str] = frozenset({"map"})) -> list[Any]:
            stream = await hub.stream(topics, last)
            await anext(stream)
            hub.close()
            hub._closed = False
            return [event async for event in stream if event.startswith(b"event: ")]

        assert [b'"runs":3' in line for line in await missed("boot.2")] == [True]
        assert await missed("boot.3") == [] and await missed("") == []
        for unknown in ("other.2", "boot.4", "boot.x", "boot.-1", "boot." + "9" * 40, "\n"):
            [line] = await missed(unknown)
            assert b"event: reset" in line, unknown
        hub._ring.popleft()
        hub._ring.popleft()
        assert b"event: reset" in (await missed("boot.1"))[0] and len(await missed("boot.2")) == 1

    asyncio.run(play())


def test_a_listener_who_does_not_take_is_told_to_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_WAITING", 2)

    async def play() -> None:
        source = Said()
        hub = Hub("boot", source, every=0.001)
        stream = await hub.stream(frozenset({"map"}), "")
        await anext(stream)
        source.next = [("map", schema.MapEvent(runs=count)) for count in range(5)]
        while source.next:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.01)
        assert "reset" in [event["event"] for event in await lines(stream, 2)]

    asyncio.run(play())


def test_streams_are_bounded_end_together_and_nobody_looks_when_nobody_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MOST_STREAMS", 1)

    async def play() -> None:
        hub = Hub("boot", Said(), every=0.001)
        stream = await hub.stream(frozenset({"map"}), "")
        with pytest.raises(Refused) as refused:
            await hub.stream(frozenset({"map"}), "")
        assert refused.value.status == 503
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream, None))
        await asyncio.sleep(0.01)
        hub.close()
        assert await waiting is None
        with pytest.raises(Refused):
            await hub.stream(frozenset({"map"}), "")
        other = Hub("boot", Said(), every=0.001)
        stream = await other.stream(frozenset({"map"}), "")
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await asyncio.wait_for(other._looking, 5)  # type: ignore[arg-type]

    asyncio.run(play())


def test_topics_are_the_map_and_runs_that_are_there(studio: Studio) -> None:
    run = id_of("demo/ppo")
    for wrong, status in {"x": 422, "": 422, "run:": 404, "run:../x": 404, "map," * 21 + "x": 422}.items():
        assert studio.ask(f"/api/events?topics={wrong}").status == status, wrong
    headers = [("Host", HOST), ("Cookie", studio.cookie)]
    answer = studio.raw("GET", f"/api/events?topics=run:{run}", headers, lines=2)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert b'"samples":12' in answer.body


def test_a_task_is_told_of_its_votes(studio: Studio) -> None:
    task = task_in(studio)
    changes = studio.desk.hub.source
    topics = [f"task:{task}"]
    [(_, event)] = changes.now(topics)
    assert isinstance(event, schema.TaskEvent) and (event.id, event.votes, event.online) == (task, 6, 0)
    assert changes.new(topics, fresh=0) == []
    person = studio.desk.store.do(people.join, "Eva").id
    studio.desk.store.do(assignment.ask, task, person)
    [(_, event)] = changes.new(topics, fresh=0)
    assert isinstance(event, schema.TaskEvent) and event.online == 1
    assert changes.now(["task:nobody-knows"]) == []
    assert studio.ask(f"/api/events?topics=task:{task}").status == 200
    assert studio.ask("/api/events?topics=task:nobody-knows").status == 404
