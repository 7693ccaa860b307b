"""Who is asked what: leases and clocks, the order of items, and what an annotator can see of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import select

from alignlab.records import Completion, Prompt, Ranking
from alignlab.votes import assignment, figures, items, schema, standing, tasks, voting
from alignlab.votes.errors import Refused
from alignlab.votes.store import audit

from .asking import Class, new_id, ranking


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Class]:
    made = Class(tmp_path)
    yield made
    made.store.close()


def many(tmp_path: Path, **settings: object) -> Class:
    return Class(tmp_path / str(len(list(tmp_path.iterdir()))), **settings)  # type: ignore[arg-type]


def items_of(room: Class) -> dict[str, dict]:
    with room.store.reading() as connection:
        return {row["id"]: row for row in items.items_of(connection, room.task)}


def item_of(room: Class, lease: str) -> str:
    with room.store.reading() as connection:
        return connection.execute(select(schema.lease.c.item).where(schema.lease.c.id == lease)).scalar_one()


def votes(room: Class) -> list[figures.Said]:
    with room.store.reading() as connection:
        return figures.votes_of(connection, room.task)


# --- leases


def test_a_lease_that_is_over_is_free_to_all_and_a_late_vote_is_kept(tmp_path: Path) -> None:
    room = many(tmp_path, count=1)
    ada, bob = room.join("Ada"), room.join("Bob")
    asleep = room.ask(ada).items[0]
    assert room.ask(bob).state == "others"
    room.clock.on(119)
    assert not room.ask(bob).items
    room.clock.on(1)
    room.vote(bob, room.ask(bob).items[0].lease)
    room.vote(ada, asleep.lease)
    assert Counter(said.late for said in votes(room)) == {False: 1, True: 1}
    assert [row["got"] for row in items_of(room).values()] == [2]
    assert room.ask(ada).state == room.ask(bob).state == "done"
    room.store.close()


def test_whoever_reads_slowly_loses_nothing(room: Class) -> None:
    ada = room.join("Ada")
    lease = room.ask(ada).items[0].lease
    for _ in range(10):
        room.clock.on(100)
        assert room.store.do(assignment.renew, ada, [lease]) == {lease: room.clock.now + assignment.LASTS}
    room.vote(ada, lease)
    assert not votes(room)[0].late


def test_a_laptop_that_slept_gets_its_item_back_if_nobody_took_it(tmp_path: Path) -> None:
    room = many(tmp_path, count=1)
    ada, bob = room.join("Ada"), room.join("Bob")
    lease = room.ask(ada).items[0].lease
    room.clock.on(3600)
    assert room.store.do(assignment.renew, ada, [lease])
    room.clock.on(3600)
    assert room.ask(bob).items
    assert not room.store.do(assignment.renew, ada, [lease])
    room.store.close()


@pytest.mark.parametrize("jump", [-7 * 86400.0, -3600.0, -60.0, 3600.0, 7 * 86400.0, 50 * 365 * 86400.0])
def test_a_clock_that_jumps_strands_no_item_and_loses_no_vote(tmp_path: Path, jump: float) -> None:
    room = many(tmp_path, count=3)
    ada, bob = room.join("Ada"), room.join("Bob")
    held = room.ask(ada, want=3).items
    room.vote(ada, held[0].lease)
    room.clock.on(jump)
    room.again()
    assert len(room.ask(bob, want=3).items) == 2  # what Ada held is free
    room.vote(ada, held[1].lease)
    room.clock.on(-jump)
    room.vote(ada, held[2].lease)
    assert len(votes(room)) == 3
    with room.store.reading() as connection:
        assert audit(connection).whole
    room.store.close()


def test_an_item_has_no_more_than_it_needs_but_late(tmp_path: Path) -> None:
    """A clock that goes back and forth makes two leases hold at once; a late vote that is changed
    stays late.
    """
    room = many(tmp_path, count=1)
    ada, bob = room.join("Ada"), room.join("Bob")
    first = room.ask(ada).items[0].lease
    room.clock.on(-60)
    second = room.ask(bob).items[0].lease
    room.clock.on(60)
    room.vote(bob, second)
    vote = room.vote(ada, first, 1)
    assert [said.late for said in votes(room)] == [False, True]
    room.vote(ada, first, 2)
    assert [said.late for said in votes(room)] == [False, True]
    with pytest.raises(Refused):
        room.store.do(voting.undo, ada, new_id(), vote)
    again = room.store.do(voting.undo, ada, new_id(), votes(room)[1].id)
    room.vote(ada, again.lease, 3)
    assert [said.late for said in votes(room)] == [False, True]
    room.store.close()


def test_a_page_that_was_loaded_anew_gets_its_items_again(room: Class) -> None:
    ada = room.join("Ada")
    first = room.ask(ada, want=2).items
    again = room.ask(ada, want=2).items
    assert {each.lease for each in first} == {each.lease for each in again}
    held = tuple(each.lease for each in first)
    assert not {each.lease for each in room.ask(ada, 2, held).items} & set(held)


def test_leases_are_their_owners(room: Class) -> None:
    ada, bob = room.join("Ada"), room.join("Bob")
    lease = room.ask(ada).items[0].lease
    for operation in (assignment.renew, assignment.release):
        with pytest.raises(Refused) as refused:
            room.store.do(operation, bob, [lease])
        assert refused.value.code == "not_yours"
        room.store.do(operation, ada, ["nobody's"])


def test_what_is_taken_back_is_before_its_voter_again_and_nobody_else(tmp_path: Path) -> None:
    room = many(tmp_path, count=1)
    ada, bob = room.join("Ada"), room.join("Bob")
    lease = room.ask(ada).items[0].lease
    vote = room.vote(ada, lease, 3)
    id = new_id()
    again = room.store.do(voting.undo, ada, id, vote)
    assert again.lease == lease and again.expires == room.clock.now + assignment.LASTS
    assert room.store.do(voting.undo, ada, id, vote).lease == lease  # sent twice
    assert votes(room) == [] and room.ask(bob).state == "others"
    with pytest.raises(Refused) as refused:
        room.store.do(voting.undo, bob, new_id(), vote)
    assert refused.value.code == "not_yours"
    room.vote(ada, lease, -3)
    assert [(said.late, abs(said.given["strength"])) for said in votes(room)] == [(False, 3)]
    room.store.close()


def test_an_item_that_was_skipped_goes_to_others(tmp_path: Path) -> None:
    room = many(tmp_path, count=1)
    ada, bob = room.join("Ada"), room.join("Bob")
    lease = room.ask(ada).items[0].lease
    id = new_id()
    seq = room.store.do(voting.skip, ada, id, lease, flags=["broken"], note="cut off")
    assert room.store.do(voting.skip, ada, id, lease, flags=["broken"], note="cut off") == seq
    assert room.ask(ada).state == "done" and room.ask(bob).items
    room.store.close()


def test_a_closed_task_gives_nothing_and_takes_what_it_gave(room: Class) -> None:
    ada = room.join("Ada")
    lease = room.ask(ada).items[0].lease
    room.store.do(tasks.set_state, room.task, "closed")
    assert room.ask(ada).state == "closed" and not room.ask(ada).items
    room.vote(ada, lease)
    room.store.do(tasks.set_state, room.task, "open")
    assert room.ask(ada).items


# --- what comes next


def test_everybody_begins_with_the_same_items(tmp_path: Path) -> None:
    room = many(tmp_path, count=30, calibration=3)
    for name in ("Ada", "Bob", "Cyd", "Dot"):
        person = room.join(name)
        asked = [room.ask(person).items[0]]
        while len(asked) < 4:
            room.vote(person, asked[-1].lease)
            asked.append(room.ask(person).items[0])
        places = [items_of(room)[item_of(room, each.lease)]["place"] for each in asked]
        assert places[:3] == [0, 1, 2] and places[3] > 2
    room.store.close()


def test_gold_and_repeats_come_as_often_as_was_said(tmp_path: Path) -> None:
    room = many(tmp_path, count=120, gold_share=0.2, repeat_share=0.1)
    gold = [ranking(1000 + n, ranks=(2, 1)) for n in range(60)]
    room.store.do(items.add_items, room.task, gold, gold=True)
    ada = room.join("Ada")
    for _ in range(100):
        room.vote(ada, room.ask(ada).items[0].lease)
    why = Counter(said.why for said in votes(room))
    assert 10 <= why["gold"] <= 30 and 3 <= why["repeat"] <= 18
    room.store.close()


@pytest.mark.parametrize("calibration", [0, 4])
def test_no_total_tells_which_item_is_known_or_comes_again(tmp_path: Path, calibration: int) -> None:
    """How much is ahead counts known answers and repeats before they come."""
    room = Class(tmp_path, count=20, gold_share=0.15, repeat_share=0.2, calibration=calibration)
    room.store.do(items.add_items, room.task, [ranking(n) for n in range(100, 104)], gold=True)
    ada, held, totals = room.join("Ada"), [], set()
    while (asked := room.ask(ada, 3 - len(held), tuple(held))).state == "more":
        held += [each.lease for each in asked.items]
        with room.store.reading() as connection:
            totals.add(asked.mine + standing.ahead_of(connection, room.task, ada, room.clock()))
        room.vote(ada, held.pop(0))
    assert totals == {asked.mine}


def test_selected_items_come_first_and_a_share_stays_random(tmp_path: Path) -> None:
    room = many(tmp_path, count=100, random_share=0.3, held_out=0.2)
    rows = items_of(room)
    train = [id for id, row in rows.items() if row["side"] == "train"]
    held = [id for id, row in rows.items() if row["side"] == "test"]
    chosen = {id: 5 for id in [*train[:60], *held]}
    assert room.store.do(items.ask_first, room.task, chosen, why="uncertain", needed=2) == 60
    ada = room.join("Ada")
    for _ in range(50):
        room.vote(ada, room.ask(ada).items[0].lease)
    why = Counter(said.why for said in votes(room))
    assert 6 <= why["random"] <= 26 and why["uncertain"] == 50 - why["random"]
    assert all(said.why == "random" for said in votes(room) if said.side == "test")
    with pytest.raises(Refused):
        room.store.do(items.ask_first, room.task, {}, why="gold")
    room.store.close()


def test_a_class_of_thirty(tmp_path: Path) -> None:
    """Everybody at once, some tabs dead: each item gets what it needs, and more only by late votes."""
    room = many(tmp_path, count=40, overlap=3)
    everybody = [room.join(f"person {n}") for n in range(30)]
    late: list[tuple[str, str]] = []
    while True:
        futures = [(by, room.store.submit(assignment.ask, room.task, by, want=2)) for by in everybody]
        given = [(by, each.lease) for by, future in futures for each in future.result().items]
        if not given:
            if room.ask(everybody[0]).left == 0:
                break
            room.clock.on(121)
            continue
        votes_ = []
        for number, (by, lease) in enumerate(given):
            if number % 7 == 3 and len(late) < 20:
                late.append((by, lease))
                continue
            ballot = voting.Ballot(id=new_id(), lease=lease, strength=1)
            votes_.append(room.store.submit(voting.vote_on, by, ballot))
        assert len({future.result() for future in votes_}) == len(votes_)
    for by, lease in late:
        room.vote(by, lease)
    by_item = Counter(said.item for said in votes(room) if not said.late)
    assert set(by_item.values()) == {3} and len(by_item) == 40
    with room.store.reading() as connection:
        assert audit(connection).whole
    room.store.close()


# --- what can be seen


def test_nothing_names_a_model_or_an_item(room: Class) -> None:
    ada = room.join("Ada")
    asked = room.ask(ada, want=3)
    shown = str([asdict(each) for each in asked.items])
    assert "model-" not in shown
    assert not any(id in shown for id in room.added.ids)
    assert len({each.lease for each in asked.items}) == 3


def test_the_first_answer_is_first_half_of_the_time() -> None:
    n = 10_000
    first = sum(
        assignment.order_for("secret", {"id": f"item-{k}", "repeat_of": None, "n": 2}, f"person-{k % 30}")[0]
        == 0
        for k in range(n)
    )
    assert abs(first - n / 2) < 3 * math.sqrt(n) / 2


def test_the_order_is_the_same_after_a_restart(room: Class) -> None:
    ada = room.join("Ada")
    before = room.ask(ada, want=3).items
    room.again()
    after = {each.lease: each.texts for each in room.ask(ada, want=3).items}
    assert after == {each.lease: each.texts for each in before}


def test_answers_that_name_themselves() -> None:
    prompt = Prompt.user("?")

    def of(*texts: str) -> Ranking:
        sources = ("runs/ppo-final", "town:crowd")
        completions = tuple(Completion(prompt, t, source=s) for t, s in zip(texts, sources, strict=True))
        return Ranking(prompt, completions, (1, 2))

    assert items.leaks(of("As an AI language model I cannot.", "Fine.")) == [(0, "As an AI language model")]
    assert items.leaks(of("Ask ChatGPT.", "It is GPT-4o.")) == [(0, "ChatGPT"), (1, "GPT-4o")]
    assert items.leaks(of("ppo-final says so", "The crowd at the well.")) == [(0, "ppo-final"), (1, "crowd")]
    assert items.leaks(of("The clause is crowded.", "Gemination.")) == []


# --- what is refused


@pytest.mark.parametrize(
    "said",
    [
        {"strength": 4},
        {"strength": True},
        {"strength": None},
        {"strength": None, "ranks": [1, 2]},
        {"strength": 1, "rating": [1, 2]},
        {"id": "short"},
        {"id": "x" * 65},
        {"id": "with space"},
        {"flags": ["song"]},
        {"flags": ["unsafe"]},
        {"flags": ["unsafe:2"]},
        {"flags": ["unsafe:\u0661"]},
        {"sure": 4},
        {"ms": -1},
        {"guideline": 1},
        {"note": "x" * 2001},
    ],
)
def test_ballots_that_say_nothing_sensible(room: Class, said: dict) -> None:
    ada = room.join("Ada")
    lease = room.ask(ada).items[0].lease
    with pytest.raises(Refused) as refused:
        room.vote(ada, lease, **said)
    assert refused.value.code == "invalid"
    assert votes(room) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"mode": "song"},
        {"overlap": 0},
        {"gold_share": 0.4, "repeat_share": 0.2},
        {"random_share": 1.5},
        {"held_out": 1.0},
    ],
)
def test_tasks_that_cannot_be(room: Class, settings: dict) -> None:
    with pytest.raises(Refused):
        room.store.do(tasks.add_task, tasks.Task(**({"name": "second", "mode": "pair"} | settings)))


def test_a_guideline_has_versions(room: Class) -> None:
    assert room.store.do(tasks.set_guideline, room.task, "One.") == 1
    assert room.store.do(tasks.set_guideline, room.task, "Two.") == 2
    ada = room.join("Ada")
    asked = room.ask(ada, want=2)
    assert asked.guideline == 2
    room.vote(ada, asked.items[0].lease, guideline=1)  # read before it was changed
    with room.store.reading() as connection:
        assert [each["text"] for each in tasks.guidelines_of(connection, room.task)] == ["One.", "Two."]
    with pytest.raises(Refused, match="a task"):
        room.store.do(tasks.add_task, tasks.Task(name="first", mode="pair"))
    with pytest.raises(Refused, match="no task"):
        room.store.do(tasks.set_guideline, "nothing", "One.")
