"""Blind comparisons: nobody is told who wrote what before the planned votes are there."""

from __future__ import annotations

import math
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alignlab.errors import DataError
from alignlab.records import Completion, Prompt, Ranking
from alignlab.settings import VotesSettings
from alignlab.stages.votes import vote_rankings
from alignlab.studio.scan import id_of
from alignlab.votes import blind
from alignlab.votes.assignment import ask
from alignlab.votes.errors import Refused
from alignlab.votes.exchange import write_votes
from alignlab.votes.figures import Said, votes_of
from alignlab.votes.people import join
from alignlab.votes.store import Store
from alignlab.votes.voting import Ballot, undo, vote_on

from .conftest import Studio, write_run

RUNS = f"{id_of('demo/sft')},{id_of('demo/ppo')}"
NAMES = ("sft", "ppo", *RUNS.split(","))


def answers(name: str, *, same: int = 0) -> list[dict[str, Any]]:
    """Twenty answers of a run, the first few like everybody's."""
    rows = []
    for i in range(20):
        prompt = [{"role": "user", "content": f"Question {i}?"}]
        completion = f"answer {i}" if i < same else f"answer {i}, {'longer ' * len(name)}"
        rows.append({"step": 0, "id": f"q{i}", "decoding": "greedy", "gold": 1, "prompt": prompt})
        rows[-1]["completion"] = completion
    return rows


@pytest.fixture
def measured(folder: Path) -> Path:
    """The runs sft and ppo with an evaluation each, of the same questions."""
    for name, same in (("sft", 3), ("ppo", 5)):
        run = folder / "demo" / name
        rows = answers(name * (1 + (name == "ppo")), same=same)
        write_run(folder / "demo" / f"eval-{name}", "eval", parents=[str(run)], logs={"samples": rows})
    return folder


@pytest.fixture
def studio(measured: Path) -> Any:
    studio = Studio(measured)
    yield studio
    studio.desk.close()


def begin(studio: Studio, **more: Any) -> Any:
    return studio.ask("/api/compare/blind", method="POST", body={"runs": RUNS, "votes": 10, **more})


def vote(store: Store, task: str, person: str, strength: int = 1) -> str:
    """A vote on whatever is next; its id."""
    (leased,) = store.do(ask, task, person).items
    ballot = Ballot(id=f"vote-{leased.lease[:20]}", lease=leased.lease, strength=strength)
    store.do(vote_on, person, ballot)
    return ballot.id


def test_names_come_with_the_last_planned_vote_and_in_no_byte_before(studio: Studio, tmp_path: Path) -> None:
    collect = partial(vote_rankings, out=tmp_path / "out", seed=0, resume=False, settings=VotesSettings())
    made = begin(studio)
    assert made.status == 200
    task = made.json["task"]
    assert made.json["name"] == "Blind A/B 1" and begin(studio).json["name"] == "Blind A/B 2"
    assert (made.json["planned"], made.json["items"]) == (10, 11), "one to spare: somebody skips one"
    assert (made.json["common"], made.json["same"], made.json["leaks"]) == (20, 3, 0)
    store = studio.desk.store
    person = store.do(join, "somebody").id
    for votes in range(10):
        answer = studio.ask(f"/api/tasks/{task}/result")
        assert answer.json == {"name": "Blind A/B 1", "votes": votes, "planned": 10, "figures": None}
        with store.reading() as connection, pytest.raises(DataError, match=f"^{votes} of 10 votes"):
            write_votes(connection, "Blind A/B 1", tmp_path / "votes.jsonl")
        with pytest.raises(DataError, match="names wait"):
            collect(task="Blind A/B 1", folder=str(tmp_path / "runs"))
        bodies = made.body + answer.body + repr(store.do(ask, task, person)).encode()
        assert not [name for name in NAMES if name.encode() in bodies]
        last = vote(store, task, person)
    shown = studio.get(f"/api/tasks/{task}/result")
    assert shown["votes"] == 10
    with store.reading() as connection:
        assert write_votes(connection, "Blind A/B 1", tmp_path / "votes.jsonl")["card"]["votes"] == 10
        firsts = {said.asked.completions[0].source for said in votes_of(connection, task)}
    assert firsts == {"demo/sft", "demo/ppo"}, "no place is a side's"
    sides = shown["figures"]["sides"]
    assert [side["id"] for side in sides] == RUNS.split(",")
    assert [side["name"] for side in sides] == ["sft", "ppo"]
    assert sum(side["won"] for side in sides) == 10 and shown["figures"]["ties"] == 0
    assert shown["figures"]["rate"]["value"] == sides[1]["won"] / 10
    vote(store, task, person, strength=-3)
    assert studio.get(f"/api/tasks/{task}/result") == shown, "votes beyond the plan change nothing"
    store.do(undo, person, "undo-of-the-last", last)
    assert studio.get(f"/api/tasks/{task}/result")["votes"] == 10, "the next one is counted in its place"


