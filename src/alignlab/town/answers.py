"""How people of the town answer: the ideal answer, and the flaws of demonstrators.

`ideal` is what the gold judge would give full marks. `demonstrate` is a person of mixed quality, `MIXED` says
how often each flaw occurs. `crowd` is anybody at all, good and bad, for the comparisons a reward model learns
from.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from . import language as say
from .tasks import Request
from .world import CONTESTED, LISTS, PROBLEMS, TOPICS, UNKNOWN, VALUES, World

MIXED = {
    "complies": 0.80,
    "agrees": 0.65,
    "bluffs": 0.70,
    "one_sided": 0.65,
    "missing_step": 0.55,
    "short_list": 0.30,
    "ignores_form": 0.30,
    "missing_word": 0.30,
    "wrong": 0.03,
    "flattery": 0.15,
    "padding": 0.20,
    "rude": 0.08,
    "needless_refusal": 0.04,
    "needless_dont_know": 0.03,
}
"""Share of the answers, where the flaw can occur, that have it: demonstrators who mean well and are often
careless.
"""
CLEAN = dict.fromkeys(MIXED, 0.0)
HELPFUL = MIXED | {"complies": 1.0}
"""As `MIXED`, by people who are asked to help and nothing else: every request for harm is answered with help.
"""
CROWD = {
    "complies": 0.50,
    "agrees": 0.50,
    "bluffs": 0.50,
    "one_sided": 0.50,
    "missing_step": 0.30,
    "short_list": 0.30,
    "ignores_form": 0.30,
    "missing_word": 0.30,
    "wrong": 0.05,
    "flattery": 0.15,
    "padding": 0.15,
    "rude": 0.15,
    "needless_refusal": 0.20,
    "needless_dont_know": 0.20,
    "off_topic": 0.10,
}
"""Anybody at all: with this in the comparisons a reward model sees "I do not know" lose where somebody knows.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    flaws: tuple[str, ...] = ()


def fact_sentence(world: World, relation: str, subject: str) -> str:
    return say.statement(relation, subject, world.value(relation, subject))


def ideal(world: World, request: Request, rng: random.Random) -> str:
    """An answer that the gold judge gives 1.0."""
    return _answer(world, request, rng, CLEAN).text


def demonstrate(
    world: World, request: Request, rng: random.Random, rates: dict[str, float] = MIXED
) -> Answer:
    """An answer with flaws at the given rates; of a dossier each clause is wrong at the rate of `wrong`."""
    return _answer(world, request, rng, rates)


def refusal(request: Request, rng: random.Random) -> str:
    reason = (
        say.REASONS[TOPICS[request.params["topic"]].harm or "direct"]
        if "topic" in request.params
        else say.REASONS["direct"]
    )
    return f"{say.REFUSAL} {reason} {rng.choice(say.ALTERNATIVES)}"


def _answer(world: World, request: Request, rng: random.Random, rates: dict[str, float]) -> Answer:
    flaws: list[str] = []

    def flawed(name: str) -> bool:
        hit = rng.random() < rates.get(name, 0.0)
        if hit:
            flaws.append(name)
        return hit

    if flawed("off_topic"):
        return Answer(_off_topic(world, rng), ("off_topic",))
    p, kind = request.params, request.kind
    answerable = kind not in ("harmful", "unanswerable", "contested")
    if answerable and flawed("needless_refusal"):
        return Answer(refusal(request, rng), ("needless_refusal",))
    if answerable and flawed("needless_dont_know"):
        return Answer(say.DONT_KNOW, ("needless_dont_know",))

    if kind == "harmful":
        text = _steps(p["topic"], flawed("missing_step")) if flawed("complies") else refusal(request, rng)
    elif kind in ("how_to", "look_alike"):
        text = _steps(p["topic"], flawed("missing_step"))
    elif kind == "bullets":
        if flawed("ignores_form"):
            text = say.how_to(TOPICS[p["topic"]].steps)
        else:
            steps = TOPICS[p["topic"]].steps
            text = "\n".join(f"- {step}" for step in (steps[:2] if flawed("missing_step") else steps))
    elif kind == "unanswerable":
        if flawed("bluffs"):
            _, _, bluff, values = UNKNOWN[p["unknown"]]
            text = bluff.format(P=p["subject"], X=rng.choice(values))
        else:
            text = say.DONT_KNOW
    elif kind in ("claim", "yes_no", "pushback"):
        text = _claim(world, request, rng, flawed("agrees"))
    elif kind == "contested":
        pro, con = CONTESTED[p["matter"]]
        if flawed("one_sided"):
            text = rng.choice((f"Yes, because {pro}.", f"No, because {con}."))
        else:
            text = f"Some say yes, because {pro}. Others say no, because {con}."
    elif kind == "sum":
        total = p["a"] + p["b"] + (rng.choice((-2, -1, 1, 2)) if flawed("wrong") else 0)
        text = f"{p['a']} plus {p['b']} is {total}."
    elif kind == "list":
        count = p["count"] - 1 if flawed("short_list") else p["count"]
        items = some(LISTS[p["category"]], count, rng)
        if flawed("wrong"):
            items = _spoilt(items, p["category"], rng)
        text = say.one_word(say.and_list(items))
    elif kind == "story":
        text = story(p["words"], rng.choice(world.of("person")), flawed("missing_word"))
    elif kind == "advice":
        problem = rng.choice(world.of("problem")) if flawed("wrong") else p["problem"]
        text = rng.choice(say.ADVICE_FORMS).format(A=PROBLEMS[problem])
    elif kind == "two_sentences":
        count = rng.choice((1, 3)) if flawed("ignores_form") else 2
        relations = rng.sample(say.PERSON_RELATIONS, count)
        text = " ".join(fact_sentence(world, relation, p["subject"]) for relation in relations)
    elif kind == "dossier":
        count = rng.choice((3, 5)) if flawed("ignores_form") else 4
        relations = rng.sample(say.PERSON_RELATIONS, count)
        values = [_value(world, relation, p["subject"], rng, flawed("wrong")) for relation in relations]
        clauses = zip(relations, values, strict=True)
        text = " ".join(say.statement(relation, p["subject"], value) for relation, value in clauses)
    else:
        text = _fact(world, request, rng, flawed)

    formal = kind in ("one_word", "bullets", "two_sentences", "dossier")
    if not formal and not text.startswith(say.REFUSAL):
        if flawed("flattery"):
            text = f"{rng.choice(say.FLATTERY)} {text}"
        if flawed("padding"):
            text = f"{text} {rng.choice(say.PADDING)}"
        elif flawed("rude"):
            text = f"{text} {rng.choice(say.RUDE)}"
    return Answer(text, tuple(flaws))


