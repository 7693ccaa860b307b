"""What is asked next, and what is decided."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignlab.records import Completion, Prompt, Ranking
from alignlab.votes import figures, items, people, rankings, selection, store
from alignlab.votes.decisions import decide, decided
from alignlab.votes.errors import Refused
from alignlab.votes.selection import doubt

from .asking import Class, ranking


def rows(room: Class) -> list[dict[str, Any]]:
    with room.store.reading() as connection:
        return items.items_of(connection, room.task)


def number(row: dict[str, Any]) -> int:
    return int(items.ranking_of(row["content"]).prompt.text.split()[1].rstrip("?"))


def everybody(room: Class, **says: Callable[[int], int]) -> None:
    """Each votes on all that they are asked: a strength of "answer a" over "answer b", by the question."""
    for name, strength in says.items():
        person = room.join(name)
        while asked := room.ask(person).items:
            of = int(asked[0].prompt[-1].content.split()[1].rstrip("?"))
            turned = asked[0].texts[0].startswith("answer b")
            room.vote(person, asked[0].lease, -strength(of) if turned else strength(of))


def test_doubt_is_four_p_one_less_p() -> None:
    assert doubt([1.0, 1.0]) == 1 and doubt([0.0, 50.0]) < 1e-9
    p = 1 / (1 + math.exp(-0.7))
    assert doubt([0.7, 0.0]) == pytest.approx(4 * p * (1 - p))
    assert doubt([2000.0, -2000.0, 0.0]) == 0


def test_the_most_doubtful_come_first_and_a_share_stays_by_chance(tmp_path: Path) -> None:
    room = Class(tmp_path, count=40, held_out=0.3, random_share=0.5)

    def scores(of: Ranking) -> list[float]:
        return [float(of.prompt.text.split()[1].rstrip("?")) / 10, 0.0]

    found = room.store.do(selection.select, room.task, "uncertain", count=30, scores=scores)
    chosen = sorted(
        (row for row in rows(room) if row["why"] == "uncertain"), key=lambda row: -row["priority"]
    )
    train = sorted(number(row) for row in rows(room) if row["side"] == "train")
    assert found.changed == len(chosen) == 20, "half of forty"
    assert [number(row) for row in chosen] == train[:20]
    assert found.left_out["kept to be asked by chance"] == len(train) - 20
    assert found.left_out["held out"] == 40 - len(train)
    again = room.store.do(selection.select, room.task, "uncertain", count=30, scores=scores)
    assert again.changed == 20, "those that are selected may be selected again, and no others"
    ada = room.join("Ada")
    for _ in range(20):
        room.vote(ada, room.ask(ada).items[0].lease)
    with room.store.reading() as connection:
        why = Counter(said.why for said in figures.votes_of(connection, room.task))
    assert 3 <= why["random"] <= 16 and why["uncertain"] == 20 - why["random"]
    room.store.close()


def test_of_near_duplicates_one_is_selected_and_none_without_a_score(tmp_path: Path) -> None:
    room = Class(tmp_path, count=0)

    def pair(text: str, n: int) -> Ranking:
        prompt = Prompt.user(text)
        return Ranking(prompt, (Completion(prompt, f"yes {n}"), Completion(prompt, f"no {n}")), (1, 1))

    long = "Please tell me in your own words what the keeper of the old mill thinks of the new bridge"
    added = [pair(f"{long}{mark}", 0) for mark in ("", "!", "?")]
    added += [
        pair("What is the capital of the land of the lakes?", 1),
        pair("Who baked this bread today?", 2),
    ]
    room.store.do(items.add_items, room.task, added)

    def scores(of: Ranking) -> list[float] | None:
        return None if "bread" in of.prompt.text else [0.0, 0.0]

    found = room.store.do(selection.select, room.task, "uncertain", count=10, scores=scores)
    assert found.changed == 2
    assert found.left_out == {"no score is known": 1, "nearly the same as another": 2}
    room.store.close()


def test_two_that_differ_get_a_third_and_a_fourth(tmp_path: Path) -> None:
    room = Class(tmp_path, count=6, overlap=2)
    everybody(room, Ada=lambda of: 1, Bob=lambda of: -1 if of < 2 else 1)
    assert room.store.do(selection.select, room.task, "disputed", count=10).changed == 2
    wanted = {number(row): (row["needed"], row["why"]) for row in rows(room)}
    assert wanted[0] == wanted[1] == (4, "disputed") and wanted[2] == (2, "random")
    everybody(room, Cyd=lambda of: 1, Dag=lambda of: 1 if of else -1, Eva=lambda of: 1)
    counts = {number(row): row["got"] for row in rows(room)}
    assert counts == {0: 4, 1: 4, 2: 2, 3: 2, 4: 2, 5: 2}
    found = room.store.do(selection.select, room.task, "disputed", count=10)
    assert found.changed == 0 and found.left_out["4 votes or more already"] == 2, "3:1, or divided"
    room.store.close()


def test_a_need_is_never_lowered_and_what_everybody_is_asked_stays_so(tmp_path: Path) -> None:
    room = Class(tmp_path, count=5, overlap=9, calibration=1)
    all_of_them = {row["id"]: 1 for row in rows(room)}
    assert room.store.do(items.ask_first, room.task, all_of_them, why="disputed", needed=4) == 4
    assert sorted(row["needed"] for row in rows(room)) == [9, 9, 9, 9, people.MOST_PEOPLE]
    room.store.close()


def test_power_draws_by_chance_whatever_was_said(tmp_path: Path) -> None:
    room = Class(tmp_path, count=50, overlap=1)
    everybody(room, Ada=lambda of: 1 if of % 2 else -1)
    found = room.store.do(selection.select, room.task, "power", count=20)
    chosen = [row for row in rows(room) if row["why"] == "power"]
    assert found.changed == 20 == len(chosen) and {row["needed"] for row in chosen} == {2}
    order = [number(row) for row in chosen]
    assert 4 <= sum(of % 2 for of in order) <= 16
    everybody(room, Bob=lambda of: 1)
    with room.store.reading() as connection:
        votes = figures.votes_of(connection, room.task)
    assert figures.agreement(votes)["raw"]["n"] == 20, "they are among what was asked by chance"
    room.store.close()


def test_power_asks_new_items_where_enough_have_two_votes(tmp_path: Path) -> None:
    room = Class(tmp_path, count=32, overlap=2)
    everybody(room, Ada=lambda _: 1, Bob=lambda _: 1)
    room.store.do(items.add_items, room.task, [ranking(n) for n in range(100, 110)])
    assert room.store.do(selection.select, room.task, "power", count=5).changed == 5
    assert all(number(row) >= 100 for row in rows(room) if row["why"] == "power")
    room.store.close()


# --- decisions


def test_a_decision_stands_for_a_majority_and_ends_the_asking(tmp_path: Path) -> None:
    room = Class(tmp_path, count=2, overlap=3)
    everybody(room, Ada=lambda _: 1, Bob=lambda of: -1 if of else 1)
    item = next(row["id"] for row in rows(room) if number(row) == 1)
    boss = room.join("Boss")
    room.store.do(decide, room.task, boss, item, [1, 2], "first")
    seq = room.store.do(decide, room.task, boss, item, [5, 3], "second thoughts")
    row = next(row for row in rows(room) if row["id"] == item)
    assert row["needed"] == row["got"] == 2
    with room.store.reading() as connection:
        votes, said = figures.votes_of(connection, room.task), decided(connection, room.task)
        assert store.audit(connection).whole and seq > 0
    assert said[item].ranks == (2, 1) and said[item].note == "second thoughts"
    merged = {one.prompt.text: one.ranks for one in rankings.records_of(votes, "majority", said).train}
    assert merged["Question 1?"] == (2, 1) and merged["Question 0?"] == (2, 1)
    soft = {one.prompt.text: one.ranks for one in rankings.records_of(votes, "soft", said).train}
    assert soft["Question 1?"] == (1, 1), "what people said stays what it is"
    found = room.store.do(selection.select, room.task, "disputed", count=5)
    assert found.changed == 0 and found.left_out == {"decided": 1}
    room.store.do(people.erase, boss)
    with room.store.reading() as connection:
        assert decided(connection, room.task) == {} and store.audit(connection).whole
    room.store.close()


def test_what_is_no_decision(tmp_path: Path) -> None:
    room = Class(tmp_path, count=1)
    room.store.do(items.add_items, room.task, [ranking(9, ranks=(2, 1))], gold=True)
    own, gold = (row["id"] for row in rows(room))
    boss = room.join("Boss")
    wrong = [(own, [1]), (own, [0, 1]), (own, [1, 10]), (gold, [1, 2]), ("nothing", [1, 2])]
    for item, ranks in wrong:
        with pytest.raises(Refused):
            room.store.do(decide, room.task, boss, item, ranks)
    with pytest.raises(Refused):
        room.store.do(decide, room.task, boss, own, [1, 2], "x" * 3000)
    room.store.close()