def test_what_cannot_be_compared_says_why(studio: Studio, folder: Path) -> None:
    for runs, status in (
        (RUNS[:12], 422),
        (f"{RUNS[:12]},{RUNS[:12]}", 422),
        (f"{RUNS[:12]},{'0' * 12}", 404),
    ):
        assert begin(studio, runs=runs).status == status
    write_run(folder / "demo" / "dpo", "dpo")
    other = Studio(folder)
    answer = begin(other, runs=f"{RUNS[:12]},{id_of('demo/dpo')}")
    assert answer.status == 422 and "alignlab eval --model demo/dpo" in answer.json["error"]["remedy"]
    assert not (folder / "studio").exists(), "and makes nothing"
    few = begin(studio, votes=18)
    assert few.status == 422 and "17 pairs can be asked" in few.json["error"]["what"]
    with studio.desk.store.reading() as connection:
        assert blind.tasks_of(connection) == {}, "nor half a task"
    assert studio.get(f"/api/tasks/{'a' * 24}/result", 404)


def test_any_other_task_has_no_result(studio: Studio) -> None:
    task = studio.desk.store.do(blind.add_task, blind.Task(name="pairs", mode="pair"))
    assert "no blind comparison" in studio.get(f"/api/tasks/{task}/result", 404)["error"]["what"]
    ranking = Ranking(Prompt.user("x"), (Completion(Prompt.user("x"), "a"),) * 2, (1, 1))
    with pytest.raises(Refused, match="differ"):
        studio.desk.store.do(blind.choose, "nobody", task, ranking, strength=1, order=(0, 1))


PLAN = blind.Plan(("a", "b"), votes=10)


def said(place: int, *, seen_first: int, second: bool | None, words: tuple[int, int] = (5, 5)) -> Said:
    """A vote on an item of its own; `second` is preferred, or neither (None). In odd ones it stands first."""
    prompt = Prompt.user(f"{place}?")
    texts = [Completion(prompt, "word " * n, source="ab"[side]) for side, n in enumerate(words)]
    strength = 0 if second is None else 1 if second else -1
    given = {"order": [seen_first, 1 - seen_first], "strength": strength}
    if place % 2:
        texts.reverse()
        given = {"order": [1 - seen_first, seen_first], "strength": -strength}
    ranking = Ranking(prompt, tuple(texts), (1, 1))
    return Said(f"v{place}", place, f"i{place}", "p", given, "random", False, ranking, "train", None)


def test_figures_part_what_is_preferred_from_where_it_stood_and_how_long_it_is() -> None:
    draw = random.Random(0)

    def votes(a: float, b: float, c: float, n: int = 2000) -> list[Said]:
        found = []
        for place in range(n):
            seen_first, words = draw.randrange(2), (draw.choice([4, 8, 16]), draw.choice([4, 8, 16]))
            at = a + b * (1 if seen_first else -1) + c * math.log2(words[1] / words[0])
            second = draw.random() < 1 / (1 + math.exp(-at))
            found.append(said(place, seen_first=seen_first, second=second, words=words))
        return found

    told = blind.figures(votes(0.5, 0.3, 0.8), PLAN)
    for name, logit in (("equal", 0.5), ("first_seen", 0.3), ("longer", 0.8)):
        low, high = told[name]["ci"]
        assert low < 1 / (1 + math.exp(-logit)) < high and high - low < 0.1
    assert sum(told["won"]) == told["rate"]["n"] == 2000


def test_figures_of_a_clean_sweep_are_finite_and_ties_are_half() -> None:
    told = blind.figures([said(k, seen_first=k % 2, second=True) for k in range(60)], PLAN)
    assert told["won"] == [0, 60] and told["rate"]["mean"] == 1.0
    assert 0.9 < told["equal"]["mean"] < 1 and told["first_seen"]["mean"] == pytest.approx(0.5)
    told = blind.figures([said(k, seen_first=k % 2, second=None) for k in range(10)], PLAN)
    assert told["ties"] == 10 and told["rate"]["mean"] == 0.5 and told["equal"]["mean"] == pytest.approx(0.5)
