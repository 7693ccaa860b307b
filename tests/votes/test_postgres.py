"""The same store on PostgreSQL, where `initdb` and psycopg are found."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alignlab.errors import ResourceError, UserError
from alignlab.votes import assignment, figures, items, people, tasks, voting
from alignlab.votes.store import Store, audit

from .asking import Clock, new_id, ranking


def program(name: str) -> str:
    """A program of PostgreSQL, beside `initdb` or where Debian keeps it."""
    found = shutil.which(name)
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found or (str(beside[-1]) if beside else "")


def somebody() -> dict[str, Any]:
    """PostgreSQL does not run as root: who it runs as then, for `subprocess`."""
    return {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'alignlab[postgres]'")
    if not program("initdb") or not program("pg_ctl"):
        pytest.skip("no initdb and pg_ctl on this machine")
    with tempfile.TemporaryDirectory() as folder:
        who = somebody()
        if who:
            shutil.chown(folder, **who)
        data = f"{folder}/data"
        how: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder, **who}
        made = [program("initdb"), "-D", data, "-U", "votes", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run(made, **how)
        control = [program("pg_ctl"), "-D", data, "-l", f"{folder}/log", "-w"]
        subprocess.run([*control, "-o", f"-k {folder} -c listen_addresses=''", "start"], **how)
        try:
            yield f"postgresql://votes@/postgres?host={folder}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **how)


def test_votes_on_postgres(url: str, tmp_path: Path) -> None:
    clock = Clock()
    with Store.open(tmp_path, url=url, clock=clock) as store:
        with pytest.raises(ResourceError, match="open"):
            Store.open(tmp_path / "another", url=url)
        task = store.do(tasks.add_task, tasks.Task(name="first", mode="pair", overlap=2, held_out=0.0))
        store.do(items.add_items, task, [ranking(n) for n in range(6)])
        ada, bob, cyd = (store.do(people.join, name).id for name in ("Ada", "Bob \u00e9", "Cyd"))
        note = "half \ud83d, nul \0"
        for person in (ada, bob):
            while asked := store.do(assignment.ask, task, person, want=3).items:
                for each in asked:
                    ballot = voting.Ballot(id=new_id(), lease=each.lease, strength=1, note=note)
                    seq = store.do(voting.vote_on, person, ballot)
                    assert store.do(voting.vote_on, person, ballot) == seq
        vote = ballot.id
        store.do(voting.undo, bob, new_id(), vote)
        store.do(people.erase, ada)
        store.do(assignment.ask, task, cyd, want=3)
        store.rebuild()
        with pytest.raises(UserError, match="pg_dump"):
            store.backup(tmp_path / "copy")
    with Store.open(tmp_path, url=url, clock=clock) as store, store.reading() as connection:
        assert audit(connection).whole
        assert len(figures.votes_of(connection, task)) == 5
