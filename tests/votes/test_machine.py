"""Whatever people do, in any order: the store and a plain model of it say the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from alignlab.votes import assignment, people, schema, standing, voting
from alignlab.votes.errors import Refused
from alignlab.votes.store import audit

from .asking import Class, new_id

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # nothing here is about the disk
ITEMS, OVERLAP, LASTS = 4, 2, assignment.LASTS // 1_000_000
whose = st.integers(0, 4)
which = st.integers(0, 5)


class Model(RuleBasedStateMachine):
    """What is known of people (by number), items (by their store's id) and votes, in plain dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.room = Class(Path(self.folder.name), count=ITEMS, overlap=OVERLAP)
        self.now = 0.0  # seconds that have gone by
        self.people: dict[str, int] = {}
        self.joined = 0
        self.leases: dict[str, tuple[str, str]] = {}  # lease: person, item
        self.until: dict[str, tuple[float, float]] = {}  # lease: given, expires
        self.counted: dict[
            tuple[str, str], tuple[str, int, bool]
        ] = {}  # person, item: ballot, strength, late
        self.skipped: set[tuple[str, str]] = set()
        self.sent: dict[str, tuple[str, str, int]] = {}  # ballot: person, lease, strength

    def teardown(self) -> None:
        self.room.store.close()
        self.folder.cleanup()

    def person(self, number: int) -> str:
        return sorted(self.people, key=lambda id: self.people[id])[number % len(self.people)]

    def lease(self, number: int) -> str:
        return sorted(self.leases, key=lambda id: self.until[id])[number % len(self.leases)]

    def holds(self, lease: str) -> bool:
        given, expires = self.until[lease]
        return given <= self.now < expires

    def got(self, item: str) -> int:
        return sum(of == item for _, of in self.counted)

    def free(self, person: str, item: str) -> bool:
        """Whether somebody can be asked an item."""
        whose = person, item
        if whose in self.counted or whose in self.skipped:
            return False
        live = [self.leases[lease] for lease in self.leases if self.holds(lease)]
        others = sum(of == item and by != person for by, of in live)
        return whose not in live and self.got(item) + others < OVERLAP

    # --- what people do

    @rule()
    def join(self) -> None:
        if len(self.people) < 5:
            self.people[self.room.join(f"person {self.joined}")] = self.joined
            self.joined += 1

    @precondition(lambda self: self.people)
    @rule(number=whose, want=st.integers(1, 3), knows=st.booleans())
    def ask(self, number: int, want: int, knows: bool) -> None:
        person = self.person(number)
        lost = [lease for lease in self.leases if self.leases[lease][0] == person and self.holds(lease)]
        held = tuple(lost) if knows else ()
        expected = [item for item in self.room.added.ids if self.free(person, item)]
        asked = self.room.ask(person, want, held)
        new = [each.lease for each in asked.items if each.lease not in lost]
        assert len(asked.items) == min(want, len(expected) + len(lost) - len(held))
        assert set(asked.items) and asked.state == "more" or not asked.items
        if not asked.items and not held:
            waits = sum(
                self.got(item) < OVERLAP and (person, item) not in self.counted.keys() | self.skipped
                for item in self.room.added.ids
            )
            assert asked.state == ("others" if waits else "done") and asked.with_others == waits
        with self.room.store.reading() as connection:
            ahead = standing.ahead_of(connection, self.room.task, person, self.room.clock())
        assert ahead == len(expected) + len(lost)
        assert asked.left == sum(max(0, OVERLAP - self.got(item)) for item in self.room.added.ids)
        assert asked.mine == sum(by == person for by, _ in self.counted)
        for lease in new:
            item = self.item_of(lease)
            assert item in expected
            self.leases[lease] = person, item
        for each in asked.items:
            self.until[each.lease] = self.now, self.now + LASTS

    def item_of(self, lease: str) -> str:
        with self.room.store.reading() as connection:
            found = select(schema.lease.c.item).where(schema.lease.c.id == lease)
            return connection.execute(found).scalar_one()

    @precondition(lambda self: self.leases)
    @rule(number=which)
    def renew(self, number: int) -> None:
        lease = self.lease(number)
        person, item = self.leases[lease]
        can = self.holds(lease) or self.free(person, item)
        renewed = self.room.store.do(assignment.renew, person, [lease])
        assert list(renewed) == [lease] * can
        if can:
            self.until[lease] = self.now, self.now + LASTS

    @precondition(lambda self: self.leases)
    @rule(number=which)
    def release(self, number: int) -> None:
        lease = self.lease(number)
        self.room.store.do(assignment.release, self.leases[lease][0], [lease])
        self.until[lease] = self.now, self.now

    @rule(seconds=st.sampled_from((1.0, 60.0, 119.0, 121.0, -30.0, -4000.0, 4000.0)))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds
        self.room.clock.on(seconds)

    @precondition(lambda self: self.leases)
    @rule(number=which, strength=st.integers(-3, 3))
    def vote(self, number: int, strength: int) -> None:
        """In time, late, or again on the same item."""
        lease = self.lease(number)
        person, item = self.leases[lease]
        late = not self.holds(lease) or self.got(item) >= OVERLAP
        if (person, item) in self.counted:
            late = self.counted[person, item][2]
        id = self.room.vote(person, lease, strength)
        self.sent[id] = person, lease, strength
        self.counted[person, item] = id, strength, late
        self.skipped.discard((person, item))
        self.until[lease] = self.now, self.now

    @precondition(lambda self: self.sent)
    @rule(number=which, other=st.booleans())
    def send_again(self, number: int, other: bool) -> None:
        id = sorted(self.sent)[number % len(self.sent)]
        person, lease, strength = self.sent[id]
        if other:
            with pytest.raises(Refused) as refused:
                self.room.vote(person, lease, (strength + 4) % 7 - 3, id=id)
            assert refused.value.code == "other_payload"
        else:
            self.room.vote(person, lease, strength, id=id)

    @precondition(lambda self: self.sent)
    @rule(number=which)
    def undo(self, number: int) -> None:
        id = sorted(self.sent)[number % len(self.sent)]
        person, lease, _ = self.sent[id]
        item = self.leases[lease][1]
        if self.counted.get((person, item), ("",))[0] != id:
            with pytest.raises(Refused) as refused:
                self.room.store.do(voting.undo, person, new_id(), id)
            assert refused.value.code == "stale"
            return
        again = self.room.store.do(voting.undo, person, new_id(), id)
        assert again.lease == lease
        del self.counted[person, item]
        self.until[lease] = self.now, self.now + LASTS

    @precondition(lambda self: self.leases)
    @rule(number=which)
    def skip(self, number: int) -> None:
        lease = self.lease(number)
        person, item = self.leases[lease]
        if (person, item) in self.counted:
            with pytest.raises(Refused) as refused:
                self.room.store.do(voting.skip, person, new_id(), lease)
            assert refused.value.code == "stale"
            return
        self.room.store.do(voting.skip, person, new_id(), lease)
        self.skipped.add((person, item))
        self.until[lease] = self.now, self.now

    @precondition(lambda self: len(self.people) > 1 and self.leases)
    @rule(number=which, other=whose)
    def somebody_elses(self, number: int, other: int) -> None:
        lease, person = self.lease(number), self.person(other)
        if self.leases[lease][0] != person:
            for operation in (
                lambda: self.room.vote(person, lease),
                lambda: self.room.store.do(voting.skip, person, new_id(), lease),
                lambda: self.room.store.do(assignment.renew, person, [lease]),
                lambda: self.room.store.do(assignment.release, person, [lease]),
            ):
                with pytest.raises(Refused) as refused:
                    operation()
                assert refused.value.code == "not_yours"

    @precondition(lambda self: self.people)
    @rule(number=whose)
    def erase(self, number: int) -> None:
        person = self.person(number)
        self.room.store.do(people.erase, person)
        del self.people[person]
        gone = [lease for lease, (by, _) in self.leases.items() if by == person]
        for lease in gone:
            del self.leases[lease], self.until[lease]
        self.counted = {whose: said for whose, said in self.counted.items() if whose[0] != person}
        self.skipped = {whose for whose in self.skipped if whose[0] != person}
        self.sent = {id: said for id, said in self.sent.items() if said[0] != person}

    @rule()
    def restart(self) -> None:
        self.room.again()

    @rule()
    def rebuild(self) -> None:
        self.room.store.rebuild()

    # --- what is so at every step

    @invariant()
    def votes_are_those_of_the_model(self) -> None:
        with self.room.store.reading() as connection:
            counted = select(schema.vote).where(schema.vote.c.superseded_by.is_(None))
            there = {(row.annotator, row.item): row for row in connection.execute(counted)}
            assert {whose: (row.id, bool(row.late)) for whose, row in there.items()} == {
                whose: (id, late) for whose, (id, _, late) in self.counted.items()
            }
            verdict = audit(connection)
            assert verdict.whole, verdict
            items = connection.execute(select(schema.item.c.id, schema.item.c.got)).all()
        for item, got in items:
            assert got == self.got(item)
            late = sum(late for (_, of), (_, _, late) in self.counted.items() if of == item)
            assert got - late <= OVERLAP


def machine(sequences: int, steps: int) -> None:
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_store_is_what_the_model_says() -> None:
    machine(40, 30)


@pytest.mark.campaign
def test_the_store_is_what_the_model_says_at_length() -> None:
    machine(2000, 50)
