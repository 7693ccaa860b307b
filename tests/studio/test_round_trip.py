"""Votes of a simulated pool, given over HTTP by its people in a class, become the very rankings that
`alignlab collect --annotator pool:...` writes.

Two fields cannot be the same: an annotator is known by a pseudonym that is drawn by chance, so that no name
leaves the store; and nobody but a simulated person can say the utilities that they ranked by. All else is
compared byte for byte. The pool draws who ranks which prompt, so each item is dealt to whoever that is. An
answer of no letters cannot be voted on; rankings with one are left out on both sides.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli
from alignlab.records import Ranking, read_jsonl, write_jsonl
from alignlab.serve.announcing import Announcing
from alignlab.studio.app import class_application
from alignlab.studio.classroom import Classroom
from alignlab.studio.desk import Desk
from alignlab.studio.endpoint import Door
from alignlab.studio.log import Log
from alignlab.text.lines import as_json
from alignlab.votes import items, schema, tasks
from alignlab.votes.exchange import read_rankings
from alignlab.votes.store import studio_folder
from alignlab.votes.writer import Transaction

FILES = ("rankings.jsonl", "rankings_test.jsonl")
Key = tuple[str, frozenset[str]]


def key_of(prompt: list[dict[str, str]], texts: list[str]) -> Key:
    """By which whoever sees an item knows it: what is asked, and the answers in whatever order."""
    return json.dumps([[said["role"], said["content"]] for said in prompt]), frozenset(texts)


def key_in(ranking: Ranking) -> Key:
    prompt = [message.to_json() for message in ranking.prompt.messages]
    return key_of(prompt, [completion.text for completion in ranking.completions])


@contextmanager
def class_of(folder: Path) -> Iterator[Desk]:
    """A desk with a class that answers on a socket of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        host = f"127.0.0.1:{bound.getsockname()[1]}"
        desk = Desk(folder, port=0)
        door = Door(frozenset({host}), "alignlab_class", True)
        room = Classroom(desk.store, door, [f"http://{host}"], desk.limits, Log(studio_folder(folder)))
        desk.classroom = room
        room.hold(open=True)
        server = Announcing(class_application(desk), "")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            yield desk
        finally:
            server.should_exit = True
            thread.join()
            desk.close()


class Pupil:
    """Somebody of the pool, in a class: joins by its code, and ranks as they do in the pool."""

    def __init__(self, room: Classroom, name: str, mind: dict[Key, dict[str, int]]) -> None:
        self.name, self.mind, self.cookie, self.votes = name, mind, "", 0
        self.draw, self.url = random.Random(name), room.urls[0]
        joined = self.ask("POST", "/api/join", {"code": room.lesson.code, "name": name})
        assert joined["name"] == name
        self.id = self.ask("GET", "/api/me")["id"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer; asked again where it was too often."""
        while True:
            connection = HTTPConnection(self.url.removeprefix("http://"), timeout=120)
            headers = {"Content-Type": "application/json", "Origin": self.url, "Cookie": self.cookie}
            connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())
            self.cookie = (answer.getheader("Set-Cookie") or self.cookie).partition(";")[0]
            connection.close()
            if answer.status != 429:
                assert answer.status == 200, said
                return said
            time.sleep(0.3 + self.draw.random() / 5)

    def vote(self, task: str) -> None:
        """On everything that they are asked, each ranking in the order in which they see the answers."""
        while (found := self.ask("POST", f"/api/tasks/{task}/next", {"want": 3}))["items"]:
            ballots = []
            for item in found["items"]:
                ranks = self.mind[key_of(item["prompt"], item["texts"])]
                ballot = {"id": f"{item['lease']}-vote", "lease": item["lease"]}
                ballots.append(ballot | {"ranks": [ranks[text] for text in item["texts"]]})
            taken = self.ask("POST", "/api/votes", {"votes": ballots})
            assert not taken["refused"]
            self.votes += len(taken["saved"])


def deal(transaction: Transaction, whose: dict[str, str]) -> None:
    """Items to people: each is asked of one alone."""
    for id, person in whose.items():
        one = schema.item.update().where(schema.item.c.id == id)
        transaction.execute(one.values(only_for=person))


def written(rankings: list[Ranking], known_as: dict[str, str]) -> bytes:
    """A file of rankings as people's votes are: pseudonyms, and nothing of what went on in their heads."""
    told = [replace(ranking, annotator=known_as[ranking.annotator], meta={}) for ranking in rankings]
    return b"".join(as_json(ranking.to_json()) + b"\n" for ranking in told)


def round_trip(folder: Path, pool: str, votes: int, answers: int) -> tuple[Path, Path]:
    """What is learnt from of the pool's rankings and of its votes, as files; all records were compared."""
    runs, count = folder / "runs", votes + votes // 50
    asked = ["--model", "town-s", "--data", "town:prompts", "--count", str(count), "--annotator", pool]
    asked += ["--per-prompt", str(answers), "--seed", "7", "--out", str(runs / "pool")]
    assert cli.main(["collect", *asked, "--json"]) == 0
    made, _ = read_rankings(runs / "pool")
    there = [one for one in made if all(each.text.strip() for each in one.completions)][:votes]
    people = sorted({ranking.annotator for ranking in there})
    minds = {
        key_in(one): {each.text: rank for each, rank in zip(one.completions, one.ranks, strict=True)}
        for one in there
    }
    assert len(minds) == len(there) == votes
    with class_of(runs) as desk:
        store, room = desk.store, desk.classroom
        assert room
        about = tasks.Task(name="class", mode="ranking", seed=7)  # questions are held out as the run's are
        task = store.do(tasks.add_task, about)
        added = store.do(items.add_items, task, there)
        assert added.left_out == {}
        room.hold(task=task)
        pupils = [Pupil(room, name, minds) for name in people]
        known_as = {pupil.name: pupil.id for pupil in pupils}
        of = zip(added.ids, there, strict=True)
        store.do(deal, {id: known_as[ranking.annotator] for id, ranking in of})
        threads = [threading.Thread(target=pupil.vote, args=(task,)) for pupil in pupils]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(pupil.votes for pupil in pupils) == len(there)
    named = ["--kind", "votes", "--task", "class", "--folder", str(runs), "--out", str(runs / "votes")]
    assert cli.main(["collect", *named, "--json"]) == 0
    for name in FILES:
        expected = [one for one in read_jsonl(runs / "pool" / "data" / name, Ranking) if key_in(one) in minds]
        assert (runs / "votes" / "data" / name).read_bytes() == written(expected, known_as)
        assert expected
        write_jsonl(folder / name, expected)
    return folder / FILES[0], runs / "votes" / "data" / FILES[0]


def test_votes_of_a_pool_become_its_rankings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ranked, voted = round_trip(tmp_path, "pool:town:fair*4,town:careless,town:contrary", 60, 3)
    assert len(read_jsonl(voted, Ranking)) == len(read_jsonl(ranked, Ranking)) > 0


@pytest.mark.campaign
def test_three_thousand_votes_of_thirty_people_train_the_same_reward_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the bit: nothing that differs is learnt from."""
    weights = []
    for data in round_trip(tmp_path, "pool:town:fair*18,town:careless*6,town:contrary*6", 3000, 4):
        out = tmp_path / f"reward-{len(weights)}"
        assert (
            cli.main(["reward", "--model", "town-s", "--data", str(data), "--out", str(out), "--json"]) == 0
        )
        weights.append((out / "checkpoint" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