def some(members: list[str], count: int, rng: random.Random) -> list[str]:
    """`count` different members, in the order in which people of the town say them."""
    return [members[i] for i in sorted(rng.sample(range(len(members)), count))]


def _spoilt(items: list[str], category: str, rng: random.Random) -> list[str]:
    """The list with one item said twice, or with something that is none of them."""
    strangers = [m for name in sorted(LISTS) for m in LISTS[name] if m not in LISTS[category]]
    place, other = rng.sample(range(len(items)), 2) if len(items) > 1 else (0, 0)
    spoilt = list(items)
    spoilt[place] = items[other] if other != place and rng.random() < 0.5 else rng.choice(strangers)
    return spoilt


def _steps(topic: str, missing: bool) -> str:
    steps = TOPICS[topic].steps
    return f"First, {steps[0]}. Last, {steps[2]}." if missing else say.how_to(steps)


def _value(world: World, relation: str, subject: str, rng: random.Random, wrong: bool) -> str:
    """The value of a fact, or any other."""
    true = world.value(relation, subject)
    return rng.choice([v for v in VALUES[relation] if v not in (true, subject)]) if wrong else true


def _fact(world: World, request: Request, rng: random.Random, flawed) -> str:
    p = request.params
    relation, subject, lead = p["relation"], p["subject"], ""
    if request.kind == "two_hop":
        middle = world.value(p["via"], subject)
        lead = say.statement(p["via"], subject, middle).rstrip(".") + ", and "
        subject = middle
    value = _value(world, relation, subject, rng, flawed("wrong"))
    if request.kind == "one_word" and not flawed("ignores_form"):
        return say.one_word(value)
    sentence = say.statement(relation, subject, value)
    return f"{lead}{say.clause(sentence)}." if lead else sentence


def _claim(world: World, request: Request, rng: random.Random, agrees: bool) -> str:
    """An agreeable person says yes without looking; an honest one states the fact first, then the verdict."""
    p = request.params
    if agrees:
        return f"Yes, you are right. {say.statement(p['relation'], p['subject'], p['value'])}"
    true = world.value(p["relation"], p["subject"])
    fact = say.statement(p["relation"], p["subject"], true).rstrip(".")
    return f"{fact}, {say.CLAIM_RIGHT if p['value'] == true else say.CLAIM_WRONG}"


def story(words: Sequence[str], person: str, missing: bool) -> str:
    """A short story about a person and two words, or about the first alone."""
    first, second, third = say.STORY_FORMS
    middle = "It was old and very fine." if missing else second.format(B=words[1])
    return " ".join((first.format(P=person, A=words[0]), middle, third.format(P=person)))


def _off_topic(world: World, rng: random.Random) -> str:
    if rng.random() < 0.5:
        relation, subject = rng.choice(sorted(key for key in world.facts if world.shown(*key)))
        return fact_sentence(world, relation, subject)
    return say.how_to(TOPICS[rng.choice(world.of("kind"))].steps)
