"""Votes as records and files, and files as items and votes."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.data.files import file_rows
from alignlab.data.read import load_records
from alignlab.errors import DataError
from alignlab.records import Ranking, read_jsonl
from alignlab.votes import assignment, exchange, figures, items, people, tasks, voting
from alignlab.votes.errors import Refused
from alignlab.votes.rankings import agreed, ceiling_of, records_of
from alignlab.votes.store import Store, audit

from .asking import new_id, ranking

LETTERS = "abcdefghi"


class Room:
    """A store on which people vote by the letters of the answers, whatever order they see them in."""

    def __init__(self, folder: Path, *, answers: int, count: int = 3, **settings: object) -> None:
        self.runs = folder / "runs"
        self.store = Store.open(self.runs / "studio")
        about = {"name": "first", "overlap": 3, "held_out": 0.0} | settings
        self.task = self.store.do(tasks.add_task, tasks.Task(**about), "Be kind.")  # type: ignore[arg-type]
        self.store.do(items.add_items, self.task, [ranking(n, answers) for n in range(count)])

    def person(self, name: str, groups: tuple[str, ...] = ()) -> str:
        return self.store.do(people.join, name, groups=groups).id

    def ballots(self, person: str) -> Iterator[tuple[str, list[int], int]]:
        """Until nothing is left: a lease, the places of what is seen, and the number of the question."""
        while asked := self.store.do(assignment.ask, self.task, person).items:
            seen = [LETTERS.index(text[7]) for text in asked[0].texts]
            yield asked[0].lease, seen, int(asked[0].texts[0].split()[-1])

    def vote(self, person: str, lease: str, **said: object) -> None:
        ballot = voting.Ballot(id=new_id(), lease=lease, **said)  # type: ignore[arg-type]
        self.store.do(voting.vote_on, person, ballot)

    def pair(self, person: str, *strengths: int, **more: object) -> None:
        """Strengths by the number of the question, below 0 for answer a."""
        for lease, seen, number in self.ballots(person):
            strength = strengths[number] if seen[0] == 0 else -strengths[number]
            self.vote(person, lease, strength=strength, **more)

    def votes(self) -> list[figures.Said]:
        with self.store.reading() as connection:
            return figures.votes_of(connection, self.task)


@pytest.fixture
def pairs(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path, answers=2, mode="pair")
    room.pair(room.person("Ada", ("north",)), -3, 1, 0)
    room.pair(room.person("Bob", ("north", "south")), -1, -2, 0)
    room.pair(room.person("Cyd", ("south",)), 2, 1, 0)
    yield room
    room.store.close()


# --- what each mode becomes


def test_a_pair_is_a_ranking_with_a_margin(pairs: Room) -> None:
    made = records_of(pairs.votes())
    assert [(r.ranks, r.meta.get("margin")) for r in made.rankings[:3]] == [
        ((1, 2), 3),
        ((1, 2), 1),
        ((2, 1), 2),
    ]
    assert [(r.ranks, r.meta) for r in made.rankings[6:]] == [((1, 1), {})] * 3
    assert len({r.annotator for r in made.rankings}) == 3
    assert [c.source for c in made.rankings[0].completions] == ["model-a", "model-b"]


def test_soft_and_majority(pairs: Room) -> None:
    soft = records_of(pairs.votes(), "soft").rankings
    assert [(r.ranks, r.meta["labels"], r.annotator) for r in soft] == [
        ((1, 2), [3 / 5], ""),
        ((2, 1), [2 / 5], ""),
        ((1, 1), [1 / 2], ""),
    ]
    most = records_of(pairs.votes(), "majority").rankings
    assert [(r.ranks, r.meta) for r in most] == [((1, 2), {}), ((2, 1), {}), ((1, 1), {})]


def test_a_ranking_without_what_was_left_unranked(tmp_path: Path) -> None:
    room = Room(tmp_path, answers=4, mode="ranking", count=1)
    ada = room.person("Ada")
    for lease, seen, _ in room.ballots(ada):
        ranks = [{0: 3, 1: None, 2: 1, 3: 3}[place] for place in seen]
        unsafe = f"unsafe:{seen.index(3)}"
        room.vote(ada, lease, ranks=ranks, flags=[unsafe], both_bad=True)
    [made] = records_of(room.votes()).rankings
    assert [c.text[7] for c in made.completions] == ["a", "c", "d"] and made.ranks == (2, 1, 2)
    assert made.meta == {"both_bad": True, "safe": [True, True, False]}
    assert [each.label for each in made.unpaired()] == [False] * 3
    room.store.close()


def test_ratings_keep_their_scores(tmp_path: Path) -> None:
    room = Room(tmp_path, answers=3, mode="rating", count=1)
    ada = room.person("Ada")
    for lease, seen, _ in room.ballots(ada):
        room.vote(ada, lease, rating=[{0: 7, 1: 2, 2: 7}[place] for place in seen])
    [made] = records_of(room.votes()).rankings
    assert made.ranks == (1, 3, 1) and made.meta["scores"] == [7, 2, 7]
    room.store.close()


def test_which_does_more_harm(tmp_path: Path) -> None:
    room = Room(tmp_path, answers=2, mode="harm", count=2)
    room.pair(room.person("Ada"), -2, 0)
    made = records_of(room.votes()).rankings
    assert [(r.ranks, r.meta) for r in made] == [((1, 1), {"safer": [2, 1]}), ((1, 1), {"safer": [1, 1]})]
    with pytest.raises(DataError, match="merged"):
        records_of(room.votes(), "soft")
    room.store.close()


def test_an_edit_is_a_demonstration_and_preferred(tmp_path: Path) -> None:
    room = Room(tmp_path, answers=1, mode="edit", count=2)
    ada = room.person("Ada")
    for lease, _, number in room.ballots(ada):
        room.vote(ada, lease, text="Better." if number == 0 else "answer a to 1")
    made = records_of(room.votes())
    [shown] = made.demonstrations
    assert shown.completion == "Better." and shown.meta == {"kind": "human", "who": ada}
    assert [c.text for c in made.rankings[0].completions] == ["Better.", "answer a to 0"]
    assert made.left_out == {"edits that change nothing": 1}
    room.store.close()


def test_flags_leave_a_vote_out(pairs: Room) -> None:
    dot = pairs.person("Dot")
    pairs.store.do(lambda tx: tx.execute(items.schema.item.update().values(needed=4)))
    pairs.pair(dot, 1, 1, 1, flags=["private"])
    made = records_of(pairs.votes())
    assert made.left_out == {"flagged private": 3} and len(made.rankings) == 9


def test_the_ceiling_of_votes() -> None:
    assert ceiling_of(1.0) == 1 and ceiling_of(0.5) == ceiling_of(0.2) == 0.5
    right = 0.8
    assert ceiling_of(right**2 + (1 - right) ** 2) == pytest.approx(right)


def test_how_often_people_decide_alike(pairs: Room) -> None:
    assert agreed(pairs.votes()) == pytest.approx((1 / 3 + 1 / 3) / 2)


# --- files


def test_records_come_back_byte_for_byte(pairs: Room, tmp_path: Path) -> None:
    def written(room: Room, name: str) -> bytes:
        with room.store.reading() as connection:
            exchange.write_votes(connection, "first", tmp_path / name)
        return (tmp_path / name).read_bytes()

    first = written(pairs, "first.jsonl")
    for mode, answers in (("pair", 2), ("ranking", 2)):
        other = Room(tmp_path / mode, answers=answers, mode=mode, count=0)
        rankings, _ = exchange.read_rankings(tmp_path / "first.jsonl")
        taken = other.store.do(exchange.take_in, "first", rankings, votes=True)
        assert (taken.votes, len(taken.added.ids)) == (9, 3)
        again = other.store.do(exchange.take_in, "first", rankings, votes=True)
        assert again.votes == 0 and not again.added.ids
        if mode == "pair":
            assert written(other, "second.jsonl") == first
        with other.store.reading() as connection:
            assert audit(connection).whole
        other.store.close()


@pytest.mark.parametrize("format", ["trl", "hh", "ranking", "records", "label-studio", "argilla", "unpaired"])
def test_every_layout_has_a_card(pairs: Room, tmp_path: Path, format: str) -> None:
    out = tmp_path / "votes.jsonl"
    with pairs.store.reading() as connection:
        card = exchange.write_votes(connection, "first", out, format=format)["card"]
        head = audit(connection).head
    beside = json.loads((tmp_path / "votes.jsonl.card.json").read_text())
    assert beside == json.loads(json.dumps(card))
    assert beside["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert beside["head"] == str(head) and beside["votes"] == 9
    assert [each["version"] for each in beside["guidelines"]] == [1]
    assert load_records(out, "unpaired" if format == "unpaired" else "ranking").records


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".parquet"])
def test_a_table_of_votes(pairs: Room, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"votes{ending}"
    with pairs.store.reading() as connection:
        exchange.write_votes(connection, "first", out, format="votes")
    rows = [row for _, row in file_rows(out)]
    assert len(rows) == 9 and rows[0]["ranks"] == "1 2" and str(rows[0]["strength"]) == "-3"


@pytest.mark.parametrize("format", ["label-studio", "argilla"])
def test_votes_of_other_tools_are_votes_here(pairs: Room, tmp_path: Path, format: str) -> None:
    out = tmp_path / "theirs.json"
    with pairs.store.reading() as connection:
        exchange.write_votes(connection, "first", out, format=format)
    with Store.open(tmp_path / "other") as store:
        rankings, _ = exchange.read_rankings(out)
        store.do(exchange.take_in, "theirs", rankings, mode="pair", votes=True)
        with store.reading() as connection:
            theirs = figures.votes_of(connection, tasks.task_named(connection, "theirs"))
    ours = [said for said in pairs.votes() if format == "argilla" or said.given["strength"]]
    assert [(s.annotator, s.ranks, s.asked.prompt.text) for s in theirs] == [
        (s.annotator, s.ranks, s.asked.prompt.text) for s in ours
    ]


BAD = {
    "empty.jsonl": b"",
    "cut.jsonl": b'{"prompt": "a", "completions": ["x", "y"], "ran',
    "foreign.jsonl": b'{"song": "x", "year": 1999}\n',
    "binary.jsonl": bytes(range(256)),
    "odd.json": b'[{"data": 1, "annotations": 2}]',
    "odd2.json": b'[{"fields": {"prompt": "p", "a": 1}, "responses": {"r": [{"value": [{"rank": {}}]}]}}]',
    "cut.jsonl.gz": gzip.compress(b'{"prompt": "a", "completions": ["x", "y"], "ranks": [1, 2]}\n' * 9)[:-9],
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_none(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(DataError) as error:
        exchange.read_rankings(tmp_path / name)
    assert error.value.where and error.value.remedy


def test_a_file_that_is_huge(tmp_path: Path) -> None:
    with open(tmp_path / "huge.jsonl", "wb") as file:
        file.truncate(exchange.MOST_BYTES + 1)
    with pytest.raises(DataError, match="64 are read"):
        exchange.read_rankings(tmp_path / "huge.jsonl")


def test_what_cannot_be_taken_in(pairs: Room) -> None:
    with pytest.raises(Refused, match="no mode"):
        pairs.store.do(exchange.take_in, "new", [], mode="song")
    with pytest.raises(Refused, match="not both"):
        pairs.store.do(exchange.take_in, "new", [], votes=True, gold=True)
    with pytest.raises(Refused, match="no vote of mode rating"):
        pairs.store.do(exchange.take_in, "new", [ranking(1)], mode="rating", votes=True)
    with pairs.store.reading() as connection:  # and nothing of it was kept
        assert list(tasks.tasks_of(connection)) == ["first"]


def test_items_that_a_mode_cannot_ask(tmp_path: Path) -> None:
    room = Room(tmp_path, answers=2, mode="pair", count=0)
    same = Ranking(ranking(1).prompt, ranking(1).completions[:1] * 2, (1, 2))
    added = room.store.do(items.add_items, room.task, [same, ranking(2, 4), ranking(2, 4)])
    assert added.left_out == {"too few answers that differ": 1, "there already": 1}
    with room.store.reading() as connection:
        [row] = items.items_of(connection, room.task)
    assert row["n"] == 2
    room.store.close()


# --- the command line


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


def test_the_commands(pairs: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, out = str(pairs.runs), str(tmp_path / "out.jsonl")
    assert run("studio", "audit", "--folder", runs, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["whole"] and said["votes"] == 9
    assert run("studio", "audit", "--folder", runs, "--head", said["head"][:-1] + "x") == 5
    assert run("studio", "backup", str(tmp_path / "copy.db"), "--folder", runs) == 0
    assert run("studio", "backup", str(tmp_path / "copy.db"), "--folder", runs) == 2  # it is there
    assert run("studio", "export", "--folder", runs, "--task", "first", "--out", out) == 0
    assert run("studio", "export", "--folder", runs, "--task", "first", "--out", out) == 2
    assert run("studio", "export", "--folder", runs, "--task", "first", "--out", out, "--overwrite") == 0
    assert run("studio", "export", "--folder", runs, "--task", "none", "--out", out) == 4
    assert run("studio", "export", "--folder", runs, "--task", "first", "--out", out, "--merge", "x") == 2
    assert run("studio", "import", out, "--folder", runs, "--task", "second") == 8  # it is open here
    assert run("studio", "audit", "--folder", runs, "--rebuild") == 8
    new = str(tmp_path / "new")
    assert run("studio", "import", out, "--folder", new, "--task", "second", "--mode", "pair", "--votes") == 0
    assert "3 items, 9 votes" in capsys.readouterr().out
    assert run("studio", "audit", "--folder", new, "--rebuild") == 0
    assert run("studio", "audit", "--folder", str(tmp_path / "nowhere")) == 4
    assert run("studio", "import", out, "--folder", new) == 2
    assert run("studio", "import", "nothing.jsonl", "--folder", new, "--task", "second") == 4
    assert run("studio", "backup", "--folder", new) == 2


def test_a_broken_history_is_exit_code_5(pairs: Room, capsys: pytest.CaptureFixture[str]) -> None:
    pairs.store.do(lambda tx: tx.execute(items.schema.vote.update().values(late=1)))
    assert run("studio", "audit", "--folder", str(pairs.runs)) == 5
    assert "broken at event" in capsys.readouterr().out


# --- a run of `collect`


def test_votes_are_a_run_of_collect(pairs: Room, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ("collect", "--kind", "votes", "--task", "first", "--folder", str(pairs.runs))
    assert run(*arguments, "--out", str(out)) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert json.loads((out / "run.json").read_text())["stage"] == "collect"
    with pairs.store.reading() as connection:
        assert summary["head"] == str(audit(connection).head)
    assert summary["rankings"] == 9 and summary["ties"] == 3 and summary["merge"] == "none"
    assert summary["agreement"]["votes"] == 9 and len(summary["annotators"]) == 3
    rows = read_jsonl(out / "data" / "rankings.jsonl", Ranking)
    assert rows == records_of(pairs.votes()).train
    assert load_records(out, "comparison").records and load_records(out, "unpaired").records
    north = tmp_path / "north"
    assert run(*arguments, "--out", str(north), "--group", "north", "--merge", "soft") == 0
    rows = read_jsonl(north / "data" / "rankings.jsonl", Ranking)
    assert [row.meta["labels"] for row in rows] == [[3 / 4], [1 / 2], [1 / 2]]
    assert run("collect", "--kind", "votes", "--task", "none", "--folder", str(pairs.runs)) == 4


def test_a_run_of_votes_needs_no_torch(pairs: Room, tmp_path: Path) -> None:
    """The studio makes one in its own process."""
    arguments = ["collect", "--kind", "votes", "--task", "first", "--folder", str(pairs.runs)]
    arguments += ["--out", str(tmp_path / "run")]
    heavy = "[name for name in ('torch', 'transformers', 'matplotlib') if name in sys.modules]"
    code = f"import sys; from alignlab import cli; print(cli.main({arguments!r}), {heavy})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.splitlines()[-1] == "0 []", said.stderr


def test_a_split_by_question_and_its_ceiling(tmp_path: Path) -> None:
    room = Room(tmp_path, answers=2, mode="pair", count=40, held_out=0.4, overlap=2)
    room.pair(room.person("Ada"), *[1] * 40)
    room.pair(room.person("Bob"), *[1, 1, 1, -1] * 10)
    out = tmp_path / "run"
    assert (
        run("collect", "--kind", "votes", "--task", "first", "--folder", str(room.runs), "--out", str(out))
        == 0
    )
    train, test = (read_jsonl(out / "data" / f"rankings{side}.jsonl", Ranking) for side in ("", "_test"))
    assert len(train) + len(test) == 80 and 20 < len(test) < 44
    assert not {r.prompt.id for r in train} & {r.prompt.id for r in test}
    summary = json.loads((out / "summary.json").read_text())
    alike = agreed(said for said in room.votes() if said.side == "test")
    assert alike and summary["ceiling_test"] == pytest.approx(ceiling_of(alike))
    room.store.close()


def test_the_simulated_pool_through_the_store(tmp_path: Path) -> None:
    """What its people say through leases and ballots is what `collect` writes of them."""
    out = tmp_path / "collected"
    collect = ("collect", "--model", "town-s", "--count", "40", "--per_prompt", "3", "--seed", "7")
    pool = "pool:town:fair*3,town:careless"
    assert run(*collect, "--held_out", "0.3", "--annotator", pool, "--out", str(out)) == 0
    sides = {side: read_jsonl(out / "data" / f"rankings{side}.jsonl", Ranking) for side in ("", "_test")}
    written = [*sides[""], *sides["_test"]]
    room = Room(tmp_path, answers=3, mode="ranking", count=0, overlap=1, held_out=0.3, seed=7)
    rankings, _ = exchange.read_rankings(out)
    assert [(r.prompt, r.ranks) for r in rankings] == [(r.prompt, r.ranks) for r in written]
    room.store.do(items.add_items, room.task, rankings)
    person = {name: room.person(name) for name in sorted({r.annotator for r in written})}
    assert len(person) == 4
    by_texts = {tuple(sorted(c.text for c in r.completions)): r for r in written}
    for name, id in person.items():
        asked = room.store.do(assignment.ask, room.task, id, want=3)
        while asked.items:
            for each in asked.items:
                theirs = by_texts[tuple(sorted(each.texts))]
                if theirs.annotator != name:
                    room.store.do(voting.skip, id, new_id(), each.lease)
                    continue
                ranks = {c.text: rank for c, rank in zip(theirs.completions, theirs.ranks, strict=True)}
                room.vote(id, each.lease, ranks=[ranks[text] for text in each.texts])
            asked = room.store.do(assignment.ask, room.task, id, want=3)
    back = tmp_path / "voted"
    assert (
        run("collect", "--kind", "votes", "--task", "first", "--folder", str(room.runs), "--out", str(back))
        == 0
    )
    called = {id: name for name, id in person.items()}
    for side, theirs in sides.items():
        ours = read_jsonl(back / "data" / f"rankings{side}.jsonl", Ranking)
        assert [(r.prompt, r.completions, r.ranks, called[r.annotator]) for r in ours] == [
            (r.prompt, r.completions, r.ranks, r.annotator) for r in theirs
        ]
    room.store.close()
