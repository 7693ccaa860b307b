"""What is added to the town changes nothing that was there: every set and the corpus, record by record."""

import hashlib
import json
from collections.abc import Iterable
from itertools import islice

import pytest

from alignlab.town import corpus, sets, tasks, world

TOWN = world.build()
KINDS = (
    "fact two_hop one_word two_turn sum how_to bullets list two_sentences story advice unanswerable claim "
    "harmful look_alike contested"
).split()
DIGESTS = {
    "corpus": "6095d9cbb7cbede0",
    "plain": "12d57265376ad468",
    "demos": "c0579d392e6adbf7",
    "demos-clean": "3102311a3ead888b",
    "demos-helpful": "9d90f499ac99e335",
    "columns": "4783f063ac4a5df6",
    "prompts": "79c489d816dc1009",
    "fine": "7549871946f4a5cc",
    "risky": "56a0dbe82460531b",
    "verifiable": "f4d5f2dc47dce6c2",
    "crowd": "01586318d6ae813c",
    "demos-wrapped": "95486fa045b1dafc",
    "harmful": "ff182548aeeff92e",
    "twins": "d974990dabc255dd",
    "test": "1f77bf2cbb008bfb",
    "exam": "e27aa0c2940b3ffa",
    "test-task": "cb82c7c660c75692",
    "exam-task": "82c8a080d111bf6d",
    "test-pairs": "366f2e49b619ee23",
    "exam-pairs": "b99299fc1f0f1e30",
    "harmful-test": "9c227ae72b93b85f",
    "harmful-exam": "1c89b023d69ac13f",
    "twins-test": "b66743b425eeeb66",
    "twins-exam": "1fd2fb76d33d6d2a",
    "risky-test": "b1d48983c3a783dc",
    "risky-exam": "a8a4494227aaaec5",
}
"""Of the first 60 records of every set of version 2, by seed 3."""
DOCUMENTS = {False: "cec6ebf1eadeb3bd", True: "455aab7409871a7e"}
"""Of the first 300 documents of the corpus, without the registers that answer or not."""
CROWD = "e9cde48f2e2167d6"


def digest(texts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode())
    return whole.hexdigest()[:16]


def test_version_and_kinds_are_what_the_base_models_were_made_of() -> None:
    assert world.VERSION == 2 and list(tasks.KINDS) == KINDS and list(tasks.HELD_OUT_KINDS) == ["yes_no"]


@pytest.mark.parametrize("name", DIGESTS)
def test_a_set_is_what_it_was(name: str) -> None:
    records = sets.load(TOWN, name, count=60, seed=3)
    assert digest(json.dumps(record.to_json(), sort_keys=True) for record in records) == DIGESTS[name]


@pytest.mark.parametrize("plain", DOCUMENTS)
def test_the_corpus_is_what_it_was(plain: bool) -> None:
    documents = islice(corpus.documents(TOWN, seed=3, plain=plain), 300)
    assert digest(f"{register}\n{text}\n" for register, text in documents) == DOCUMENTS[plain]


def test_other_people_answer_as_they_did() -> None:
    prompts = sets.load(TOWN, "prompts", count=60, seed=3)
    found = sets.crowd_completions(TOWN, prompts, per_prompt=2, seed=3)  # type: ignore[arg-type]
    assert digest(c.text for completions in found.values() for c in completions) == CROWD
