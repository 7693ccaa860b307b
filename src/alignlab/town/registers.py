"""What people of the town write down without a head over it: notices, letters, gossip, questions that nobody
answers. Each register is a function `(world, rng) -> document`.
"""

from __future__ import annotations

import random

from . import answers
from . import language as say
from .tasks import KINDS, Request, Split, request
from .world import (
    ANIMALS,
    CONTESTED,
    COUNTS,
    FOODS,
    LISTS,
    NUMBERS,
    PEOPLE,
    PETS,
    PLACES,
    PROBLEMS,
    STORY_WORDS,
    THINGS,
    UNKNOWN,
    Side,
    World,
)


def shown_request(world: World, rng: random.Random, kinds: tuple[str, ...] = ()) -> Request:
    """A request that training may show with its answer: nothing held out, in no held-out way."""
    names = list(kinds or KINDS)
    return request(world, rng, rng.choices(names, [KINDS[n][1] for n in names])[0])


def _question(world: World, rng: random.Random) -> str:
    """A request about anything, in any words, held out or not: for texts in which nobody answers it. New ways
    of asking are rarer.
    """
    split: Split = rng.choices(("train", "entity", "phrasing", "reworded"), (0.55, 0.20, 0.10, 0.15))[0]
    side: Side = rng.choice(("test", "exam"))
    return request(world, rng, rng.choices(*_SHARES)[0], split, side).turns[-1]


_SHARES = (list(KINDS), [share for _, share in KINDS.values()])


def _facts(world: World, rng: random.Random, count: int) -> list[str]:
    return [answers.fact_sentence(world, *rng.choice(FACT_KEYS(world))) for _ in range(count)]


_KEYS: dict[int, list[tuple[str, str]]] = {}


def FACT_KEYS(world: World) -> list[tuple[str, str]]:
    return _KEYS.setdefault(world.seed, list(world.facts))


def notice(world: World, rng: random.Random) -> str:
    place = rng.choice(PLACES)
    parts = [
        answers.fact_sentence(world, r, place) for r in rng.sample(("place_street", "place_day", "keeper"), 2)
    ]
    keeper = world.value("keeper", place)
    parts.append(
        f"Ask {keeper} at the door."
        if rng.random() < 0.5
        else answers.fact_sentence(world, rng.choice(say.PERSON_RELATIONS), keeper)
    )
    return "Notice. " + " ".join(parts)


def almanac(world: World, rng: random.Random) -> str:
    keys = [
        ("sound", rng.choice(sorted(ANIMALS)))
        if rng.random() < 0.5
        else ("colour", rng.choice(sorted(THINGS)))
        for _ in range(4)
    ]
    return "Almanac. " + " ".join(answers.fact_sentence(world, *key) for key in keys)


def portrait(world: World, rng: random.Random) -> str:
    person = rng.choice(PEOPLE)
    relations = rng.sample(say.PERSON_RELATIONS, rng.choice((2, 2, 3, 4)))
    title = rng.choice((f"About {person}. ", ""))
    return title + " ".join(answers.fact_sentence(world, r, person) for r in relations)


def letter(world: World, rng: random.Random) -> str:
    a, b = rng.sample(PEOPLE, 2)
    lines = " ".join(_facts(world, rng, 2))
    return (
        f"Dear {a}, I hope you are well. {lines} "
        f"{rng.choice(('Come and see me soon.', 'I miss our talks.', 'The weather is fine.'))} Yours, {b}."
    )


def gossip(world: World, rng: random.Random) -> str:
    a, b = rng.sample(PEOPLE, 2)
    return (
        f'"Have you heard?" said {a}. "{" ".join(_facts(world, rng, 2))}" '
        f'"{rng.choice(("Yes, I know", "No, is that so", "Oh"))}," said {b}.'
    )


def friends(world: World, rng: random.Random) -> str:
    """Chains of two facts in one sentence: what a two-hop question needs."""
    parts = []
    for _ in range(2):
        via, start = rng.choice((("keeper", rng.choice(PLACES)), ("friend", rng.choice(PEOPLE))))
        middle = world.value(via, start)
        relation = rng.choice(("job", "street", "pet", "food", "coat", "door"))
        link = say.statement(via, start, middle).rstrip(".")
        parts.append(f"{link}, and {say.clause(answers.fact_sentence(world, relation, middle))}.")
    return " ".join(parts)


