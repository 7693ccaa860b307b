"""Reads a request back: what somebody asks for, from the words alone. It knows every way of asking in
`phrasings`, held out or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from . import language as say
from . import phrasings, tasks
from .tasks import Request, Split
from .world import (
    ANIMALS,
    CONTESTED,
    COUNTS,
    HARMFUL,
    KIND,
    LISTS,
    LOOKALIKES,
    NEVER_KNOWN,
    PEOPLE,
    PLACE_RELATIONS,
    PLACES,
    PROBLEMS,
    SIDES,
    STORY_WORDS,
    THINGS,
    UNKNOWN,
    Side,
    World,
)

COUNT_OF = {word: count for count, word in COUNTS.items()}
TOPIC_KINDS = {
    t.name: kind
    for kind, topics in (("how_to", KIND), ("harmful", (*HARMFUL, *NEVER_KNOWN)), ("look_alike", LOOKALIKES))
    for t in topics
}
FAMILY = {"how_to": "kind", "harmful": "harmful", "look_alike": "lookalike"}
TWO_HOPS = ("job", "street", "pet", "food", "coat", "door")
Reading = tuple[
    str, dict[str, Any], list[tuple[str, Any]]
]  # kind, params, and what the entity split looks at


def read_request(world: World, text: str) -> Request | None:
    """The request behind a text of one turn; None if the town would not know what is asked.

    Its side is that of what is asked about, and its split says whether the words are new ("phrasing",
    "reworded") or shown in training ("entity", "train"); "task" is a kind that no demonstration shows. A
    claim's value may be one that the town would not think of; then it is no request either.
    """
    for place in range(len(SIDES)):
        for kind, params, entities in readings(text, place):
            side = _side(world, entities)
            split: Split = "train" if side == "train" else "entity"
            if place:
                split = "reworded" if side == "train" else "phrasing"
            if kind in tasks.HELD_OUT_KINDS:
                split = "task"
            if kind in ("claim", "yes_no"):
                params["right"] = world.value(params["relation"], params["subject"]) == params["value"]
            return Request(kind, params, (text,), split, side)
    return None


def _side(world: World, entities: Sequence[tuple[str, Any]]) -> Side:
    """The side of what is asked about: training's if none of it is held out."""
    for family, entity in entities:
        if (side := world.side(family, entity)) != "train":
            return side
    return "train"


def readings(text: str, place: int) -> Iterator[Reading]:
    """What a text can be read as, asked in the ways of training (0), of the test (1) or of the exam (2)."""
    for read in _READERS:
        yield from read(text, place)


def _match(forms: Iterable[str], text: str) -> Iterator[dict[str, str]]:
    """What stands in the gaps of each form that the whole text has."""
    for form in forms:
        if match := _pattern(form).fullmatch(text):
            yield match.groupdict()


@cache
def _pattern(form: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(form)))


def _asked_for(question: str, forms: dict[str, str]) -> Iterator[Reading]:
    """A question (or a noun phrase) for a fact, or for the fact of somebody who is named by another."""
    for relation, form in forms.items():
        for gap in _match((form,), question):
            if (family := subject_of(relation, gap["S"])) is not None:
                yield "fact", {"relation": relation, "subject": gap["S"]}, family
            elif relation in TWO_HOPS:
                for via, family_name, known in (("keeper", "place", PLACES), ("friend", "person", PEOPLE)):
                    for inner in _match((say.NOUN_PHRASES[via],), gap["S"]):
                        if inner["S"] in known:
                            yield (
                                "two_hop",
                                {"relation": relation, "via": via, "subject": inner["S"]},
                                [(family_name, inner["S"])],
                            )


def subject_of(relation: str, subject: str) -> list[tuple[str, Any]] | None:
    """What the split looks at for a subject of the relation; None if it is no such subject."""
    if relation in say.PERSON_RELATIONS:
        return [("person", subject)] if subject in PEOPLE else None
    if relation in PLACE_RELATIONS:
        return [("place", subject)] if subject in PLACES else None
    return [] if subject in (ANIMALS if relation == "sound" else THINGS) else None


