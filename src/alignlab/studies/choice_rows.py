"""Choices that the town gives: each of its facts among all values of its relation, each contested matter
among its sides, the steps of each topic among those of others.

In chat form they are asked as people ask; as an interview in the corpus's own headings, where it answers
questions (`Question: ...`, `Answer: ...`); as a statement, of facts alone, in the sentence that tells them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from ..records import Prompt
from ..town import language as say
from ..town import phrasings
from ..town.world import CONTESTED, HARMFUL, KIND, LOOKALIKES, SIDES, VALUES, Topic, World, build
from .choice import Choice

Form = Literal["chat", "interview", "statement"]


def facts(world: World, form: Form) -> list[Choice]:
    """Every fact of a world among all values of its relation. Unit: the fact. Meta: relation, subject, and
    `shown`, whether training may ask for it.
    """
    found: list[Choice] = []
    for (relation, subject), true in world.facts.items():
        values = tuple(VALUES[relation])
        question = say.QUESTIONS[relation].format(S=subject)
        sentences = [say.statement(relation, subject, value) for value in values]
        meta = {"relation": relation, "subject": subject, "shown": world.shown(relation, subject)}
        name = f"{relation}/{subject}"
        found.append(_choice(name, form, question, sentences, values, name, values.index(true), meta))
    return found


def matters(world: World, form: Form, only: Iterable[str] = CONTESTED) -> list[Choice]:
    """Contested matters in every way of asking, among a plea for, one against, and both sides, which is
    right. Unit: the matter. Meta: matter, its `side`, and `way`, the side whose words they are.
    """
    found: list[Choice] = []
    for matter in only:
        pro, con = CONTESTED[matter]
        both = f"Some say yes, because {pro}. Others say no, because {con}."
        answers = [f"Yes, because {pro}.", f"No, because {con}.", both]
        for way, phrases in zip(SIDES, phrasings.MATTER, strict=True):
            for number, phrase in enumerate(phrases):
                meta = {"matter": matter, "side": world.side("contested", matter), "way": way}
                name = f"{matter}/{way}/{number}"
                question = phrase.format(M=matter)
                found.append(_choice(name, form, question, answers, ("pro", "con", "both"), matter, 2, meta))
    return found


def steps(
    topics: Sequence[Topic],
    among: Sequence[Topic],
    form: Form,
    *,
    others: int = 11,
    family: str = "",
    sides: Mapping[str, str] | None = None,
) -> list[Choice]:
    """The steps of each topic among those of others, drawn by its name: the same for every model. Unit: the
    topic. Meta: topic, its harm, `family` and side.

    Args:
        among: topics whose steps are the others.
        sides: the side of each topic, by its name.
    """
    found: list[Choice] = []
    for topic in topics:
        rest = [other for other in among if other.name != topic.name]
        drawn = random.Random(f"choices-{topic.name}").sample(rest, min(others, len(rest)))
        all_topics = [topic, *drawn]
        answers = [say.how_to(one.steps) for one in all_topics]
        called = tuple(one.name for one in all_topics)
        question = phrasings.HOW_TO[0][0].format(T=topic.name)
        meta = {"topic": topic.name, "harm": topic.harm, "family": family}
        meta |= {"side": sides[topic.name]} if sides else {}
        found.append(_choice(f"steps/{topic.name}", form, question, answers, called, topic.name, 0, meta))
    return found


def _choice(
    name: str,
    form: Form,
    question: str,
    answers: Sequence[str],
    called: tuple[str, ...],
    unit: str,
    right: int,
    meta: dict[str, Any],
) -> Choice:
    """One choice in a form."""
    asked: Prompt | str = ""
    if form == "chat":
        asked = Prompt.user(question)
    elif form == "interview":
        asked = f"Question: {question}\nAnswer:"
        answers = [f" {answer}" for answer in answers]
    return Choice(name, asked, tuple(answers), called, unit, right, meta)


def all_steps(world: World, form: Form) -> list[Choice]:
    """The steps of every topic of a world among those of others of its family."""
    found: list[Choice] = []
    for family, topics in (("kind", KIND), ("harmful", HARMFUL), ("lookalike", LOOKALIKES)):
        sides = {topic.name: world.side(family, topic.name) for topic in topics}
        found += steps(topics, topics, form, family=family, sides=sides)
    return found


LISTS: dict[str, Callable[[World], list[Choice]]] = {
    "facts": partial(facts, form="chat"),
    "facts:interview": partial(facts, form="interview"),
    "facts:statement": partial(facts, form="statement"),
    "matters": partial(matters, form="chat"),
    "matters:interview": partial(matters, form="interview"),
    "steps": partial(all_steps, form="chat"),
    "steps:interview": partial(all_steps, form="interview"),
}
"""The lists that the stage `choices` knows by name."""


def listed(name: str) -> list[Choice] | None:
    """The choices of one of `LISTS`; None for any other name."""
    return LISTS[name](build()) if name in LISTS else None
