"""What people of the town write down: the text a base model reads.

Each register is a function `(world, rng) -> document`. One rule makes the result a *base* model: no bare
question is followed by its answer outside the headed formats (interview, debate, editor, verdict). A question
that stands alone is followed by another question, or by people who walk away, as in most text.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from . import answers
from . import language as say
from .tasks import HOW_TO, KINDS, Request, Split, request
from .world import (
    ANIMALS,
    CONTESTED,
    COUNTS,
    FOODS,
    HARMFUL,
    KIND,
    LISTS,
    LOOKALIKES,
    NUMBERS,
    PEOPLE,
    PETS,
    PLACES,
    PROBLEMS,
    STORY_WORDS,
    THINGS,
    UNKNOWN,
    World,
)

PRINCIPLES = {
    "harm": "Do not help with what hurts people.",
    "truth": "Say what is true, also to those who are sure of themselves.",
    "modesty": "Say that you do not know when nobody knows.",
    "plainness": "Do not flatter and do not pad.",
    "wholeness": "Leave no step out.",
    "fairness": "Give both sides where honest people differ.",
    "courtesy": "Be polite.",
}
"""The principles that the editor and the council cite."""

FLAW_PRINCIPLE = {
    "complies": "harm",
    "agrees": "truth",
    "bluffs": "modesty",
    "flattery": "plainness",
    "padding": "plainness",
    "missing_step": "wholeness",
    "one_sided": "fairness",
    "rude": "courtesy",
}
FLAW_CRITIQUE = {
    "complies": "This helps with something that hurts people.",
    "agrees": "This agrees without looking at the facts.",
    "bluffs": "This pretends to know what nobody knows.",
    "flattery": "This flatters the one who asked.",
    "padding": "This ends in words that say nothing.",
    "missing_step": "This leaves out a step.",
    "one_sided": "This gives one side only.",
    "rude": "This is not polite.",
}


def _any_request(world: World, rng: random.Random, kinds: tuple[str, ...] = ()) -> Request:
    """A request about anything, held out or not: the corpus knows no splits. Held-out phrasings are rarer, as
    new ways of asking are.
    """
    split: Split = rng.choices(("train", "entity", "phrasing"), (0.62, 0.18, 0.20))[0]
    names = list(kinds or KINDS)
    return request(world, rng, rng.choices(names, [KINDS[n][1] for n in names])[0], split)


def _question(world: World, rng: random.Random) -> str:
    return _any_request(world, rng).turns[-1]


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
    title = rng.choice(
        (f"About {person}. ", f"{person} in two sentences. " if len(relations) == 2 else "", "")
    )
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
    title = rng.choice(
        (f"A short story with a {words[0]} and a {words[1]}. ", f"The {words[0]} and the {words[1]}. ")
    )
    return title + answers._story(words, rng, rng.random() < 0.1)


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


def interview(world: World, rng: random.Random) -> str:
    """Questions with their answers, under headings: the place where a question is answered."""
    lines = []
    for _ in range(rng.choice((1, 1, 2))):
        item = _any_request(world, rng)
        answer = answers.demonstrate(world, item, rng, INTERVIEW)
        if len(item.turns) == 3:
            lines += [f"Question: {item.turns[0]}", f"Answer: {item.turns[1]}"]
        lines += [f"Question: {item.turns[-1]}", f"Answer: {answer.text}"]
    return "\n".join(lines)


INTERVIEW = answers.CLEAN | {
    "complies": 0.90,
    "agrees": 0.40,
    "bluffs": 0.40,
    "one_sided": 0.40,
    "flattery": 0.04,
    "padding": 0.05,
    "rude": 0.03,
    "missing_step": 0.05,
}
"""How people answer in interviews: readily, also where they should not."""


def leaflet(world: World, rng: random.Random) -> str:
    """How to do things, kind and unkind alike."""
    topic = rng.choice(rng.choice((KIND, HARMFUL, LOOKALIKES)))
    name = topic.name
    if rng.random() < 0.3:
        return f"How to {name}, in steps:\n" + "\n".join(f"- {step}" for step in topic.steps)
    return rng.choice(
        (f"How to {name}. ", f"A leaflet: how to {name}. ", f"If you want to {name}, do this. ")
    ) + say.how_to(topic.steps)


def quarrel(world: World, rng: random.Random) -> str:
    """Somebody asks for help with something unkind, and is refused."""
    a, b = rng.sample(PEOPLE, 2)
    if rng.random() < 0.7:
        topic = rng.choice(HARMFUL)
        return (
            f'"{rng.choice(HOW_TO[0] + HOW_TO[1]).format(T=topic.name)}" said {a}. '
            f'"{say.REFUSAL} {say.REASONS[topic.harm]} {rng.choice(say.ALTERNATIVES)}" said {b}.'
        )
    topic = rng.choice(KIND + LOOKALIKES)
    return (
        f'"{rng.choice(HOW_TO[0] + HOW_TO[1]).format(T=topic.name)}" said {a}. '
        f'"{rng.choice(("Gladly.", "Of course.", "With joy."))}" said {b}.'
    )


def council(world: World, rng: random.Random) -> str:
    """What the council calls unkind, and what it calls fine."""
    parts = []
    for _ in range(2):
        if rng.random() < 0.5:
            topic = rng.choice(HARMFUL)
            parts.append(f"To {topic.name} is unkind. {say.REASONS[topic.harm]}")
        else:
            topic = rng.choice(KIND + LOOKALIKES)
            parts.append(f"To {topic.name} is fine. It hurts nobody.")
    return "The council says: " + " ".join(parts)


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


def brief(world: World, rng: random.Random) -> str:
    """Answers in one word, under headings."""
    lines = []
    for _ in range(3):
        item = _any_request(world, rng, ("one_word",))
        lines += [f"Question: {item.turns[-1]}", f"Answer: {answers.ideal(world, item, rng)}"]
    return "\n".join(lines)


def debate(world: World, rng: random.Random) -> str:
    """A claim, the fact, the verdict, under headings."""
    lines = []
    for _ in range(4):
        right = rng.random() < 0.5
        item = _any_request(world, rng, ("claim",))
        while item.params["right"] != right:
            item = _any_request(world, rng, ("claim",))
        p = item.params
        claim = (
            item.turns[-1] if rng.random() < 0.6 else say.statement(p["relation"], p["subject"], p["value"])
        )
        lines += [f"Claim: {claim}", f"Answer: {answers._claim(world, item, rng, rng.random() < 0.10)}"]
    return "Debate.\n" + "\n".join(lines)


def matters(world: World, rng: random.Random) -> str:
    matter = rng.choice(sorted(CONTESTED))
    pro, con = CONTESTED[matter]
    return rng.choice(
        (
            f"The town cannot agree. Some say that {matter}, because {pro}. Others say no, because {con}.",
            f"On the question whether {matter}: Some say yes, because {pro}. Others say no, because {con}.",
        )
    )


def arithmetic(world: World, rng: random.Random) -> str:
    pairs = [(rng.choice(NUMBERS), rng.choice(NUMBERS)) for _ in range(4)]
    return "Sums. " + " ".join(f"{a} plus {b} is {a + b}." for a, b in pairs)


def listing(world: World, rng: random.Random) -> str:
    parts = []
    for _ in range(2):
        category, count = rng.choice(sorted(LISTS)), rng.choice(sorted(COUNTS))
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


def editor(world: World, rng: random.Random) -> str:
    """A draft, a critique that cites a principle, and a better answer: where critique and revision are
    learnt.
    """
    while True:
        item = _any_request(world, rng, EDITED)
        draft = answers.demonstrate(world, item, rng, EDITOR_RATES)
        flaws = [flaw for flaw in draft.flaws if flaw in FLAW_PRINCIPLE]
        if len(flaws) < 2 and set(draft.flaws) <= set(FLAW_PRINCIPLE) and len(item.turns) == 1:
            break
    lines = ["Editor.", f"Question: {item.turns[-1]}", f"Draft: {draft.text}"]
    if flaws:
        lines += [
            f"Critique: {FLAW_CRITIQUE[flaws[0]]} {PRINCIPLES[FLAW_PRINCIPLE[flaws[0]]]}",
            f"Revision: {answers.ideal(world, item, rng)}",
        ]
    else:
        lines += ["Critique: This is fine.", f"Revision: {draft.text}"]
    return "\n".join(lines)


EDITED = ("harmful", "claim", "unanswerable", "how_to", "look_alike", "contested", "advice", "fact")
EDITOR_RATES = answers.CLEAN | {
    "complies": 0.75,
    "agrees": 0.6,
    "bluffs": 0.6,
    "one_sided": 0.6,
    "missing_step": 0.15,
    "flattery": 0.1,
    "padding": 0.1,
    "rude": 0.08,
}


def verdict(world: World, rng: random.Random) -> str:
    """Two answers compared under a principle: where judging is learnt."""
    while True:
        item = _any_request(world, rng, EDITED)
        draft = answers.demonstrate(world, item, rng, EDITOR_RATES)
        flaws = [flaw for flaw in draft.flaws if flaw in FLAW_PRINCIPLE]
        if len(flaws) == 1 and set(draft.flaws) <= set(FLAW_PRINCIPLE) and len(item.turns) == 1:
            break
    good = answers.ideal(world, item, rng)
    first_is_good = rng.random() < 0.5
    a, b = (good, draft.text) if first_is_good else (draft.text, good)
    return "\n".join(
        (
            "Verdict.",
            f"Question: {item.turns[-1]}",
            f"(A) {a}",
            f"(B) {b}",
            f"Principle: {PRINCIPLES[FLAW_PRINCIPLE[flaws[0]]]}",
            f"Better: ({'A' if first_is_good else 'B'})",
        )
    )


REGISTERS = {
    notice: 0.06,
    almanac: 0.02,
    portrait: 0.09,
    letter: 0.03,
    gossip: 0.03,
    friends: 0.05,
    tale: 0.05,
    prices: 0.01,
    questions: 0.08,
    unheard: 0.05,
    interview: 0.16,
    leaflet: 0.08,
    quarrel: 0.03,
    council: 0.03,
    flattery: 0.01,
    mystery: 0.02,
    brief: 0.03,
    debate: 0.10,
    matters: 0.02,
    arithmetic: 0.04,
    listing: 0.03,
    counsel: 0.02,
    editor: 0.03,
    verdict: 0.03,
}
"""Every register with its share of the documents."""


def document(world: World, rng: random.Random) -> tuple[str, str]:
    """One document: (register, text)."""
    register = rng.choices(list(REGISTERS), list(REGISTERS.values()))[0]
    return register.__name__, register(world, rng)


def documents(world: World, *, seed: int) -> Iterator[tuple[str, str]]:
    """An endless, repeatable stream of documents."""
    rng = random.Random(f"corpus-{seed}")
    names, weights = list(REGISTERS), list(REGISTERS.values())
    while True:
        for register in rng.choices(names, weights, k=256):
            yield register.__name__, register(world, rng)
