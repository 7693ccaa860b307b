"""Labels of answers: in the chain, changed by a later one, gone with whoever gave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignlab.votes import people
from alignlab.votes.errors import Refused
from alignlab.votes.labels import label, labels_of
from alignlab.votes.store import audit

from .asking import Class

ONE, OTHER = "0123456789abcdef", "fedcba9876543210"


def test_a_label_is_in_the_chain_can_be_changed_and_goes_with_its_person(tmp_path: Path) -> None:
    room = Class(tmp_path, count=1)
    ada, bo = room.join("Ada"), room.join("Bo")
    first = room.store.do(label, ada, ONE, "comply", "the steps are right")
    assert room.store.do(label, ada, ONE, "comply", "the steps are right") == first, "sent twice is one"
    assert room.store.do(label, ada, ONE, "partial") > first
    room.store.do(label, bo, OTHER, "void", "\ud800 and \x00")
    room.store.do(label, bo, ONE, "refuse")
    with room.store.reading() as connection:
        said = labels_of(connection)
        assert {of: one.label for of, one in said.items()} == {ONE: "refuse", OTHER: "void"}
        assert audit(connection).whole
    room.store.do(label, bo, ONE, None)
    with room.store.reading() as connection:
        assert labels_of(connection)[ONE].label == "partial", "Bo took it back: Ada's stands"
        assert [row["said"]["given"]["label"] for row in people.kept_of(connection, bo)["events"][1:]] == [
            "void",
            "refuse",
            None,
        ]
    room.store.do(people.erase, ada)
    room.store.rebuild()
    with room.store.reading() as connection:
        assert set(labels_of(connection)) == {OTHER}
        assert audit(connection).whole
    room.store.close()


@pytest.mark.parametrize(("value", "note"), [("yes", ""), ("", ""), ("comply", "x" * 2001)])
def test_what_is_no_label_is_refused(tmp_path: Path, value: str, note: str) -> None:
    room = Class(tmp_path, count=1)
    with pytest.raises(Refused):
        room.store.do(label, room.join("Ada"), ONE, value, note)
    room.store.close()
