"""A class votes at once, over a real socket: everything is stored once, and no item is stranded.

A clock that runs sixty times as fast ends the leases of tabs that died; some people come late, some pages
lose an answer and send the same votes again.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alignlab.serve.announcing import Announcing
from alignlab.studio.app import application
from alignlab.studio.desk import Desk
from alignlab.votes import items, people, schema, tasks
from alignlab.votes.store import Store, audit, studio_folder

from ..votes.asking import ranking

FASTER = 60


@contextmanager
def studio(folder: Path, store: Store) -> Iterator[Desk]:
    """A studio that answers on a socket of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        desk = Desk(folder, port=bound.getsockname()[1])
        desk._store = store
        server = Announcing(application(desk), "")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            yield desk
        finally:
            server.should_exit = True
            thread.join()


class Client:
    """Somebody's page: it has up to three items, sends what is not saved again, and is loaded anew when it
    was left.
    """

    def __init__(self, desk: Desk, task: str, number: int) -> None:
        self.desk, self.task = desk, task
        self.draw = random.Random(number)
        self.cookie = f"cookie-{number}"
        self.saved: list[str] = []
        self.wrong: list[str] = []

    def post(self, path: str, body: Any) -> Any:
        connection = HTTPConnection("127.0.0.1", self.desk.port, timeout=60)
        headers = {"Content-Type": "application/json", "Cookie": f"{self.desk.cookie}={self.cookie}"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        connection.close()
        if answer.status != 200:
            self.wrong.append(f"{path} {answer.status} {found}")
        return found

    def run(self) -> None:
        time.sleep(self.draw.random())  # not all come at once
        while not self.wrong:
            found = self.post(f"/api/tasks/{self.task}/next", {"want": 3})
            if not found["items"] and found["state"] != "others":
                return
            if not found["items"] or self.draw.random() < 0.03:  # the tab dies with its items
                time.sleep(0.5)
                continue
            votes = [
                {"id": f"{item['lease']}-vote", "lease": item["lease"], "strength": self.draw.randint(-3, 3)}
                for item in found["items"]
            ]
            if self.draw.random() < 0.1:
                time.sleep(1.5)  # slower than a lease, some of the time
            taken = self.post("/api/votes", {"votes": votes})
            if self.draw.random() < 0.1:  # the answer was lost
                assert self.post("/api/votes", {"votes": votes}) == taken
            self.saved += [saved["id"] for saved in taken["saved"]]
            self.wrong += [refused["what"] for refused in taken["refused"]]


def class_votes(folder: Path, clients: int, each: int, overlap: int) -> None:
    began = time.time_ns()
    store = Store.open(
        studio_folder(folder), clock=lambda: (began + (time.time_ns() - began) * FASTER) // 1000
    )
    about = tasks.Task(name="class", mode="pair", overlap=overlap, held_out=0.0, random_share=0.0)
    task = store.do(tasks.add_task, about)
    count = clients * each // overlap
    store.do(items.add_items, task, [ranking(n) for n in range(count)])
    for number in range(clients):
        person = store.do(people.join, f"Person {number}")
        store.do(people.open_session, person.id, f"cookie-{number}", expires=2**62)
    with studio(folder, store) as desk:
        voters = [Client(desk, task, number) for number in range(clients)]
        threads = [threading.Thread(target=voter.run) for voter in voters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [voter.wrong for voter in voters if voter.wrong] == []
    acknowledged = Counter(id for voter in voters for id in voter.saved)
    with store.reading() as connection:
        rows = connection.execute(select(schema.vote)).all()
        needed = connection.execute(select(schema.item.c.id, schema.item.c.got)).all()
        assert audit(connection).whole
    store.close()
    assert max(acknowledged.values()) == 1 and sorted(acknowledged) == sorted(row.id for row in rows)
    in_time = Counter(row.item for row in rows if not row.late)
    assert len(needed) == count and min(got for _, got in needed) >= overlap, "an item is stranded"
    assert max(in_time.values()) <= overlap, "more than it needs, and none of them late"


@pytest.mark.campaign
def test_thirty_people_give_a_hundred_votes_each(tmp_path: Path) -> None:
    class_votes(tmp_path, clients=30, each=100, overlap=3)


def test_a_few_people_vote_at_once(tmp_path: Path) -> None:
    class_votes(tmp_path, clients=4, each=6, overlap=2)
