"""Kill -9 while people vote: what was acknowledged is there, once, and the history is whole."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from alignlab.votes import voting
from alignlab.votes.store import Store, audit

from .asking import Class

VOTER = Path(__file__).with_name("voter.py")


def killed(room: Class, people: list[str], after: int, rng: random.Random) -> list[str]:
    """The votes that were acknowledged to a process that was killed a moment after so many of them."""
    command = [sys.executable, str(VOTER), str(room.folder), room.task, *people]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [line.strip() for line, _ in zip(process.stdout, range(after), strict=False)]
    time.sleep(rng.random() * 0.02)
    os.kill(process.pid, signal.SIGKILL)
    said += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    return said


def kill(folder: Path, points: int, seed: int) -> None:
    rng = random.Random(seed)
    room = Class(folder, count=60 * points, overlap=2)
    people = [room.join(f"person {number}") for number in range(8)]
    room.store.close()
    acknowledged: list[str] = []
    for _ in range(points):
        acknowledged += killed(room, people, rng.randrange(40), rng)
        with Store.open(room.folder, clock=room.clock) as store, store.reading() as connection:
            assert audit(connection).whole
            counted = "SELECT id FROM vote WHERE superseded_by IS NULL"
            there = connection.execute(text(counted)).scalars().all()
            events = connection.execute(text("SELECT id FROM event WHERE kind = 'vote'")).scalars().all()
            assert len(events) == len(set(events)) and set(events) == set(there)
            assert set(acknowledged) <= set(there)
            over = "SELECT count(*) FROM item WHERE got > needed"
            assert connection.execute(text(over)).scalar() == 0
    room.store = Store.open(room.folder)
    if acknowledged:  # sent again by a browser that did not hear of it
        person, _, lease = acknowledged[-1].partition("-")
        with room.store.reading() as connection:
            query = text("SELECT given, seq FROM vote WHERE id = :id")
            given, seq = connection.execute(query, {"id": acknowledged[-1]}).one()
        said = json.loads(given)
        seen = said["strength"] if said["order"][0] == 0 else -said["strength"]
        ballot = voting.Ballot(id=acknowledged[-1], lease=lease, strength=seen)
        assert room.store.do(voting.vote_on, person, ballot) == seq
    room.store.close()


def test_a_few_kills(tmp_path: Path) -> None:
    kill(tmp_path, 4, seed=0)


@pytest.mark.campaign
def test_many_kills(tmp_path: Path) -> None:
    kill(tmp_path, 200, seed=1)