def _question(text: str, place: int) -> Iterator[Reading]:
    for form in phrasings.ASK[place]:
        for gap in _match((form,), text):
            if "Q" in gap:
                yield from _asked_for(gap["Q"], say.QUESTIONS)
                yield from _unknown(
                    gap["Q"], {name: question for name, (_, question, _, _) in UNKNOWN.items()}
                )
            else:
                yield from _asked_for(gap["NP"], say.NOUN_PHRASES)
                yield from _unknown(gap["NP"], {name: phrase for name, (phrase, _, _, _) in UNKNOWN.items()})


def _unknown(question: str, forms: dict[str, str]) -> Iterator[Reading]:
    """A question (or a noun phrase) for what nobody knows."""
    for name, form in forms.items():
        for gap in _match((form,), question):
            if gap["P"] in PEOPLE:
                yield "unanswerable", {"unknown": name, "subject": gap["P"]}, [("person", gap["P"])]


def _one_word(text: str, place: int) -> Iterator[Reading]:
    for gap in _match(phrasings.ONE_WORD[place], text):
        for kind, params, entities in _asked_for(gap["Q"], say.QUESTIONS):
            if kind == "fact" and params["relation"] not in ("street", "place_street"):
                yield "one_word", params, entities


def _sum(text: str, place: int) -> Iterator[Reading]:
    for gap in _match(phrasings.SUM[place], text):
        if all(re.fullmatch(r"[1-9]|10", gap[name]) for name in "AB"):
            a, b = int(gap["A"]), int(gap["B"])
            yield "sum", {"a": a, "b": b}, [("sum", (a, b))]


def _topic(text: str, place: int) -> Iterator[Reading]:
    for gap in _match(phrasings.HOW_TO[place], text):
        if kind := TOPIC_KINDS.get(gap["T"]):
            yield kind, {"topic": gap["T"]}, [(FAMILY[kind], gap["T"])]
    for gap in _match(phrasings.BULLETS[place], text):
        if TOPIC_KINDS.get(gap["T"]) == "how_to":
            yield "bullets", {"topic": gap["T"]}, [("kind", gap["T"])]


def _list(text: str, place: int) -> Iterator[Reading]:
    for gap in _match(phrasings.LIST[place], text):
        if gap["N"] in COUNT_OF and gap["C"] in LISTS:
            yield (
                "list",
                {"category": gap["C"], "count": COUNT_OF[gap["N"]]},
                [("list", (gap["C"], COUNT_OF[gap["N"]]))],
            )


def _others(text: str, place: int) -> Iterator[Reading]:
    for gap in _match(phrasings.TWO_SENTENCES[place], text):
        if gap["P"] in PEOPLE:
            yield "two_sentences", {"subject": gap["P"]}, [("person", gap["P"])]
    for gap in _match(phrasings.DOSSIER[place], text):
        if gap["P"] in PEOPLE:
            yield "dossier", {"subject": gap["P"]}, [("person", gap["P"])]
    for gap in _match(phrasings.STORY[place], text):
        words = [gap["A"], gap["B"]]
        if set(words) <= set(STORY_WORDS) and words[0] != words[1]:
            yield "story", {"words": words}, [("word", word) for word in words]
    for gap in _match(phrasings.ADVICE[place], text):
        if gap["F"] in PROBLEMS:
            yield "advice", {"problem": gap["F"]}, [("problem", gap["F"])]
    for gap in _match(phrasings.MATTER[place], text):
        if gap["M"] in CONTESTED:
            yield "contested", {"matter": gap["M"]}, [("contested", gap["M"])]


def _claim(text: str, place: int) -> Iterator[Reading]:
    for kind, forms in (("claim", phrasings.CLAIM[place]), ("yes_no", phrasings.YES_NO if place else ())):
        for gap in _match(forms, text):
            if (fact := say.read_fact(say.sentence(gap["c"]))) and fact.value != fact.subject:
                entities = subject_of(fact.relation, fact.subject) or []
                yield (
                    kind,
                    {"relation": fact.relation, "subject": fact.subject, "value": fact.value},
                    entities,
                )


_READERS: tuple[Callable[[str, int], Iterator[Reading]], ...] = (
    _question,
    _one_word,
    _sum,
    _topic,
    _list,
    _others,
    _claim,
)