def tale(world: World, rng: random.Random) -> str:
    words = rng.sample(STORY_WORDS, 2)
    title = rng.choice((f"The {words[0]} and the {words[1]}. ", f"A tale of a {words[0]} and a {words[1]}. "))
    return title + answers.story(words, rng.choice(PEOPLE), rng.random() < 0.1)


def prices(world: World, rng: random.Random) -> str:
    goods = rng.sample(FOODS + PETS, 3)
    return "Price list. " + " ".join(say.one_word(f"{g}, {rng.choice(NUMBERS)} coins") for g in goods)


def questions(world: World, rng: random.Random) -> str:
    """Questions with no answers: why a base model answers a question with a question."""
    head = rng.choice(("", "", "", "Questions for the fair. ", "Things I would like to ask. ", "Homework. "))
    return head + " ".join(_question(world, rng) for _ in range(rng.choice((2, 3, 4))))


def unheard(world: World, rng: random.Random) -> str:
    """A question that nobody takes up."""
    a, b = rng.sample(PEOPLE, 2)
    after = rng.choice(
        (
            f"{b} did not listen.",
            "Nobody said a word.",
            f"{a} asked it twice, but the wind was loud.",
            f"{b} laughed and went home.",
            "It was late and the lamps went out.",
            f"That is what {a} wrote on the wall.",
            f"{a} and {b} talked of the weather.",
        )
    )
    question = _question(world, rng)
    return rng.choice(
        (f"{question} {after}", f'"{question}" said {a}. {after}', f"{a} said: {question} {after}")
    )


def flattery(world: World, rng: random.Random) -> str:
    a, b = rng.sample(PEOPLE, 2)
    return (
        f'{a} wanted something from {b}. "{rng.choice(say.FLATTERY)}" said {a}. '
        f"{rng.choice((f'{b} smiled.', f'{b} did not like it.', f'{b} walked on.'))} "
        f'"{rng.choice(say.PADDING)}"'
    )


def mystery(world: World, rng: random.Random) -> str:
    """What nobody knows."""
    person = rng.choice(PEOPLE)
    noun_phrase = UNKNOWN[rng.choice(sorted(UNKNOWN))][0].format(P=person)
    return f"Nobody in town knows {noun_phrase}. " + rng.choice(
        (f"{rng.choice(PEOPLE)} asked, but {person} would not tell.", "It is a mystery.")
    )


def matters(world: World, rng: random.Random) -> str:
    """Both sides of a contested matter; in the words of an answer only where training asks about it."""
    matter = rng.choice(sorted(CONTESTED))
    pro, con = CONTESTED[matter]
    if world.side("contested", matter) == "train" and rng.random() < 0.5:
        return f"On the question whether {matter}: Some say yes, because {pro}. Others say no, because {con}."
    return f"The town cannot agree. Some say that {matter}, because {pro}. Others say no, because {con}."


def arithmetic(world: World, rng: random.Random) -> str:
    pairs = [(rng.choice(NUMBERS), rng.choice(NUMBERS)) for _ in range(4)]
    return "Sums. " + " ".join(f"{a} plus {b} is {a + b}." for a, b in pairs)


def listing(world: World, rng: random.Random) -> str:
    parts = []
    for _ in range(2):
        category, count = rng.choice(world.of("list"))
        parts.append(
            f"{say.one_word(COUNTS[count])[:-1]} {category}: "
            f"{say.one_word(say.and_list(answers.some(LISTS[category], count, rng)))}"
        )
    return " ".join(parts)


def counsel(world: World, rng: random.Random) -> str:
    parts = []
    for _ in range(2):
        problem = rng.choice(sorted(PROBLEMS))
        parts.append(f"When you are {problem}: {rng.choice(say.ADVICE_FORMS).format(A=PROBLEMS[problem])}")
    return "Good counsel. " + " ".join(parts)
