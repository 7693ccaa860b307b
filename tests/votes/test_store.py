"""The store: what is on the disk, who may write, what a history proves, and what is left after an erasure."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text, update

from alignlab.errors import DataError, ResourceError, UserError
from alignlab.votes import chain, database, migrations, people, schema, tasks, voting
from alignlab.votes.errors import NotSaved, Refused
from alignlab.votes.store import Store, audit, backup_of, read_store

from .asking import Class, new_id, ranking

FIXTURES = Path(__file__).parents[1] / "fixtures" / "votes"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Class]:
    made = Class(tmp_path)
    yield made
    made.store.close()


def test_sqlite_is_as_it_must_be(room: Class) -> None:
    with room.store._database.writing() as connection:
        said = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "secure_delete")
        }
    assert said == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "secure_delete": 1,
    }
    assert (room.folder / database.FILE).stat().st_mode & 0o777 == 0o600


def test_where_there_is_no_log_a_journal_stands_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        database, "JOURNAL", "truncate"
    )  # SQLite answers a disk without WAL with another, too
    room = Class(tmp_path)
    assert "no write-ahead log" in capsys.readouterr().err
    ada = room.join("Ada")
    room.vote(ada, room.ask(ada).items[0].lease)
    with room.store._database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 3
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
    room.again()
    with room.store.reading() as connection:
        assert audit(connection).whole
    room.store.close()


def test_a_reader_cannot_write(room: Class) -> None:
    with pytest.raises(DataError, match="readonly|read-only"), room.store.reading() as connection:
        connection.execute(text("DELETE FROM event"))


def test_a_store_has_one_writer(room: Class) -> None:
    with pytest.raises(ResourceError, match="open"):
        Store.open(room.folder)
    imports = "from pathlib import Path; from alignlab.votes.store import Store"
    code = f"{imports}; Store.open(Path({str(room.folder)!r}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ResourceError" in other.stderr and "open" in other.stderr
    with read_store(room.folder) as connection:  # reading goes on beside it
        assert audit(connection).whole


def test_what_was_said_is_there_after_opening_again(room: Class) -> None:
    ada = room.join("Ada")
    id = room.vote(ada, room.ask(ada).items[0].lease, -3)
    room.again()
    with room.store.reading() as connection:
        assert connection.execute(text("SELECT id FROM vote")).scalars().all() == [id]
    room.store.close()
    assert sorted(file.name for file in room.folder.iterdir()) == [".lock", database.FILE]  # no log is left


def test_a_name_is_its_owners(room: Class) -> None:
    ada = room.store.do(people.join, "Ada  Lovelace")
    with pytest.raises(Refused, match="name") as refused:
        room.store.do(people.join, "ada LOVELACE")
    assert refused.value.code == "name_taken"
    again = room.store.do(people.join, "ADA lovelace", return_code=ada.return_code.lower())
    assert (again.id, again.return_code) == (ada.id, "")


def test_a_session_is_somebodys_until_it_is_over(room: Class) -> None:
    ada, end = room.join("Ada"), room.clock.now + 10
    room.store.do(people.open_session, ada, "token", expires=end)
    room.again()
    with room.store.reading() as connection:
        person = people.whose(connection, "token", end - 1)
        assert person and person.id == ada
        assert people.whose(connection, "token", end) is None
        assert people.whose(connection, "another", 0) is None
        assert "token" not in str(connection.execute(text("SELECT * FROM session")).all())
    room.store.do(people.close_session, "token")
    with room.store.reading() as connection:
        assert people.whose(connection, "token", end - 1) is None


# --- the history


def test_a_change_of_anything_is_seen(room: Class) -> None:
    ada = room.join("Ada")
    room.vote(ada, room.ask(ada).items[0].lease)
    room.store.do(tasks.set_guideline, room.task, "Be kind.")
    with room.store.reading() as connection:
        head = audit(connection).head
    room.store.close()
    changes = (
        "UPDATE event SET payload = replace(payload, 'strength', 'strengths') WHERE kind = 'vote'",
        "UPDATE event SET at = at + 1 WHERE seq = 3",
        "UPDATE event SET actor = 'x' WHERE kind = 'vote'",
        "UPDATE event SET payload = NULL, salt = NULL WHERE kind = 'vote'",
        "UPDATE event SET payload = NULL, salt = NULL WHERE kind = 'item'",
        "DELETE FROM event WHERE seq = 4",
        "UPDATE vote SET given = '{}'",
        "UPDATE vote SET late = 1",
        "DELETE FROM vote",
        "UPDATE item SET got = 7 WHERE place = 0",
        "UPDATE item SET content = replace(content, 'answer a', 'answer z') WHERE place = 1",
        "UPDATE guideline SET text = replace(text, 'kind', 'cruel')",
        "DELETE FROM guideline",
        f"DELETE FROM event WHERE seq = {head.seq}",
    )
    for change in changes:
        folder = room.folder.with_name("changed")
        shutil.copytree(room.folder, folder)
        with sqlite3.connect(folder / database.FILE) as connection:
            connection.execute(change)
        connection.close()
        with read_store(folder) as reader:
            assert not audit(reader, known=head).whole, change
        shutil.rmtree(folder)
    room.store = Store.open(room.folder, clock=room.clock)


def test_history_that_was_written_anew_contradicts_a_head(room: Class) -> None:
    with room.store.reading() as connection:
        head = audit(connection).head
        other = chain.Head(head.seq, "f" * 64)
        assert audit(connection, known=chain.Head.parse(str(head))).whole
        assert audit(connection, known=other).what == "another history than the one the head is of"
        assert not audit(connection, known=chain.Head(head.seq + 1, head.hash)).whole
    with pytest.raises(UserError, match="no head"):
        chain.Head.parse("12:abc")


def test_votes_are_made_again_from_the_events(room: Class) -> None:
    ada = room.join("Ada")
    for lease in room.ask(ada, want=3).items:
        room.vote(ada, lease.lease)
    room.store.do(lambda tx: tx.execute(schema.vote.delete()))
    room.store.do(lambda tx: tx.execute(update(schema.item).values(got=9)))
    with room.store.reading() as connection:
        assert not audit(connection).whole
    room.store.rebuild()
    with room.store.reading() as connection:
        assert audit(connection).whole
        assert connection.execute(text("SELECT count(*), max(got) FROM vote, item")).one()[1] == 1


def test_an_erased_person_is_in_no_file_and_the_history_holds(room: Class) -> None:
    ada, bob = room.join("Ada Lovelace"), room.join("Bob")
    lease = room.ask(ada).items[0].lease
    ballot = voting.Ballot(id=new_id(), lease=lease, strength=2, note="my secret remark")
    room.store.do(voting.vote_on, ada, ballot)
    room.vote(bob, room.ask(bob).items[0].lease)
    with room.store.reading() as connection:
        kept = people.kept_of(connection, ada)
    assert kept["name"] == "Ada Lovelace" and "my secret remark" in str(kept["events"])
    assert room.store.do(people.erase, ada) == 2
    for file in room.folder.iterdir():
        content = file.read_bytes()
        assert b"Lovelace" not in content and b"secret remark" not in content, file.name
    with room.store.reading() as connection:
        verdict = audit(connection)
        assert verdict.whole and verdict.erased == 2
        assert connection.execute(text("SELECT annotator FROM vote")).scalars().all() == [bob]
    with pytest.raises(Refused, match="called"):
        room.store.do(people.erase, ada)
    room.store.rebuild()
    with room.store.reading() as connection:
        assert audit(connection).whole
    assert room.ask(bob).left == 3  # what Ada voted on is asked again


# --- the disk


def test_a_full_disk_loses_nothing_and_the_store_goes_on_by_itself(room: Class) -> None:
    ada = room.join("Ada")
    asked = room.ask(ada, want=3).items
    ballots = [voting.Ballot(id=new_id(), lease=each.lease, strength=1, note="x" * 1900) for each in asked]
    room.store.do(voting.vote_on, ada, ballots[0])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # no file takes a byte more
    try:
        for _ in range(3):
            with pytest.raises(NotSaved, match="not saved"):
                room.store.do(voting.vote_on, ada, ballots[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    room.store.do(voting.vote_on, ada, ballots[1])  # the same ballot, sent again
    with room.store.reading() as connection:
        assert audit(connection).whole
        votes = connection.execute(text("SELECT id FROM vote ORDER BY seq")).scalars().all()
    assert votes == [ballots[0].id, ballots[1].id]


def test_a_full_database_is_not_saved_either(room: Class) -> None:
    ada = room.join("Ada")
    lease = room.ask(ada).items[0].lease
    connection = room.store._writer._connection
    assert connection is not None and connection.connection.driver_connection is not None
    driver = connection.connection.driver_connection
    pages = driver.execute("PRAGMA page_count").fetchone()[0]
    driver.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(NotSaved, match="full"):
        for number in range(100):
            room.store.do(tasks.set_guideline, room.task, f"{number}" * 1000)
    room.vote(ada, lease)  # through a new connection


def test_one_operation_that_fails_leaves_the_others_of_its_transaction(room: Class) -> None:
    ada = room.join("Ada")
    asked = room.ask(ada, want=3).items
    good = [
        room.store.submit(voting.vote_on, ada, voting.Ballot(id=new_id(), lease=each.lease, strength=0))
        for each in asked[:2]
    ]
    bad = room.store.submit(voting.vote_on, ada, voting.Ballot(id=new_id(), lease="nobody's", strength=0))
    bug = room.store.submit(lambda transaction: transaction.append(new_id(), "vote", {}) and 1 // 0)
    assert good[1].result() == good[0].result() + 1
    with pytest.raises(Refused):
        bad.result()
    with pytest.raises(ZeroDivisionError):
        bug.result()
    with room.store.reading() as connection:
        assert audit(connection).whole


def test_nothing_is_submitted_to_a_store_that_is_closed(room: Class) -> None:
    room.store.close()
    with pytest.raises(NotSaved, match="closed"):
        room.store.submit(people.join, "Ada")
    with Store.open(room.folder):
        room.store.close()  # twice: it is the other's now
        with pytest.raises(ResourceError, match="open"):
            Store.open(room.folder)


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_store(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "studio"
    folder.mkdir()
    (folder / database.FILE).write_bytes(content)
    if content:
        with pytest.raises(DataError, match="cannot be read"):
            Store.open(folder)
        assert (folder / database.FILE).read_bytes() == content
    else:  # killed before it had any tables
        Store.open(folder).close()


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "studio"
    folder.mkdir()
    with sqlite3.connect(folder / database.FILE) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    before = (folder / database.FILE).read_bytes()
    with pytest.raises(DataError, match="other tables"):
        Store.open(folder)
    assert (folder / database.FILE).read_bytes() == before


@pytest.mark.parametrize(
    "url", ["mysql://me:secret@host/x", "secret", "postgresql://me:secret@127.0.0.1:1/x"]
)
def test_a_url_that_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(database.VARIABLE, url)
    with pytest.raises(UserError) as error:
        Store.open(tmp_path / "studio")
    assert "secret" not in str(error.value) and error.value.remedy


# --- schemas


def test_a_newer_store_is_refused_untouched(room: Class) -> None:
    number = update(schema.meta).where(schema.meta.c.key == "schema")
    room.store.do(lambda tx: tx.execute(number.values(value="99")))
    room.store.close()
    before = (room.folder / database.FILE).read_bytes()
    with pytest.raises(DataError, match="newer alignlab: schema 99") as refused:
        Store.open(room.folder)
    assert refused.value.exit_code == 4
    with pytest.raises(DataError, match="newer alignlab"), read_store(room.folder):
        pass
    assert (room.folder / database.FILE).read_bytes() == before


def test_an_older_store_is_copied_and_brought_up(room: Class, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(connection: object) -> None:
        connection.execute(text("ALTER TABLE task ADD COLUMN color TEXT"))  # type: ignore[attr-defined]

    def fails(connection: object) -> None:
        change(connection)
        raise DataError("cannot be changed")

    room.store.close()
    monkeypatch.setattr(migrations, "CHANGES", (fails,))
    with pytest.raises(DataError, match="cannot be changed"):
        Store.open(room.folder)
    monkeypatch.setattr(migrations, "CHANGES", (change,))
    with pytest.raises(DataError, match="of schema 1"), read_store(room.folder):
        pass
    Store.open(room.folder).close()
    with read_store(room.folder) as connection:
        assert migrations.number_of(connection) == 2
        assert audit(connection).whole
        assert connection.execute(text("SELECT color FROM task")).scalars().all() == [None]
    copy = database.Database(room.folder / "votes.schema-1.db")
    with copy.reading() as connection:
        assert migrations.number_of(connection) == 1
    copy.close()


@pytest.mark.parametrize("number", range(1, migrations.newest() + 1))
def test_stores_of_every_schema_open(number: int, tmp_path: Path) -> None:
    """The fixtures are dumps (`sqlite3 votes.db .dump`) of stores that released versions made."""
    (tmp_path / "studio").mkdir()
    connection = sqlite3.connect(tmp_path / "studio" / database.FILE)
    connection.executescript((FIXTURES / f"schema-{number}.sql").read_text(encoding="utf-8"))
    connection.close()
    with Store.open(tmp_path / "studio") as store, store.reading() as reader:
        verdict = audit(reader)
        assert verdict.whole and verdict.events > 5
        assert reader.execute(text("SELECT count(*) FROM vote")).scalar() == 3


# --- copies


def test_a_backup_is_whole_and_opens(room: Class, tmp_path: Path) -> None:
    ada = room.join("Ada")
    room.vote(ada, room.ask(ada).items[0].lease)
    (tmp_path / "copy").mkdir()
    file = tmp_path / "copy" / database.FILE
    head = backup_of(room.store._database, file).head
    with read_store(tmp_path / "copy") as connection:
        assert audit(connection, known=head).whole
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir() if path.suffix == ".tmp"] == []


def test_a_broken_history_is_not_backed_up(room: Class, tmp_path: Path) -> None:
    room.store.do(lambda tx: tx.execute(update(schema.event).where(schema.event.c.seq == 2).values(at=1)))
    with pytest.raises(DataError, match="broken at event 2"):
        room.store.backup(tmp_path / "backup.db")
    assert not (tmp_path / "backup.db").exists()


def test_texts_that_no_database_likes_come_back(room: Class) -> None:
    from alignlab.votes import items

    odd = ranking(99)
    texts = ("half of a pair: \ud83d", "a NUL \0 and \u202eturned", "'); DROP TABLE vote; --")
    for text_ in texts:
        completion = odd.completions[0].__class__(odd.prompt, text_)
        made = odd.__class__(odd.prompt, (completion, odd.completions[1]), (1, 2))
        added = room.store.do(items.add_items, room.task, [made])
        with room.store.reading() as connection:
            content = next(row for row in items.items_of(connection, room.task) if row["id"] == added.ids[0])
        assert items.ranking_of(content["content"]).completions[0].text == text_
