"""A bar that was missed is a claim that says in how many seeds it held, and the page counts them rightly."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from alignlab.course import claims
from alignlab.course.records import Record

LECTURE = Path(__file__).parents[2] / "lecture"
DEBATES = "alignment-tax sycophancy specification-gaming whose-values oversight depth".split()
NAMES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
WORDS = {word: number for number, word in enumerate(f"{NAMES} seventeen eighteen nineteen".split(), 1)}
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


def test_the_page_of_the_debates_counts_its_missed_bars() -> None:
    page = (LECTURE / "pages/7-debates.md").read_text(encoding="utf-8")
    counted = []
    for name in DEBATES:
        bars = json.loads((LECTURE / f"record/{name}.json").read_text(encoding="utf-8"))["bars"]
        counted.append((sum(bar["held"] < bar["of"] for bar in bars), len(bars)))
    said = [
        (WORDS[missed.lower()], WORDS[of])
        for missed, of in re.findall(r"\*\*Bars that were missed\.\*\* (\w+) of (\w+)", page)
    ]
    assert said == counted
    assert (sum(m for m, _ in counted), sum(of for _, of in counted)) == (34, 75)
    assert "Of seventy-five bars thirty-four were missed" in page
