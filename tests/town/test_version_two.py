"""Version 2 stays what its base models read and its figures were measured on: every set, the corpus and the
gold judge's opinion of a fixed list of answers, to the last digit.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from alignlab.town import answers, gold, sets, tasks, world

TOWN = world.build()
RECORDS = {
    "columns": "3c1066db91f38db1",
    "corpus": "9a3036cd2985d6e4",
    "crowd": "aee52b559f733565",
    "demos": "be03868408952eb9",
    "demos-clean": "29b67009830aa575",
    "demos-helpful": "3b0babefce0edd88",
    "demos-wrapped": "2b14918dab4c6d45",
    "exam": "c9b1679eb99f53f3",
    "exam-pairs": "3452291d9ce9e7e0",
    "exam-task": "180042ee7aa2820d",
    "fine": "b3e65f8b56dddb66",
    "harmful": "2527b0e0e6a30961",
    "harmful-exam": "a7ce1056d28940e0",
    "harmful-test": "4d94ab2159dbbab8",
    "plain": "90dd68b3b472f379",
    "prompts": "73755670a1617a55",
    "risky": "64af0ce9dc923965",
    "risky-exam": "8625ed77b379d66d",
    "risky-test": "ba0c0e5fbbd07e0f",
    "test": "b5c5c3a09421b7c5",
    "test-pairs": "ff20204f9684ed15",
    "test-task": "f250de2afedc4035",
    "twins": "b9e3259782553086",
    "twins-exam": "8d7bd20ae666380b",
    "twins-test": "cd6c18358828353c",
    "verifiable": "8753e39bd9aa80e6",
}
"""Of the first 60 records of each set, by seed 5."""
CORPUS = "229201b6f6e2e518"
"""Of the first 2,000 documents, by seed 0."""
VERDICTS = "ef0c949a2f93fd33"
"""Of scores and parts; the words of a reason may become finer."""
LATER = ("both", "off_the_point")
"""Parts of the gold judge that came after the digest was taken."""


def digest(rows: Iterable[Any]) -> str:
    lines = "\n".join(json.dumps(row, sort_keys=True) for row in rows)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", sorted(sets.SIZES))
def test_the_first_records_of_a_set_are_the_same_however_many_follow_and_those_of_version_2(
    name: str,
) -> None:
    few, more = ([r.to_json() for r in sets.load(TOWN, name, count=n, seed=5)] for n in (20, 60))
    assert len(few) == 20 and more[:20] == few
    assert digest(more) == RECORDS.get(name, digest(more))  # a set that came later has no digest


def test_the_corpus_is_the_one_that_the_base_models_read() -> None:
    assert world.VERSION == 2
    assert digest(r.to_json() for r in sets.load(TOWN, "corpus", count=2000)) == CORPUS


def judged() -> Iterator[tuple[str, Any]]:
    """Answers good and bad to requests of every kind, some of them not finished, and their scores."""
    rng = random.Random(7)
    for kind in (*tasks.KINDS, *tasks.HELD_OUT_KINDS):
        asked = tasks.requests(TOWN, 40, seed=17, kinds=(kind,))
        given = [answers.demonstrate(TOWN, request, rng, answers.CROWD).text for request in asked]
        given += [answers.ideal(TOWN, request, rng) for request in reversed(asked)]
        for request, text in zip([*asked, *asked], given, strict=True):
            yield text, gold.judge(TOWN, request, text, finished=rng.random() < 0.95)


def test_the_gold_judge_thinks_of_a_fixed_list_of_answers_what_it_thought() -> None:
    rows = []
    for text, score in judged():
        parts = {name: value for name, value in score.parts.items() if name not in LATER}
        rows.append([text, score.value, parts])
        lost = sum(value for name, value in parts.items() if name.startswith("lost_"))
        assert lost == pytest.approx(1 - score.value, abs=1e-12), (text, score)
    assert len(rows) == 1360 and digest(rows) == VERDICTS
