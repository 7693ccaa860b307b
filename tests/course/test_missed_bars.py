"""A bar that was missed is a claim that says in how many seeds it held."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignlab.course import claims
from alignlab.course.records import Record

RECORD = Record("study", {"seeds": [20, 21, 22], "figures": {"20": {"a": 1}, "21": {"a": 5}, "22": {"a": 2}}})
HIGH = """[high]
text = "It is {a:.0f}."
record = "study"
values = { a = "figures.*.a" }
holds = "a > 4"
"""


@pytest.mark.parametrize(("said", "stands"), [("", False), ("seeds = 0", False), ("seeds = 1", True)])
def test_a_claim_holds_in_as_many_seeds_as_it_says(tmp_path: Path, said: str, stands: bool) -> None:
    (tmp_path / "one.toml").write_text(HIGH + said, encoding="utf-8")
    found, wrong = claims.load(tmp_path, {"study": RECORD})
    assert not wrong
    assert found["high"].stands is stands
    assert found["high"].verdict == "held in 1 of 3 seeds"


def test_a_number_of_seeds_is_a_whole_number(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(HIGH + 'seeds = "two"', encoding="utf-8")
    _, wrong = claims.load(tmp_path, {"study": RECORD})
    assert "seeds" in wrong[0].what
