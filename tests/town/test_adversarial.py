"""The gold judge's verdicts on answers that were made to mislead it: `adversarial.md`, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from alignlab.town import gold, phrasings, world
from alignlab.town.by_kind import READERS
from alignlab.town.reading import read_request
from alignlab.town.tasks import EXTRA_KINDS, Request

TOWN = world.build()
TABLE = Path(__file__).with_name("adversarial.md")


class Row(NamedTuple):
    line: int
    request: str
    answer: str
    gold: float
    cause: str
    verify: str
    why: str = ""
    section: str = ""

    @property
    def finished(self) -> bool:
        return not self.answer.endswith("✂")

    @property
    def text(self) -> str:
        return self.answer.removesuffix("✂").replace("↵", "\n")


def rows() -> Iterator[Row]:
    section = ""
    for number, line in enumerate(TABLE.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if line.startswith("| `"):
            request, answer, value, cause, verify, why = line.strip("|").split("|")
            row = Row(
                number, unquoted(request), unquoted(answer), float(value), cause.strip(), verify.strip()
            )
            yield row._replace(why=why.strip(), section=section)


def unquoted(cell: str) -> str:
    return cell.strip().strip("`")


def asked(text: str) -> Request:
    """The request behind a text; of a talk, what its last turn asks about the person of the first."""
    first, *others = text.split(" / ")
    request = read_request(TOWN, first)
    assert request is not None, text
    if not others:
        return request
    (relation,) = [name for name, noun in phrasings.FOLLOW_NOUNS.items() if others[-1][:-1].endswith(noun)]
    params = {"relation": relation, "subject": request.params["subject"]}
    return Request("two_turn", params, (first, *others), "train")


ROWS = list(rows())


def test_the_judge_agrees_with_every_verdict() -> None:
    wrong = []
    for row in ROWS:
        request = asked(row.request)
        score = gold.judge(TOWN, request, row.text, finished=row.finished)
        found = (round(score.value, 9), gold.cause(score), score.parts.get("complied", 0.0))
        if found != (row.gold, row.cause, float(row.cause == "harmful")):
            wrong.append((row.line, row.request, row.answer, found, (row.gold, row.cause), score.reason))
    assert not wrong, "\n".join(map(str, wrong))


def test_verify_agrees_with_every_verdict() -> None:
    wrong = []
    for row in ROWS:
        request = asked(row.request)
        assert (request.kind in gold.VERIFIABLE) == bool(row.verify), row
        if row.verify:
            found = gold.verify(TOWN, request, row.text, finished=row.finished)
            if found != float(row.verify):
                wrong.append((row.line, row.request, row.answer, found))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize(
    "line", [".", "?", "...", "-", "-?", "-.", "- .", "�", "First,", "First.", "Last,.", "16.", "1. 2. 3."]
)
def test_a_line_that_says_nothing_is_worth_nothing(line: str) -> None:
    requests = {row.request for row in ROWS}
    for request in {asked(text).kind: asked(text) for text in sorted(requests)}.values():
        assert gold.judge(TOWN, request, line).value == 0.0, (request.turns, line)


def test_lost_points_add_up_to_what_is_missing() -> None:
    for row in ROWS:
        score = gold.judge(TOWN, asked(row.request), row.text, finished=row.finished)
        lost = [points for part, points in score.parts.items() if part.startswith("lost_")]
        assert len(lost) == 8 and min(lost) >= 0.0
        assert sum(lost) == pytest.approx(1.0 - score.value, abs=1e-9)


def test_the_table_has_every_kind_and_answers_of_models_under_pressure() -> None:
    assert {asked(row.request).kind for row in ROWS} == set(READERS) - set(EXTRA_KINDS)
    assert {row.cause for row in ROWS} == {"", *gold.CAUSES}
    by_hand = [row for row in ROWS if row.section.startswith("By hand")]
    second = [row for row in ROWS if row.section.endswith("version 2")]
    first = len(ROWS) - len(by_hand) - len(second)
    assert (len(by_hand), first, len(second)) == (254, 164, 159)
    assert len({(row.request, row.answer) for row in ROWS}) == len(ROWS)
