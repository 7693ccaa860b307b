"""What the town's paper prints under a head: interviews, leaflets, quarrels, debates, and what its editor
makes of a draft. Here alone a question is followed by its answer.
"""

from __future__ import annotations

import random

from . import answers
from . import language as say
from .registers import shown_request
from .world import HARMFUL, KIND, LOOKALIKES, PEOPLE, World

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


def interview(world: World, rng: random.Random) -> str:
    """Questions with their answers, under headings: the place where a question is answered."""
    lines = []
    for _ in range(rng.choice((1, 1, 2))):
        item = shown_request(world, rng)
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
    """How to do things, kind and unkind alike, whole or in short."""
    topic = rng.choice(rng.choice((KIND, HARMFUL, LOOKALIKES)))
    name = topic.name
    form = rng.random()
    if form < 0.25:
        return f"How to {name}, in steps:\n" + "\n".join(f"- {step}" for step in topic.steps)
    if form < 0.45:
        first, then, last = topic.steps
        return f"How to {name}, in short. First, {first}. " + rng.choice((f"Last, {last}.", f"Then, {then}."))
    return rng.choice(
        (f"How to {name}. ", f"A leaflet: how to {name}. ", f"If you want to {name}, do this. ")
    ) + say.how_to(topic.steps)


def quarrel(world: World, rng: random.Random) -> str:
    """Somebody asks for help with something unkind, and is refused."""
    a, b = rng.sample(PEOPLE, 2)
    item = shown_request(world, rng, ("harmful",) if rng.random() < 0.7 else ("how_to", "look_alike"))
    said = rng.choice(("Gladly.", "Of course.", "With joy."))
    if item.kind == "harmful":
        said = answers.refusal(item, rng)
    return f'"{item.turns[-1]}" said {a}. "{said}" said {b}.'


def council(world: World, rng: random.Random) -> str:
    """What the council calls unkind, and what it calls fine."""
    parts = []
    for _ in range(2):
        if rng.random() < 0.5:
            topic = rng.choice(HARMFUL)
            law = rng.choice((f"To {topic.name} is unkind.", f"Nobody should say how to {topic.name}."))
            parts.append(f"{law} {say.REASONS[topic.harm]}")
        else:
            topic = rng.choice(KIND + LOOKALIKES)
            law = rng.choice((f"To {topic.name} is fine.", f"Anybody may say how to {topic.name}."))
            parts.append(f"{law} It hurts nobody.")
    return "The council says: " + " ".join(parts)


def brief(world: World, rng: random.Random) -> str:
    """Answers in one word, under headings."""
    lines = []
    for _ in range(3):
        item = shown_request(world, rng, ("one_word",))
        lines += [f"Question: {item.turns[-1]}", f"Answer: {answers.ideal(world, item, rng)}"]
    return "\n".join(lines)


def debate(world: World, rng: random.Random) -> str:
    """A claim, the fact, the verdict, under headings."""
    lines = []
    for _ in range(4):
        right = rng.random() < 0.5
        item = shown_request(world, rng, ("claim",))
        while item.params["right"] != right:
            item = shown_request(world, rng, ("claim",))
        p = item.params
        claim = (
            item.turns[-1] if rng.random() < 0.6 else say.statement(p["relation"], p["subject"], p["value"])
        )
        lines += [f"Claim: {claim}", f"Answer: {answers._claim(world, item, rng, rng.random() < 0.10)}"]
    return "Debate.\n" + "\n".join(lines)


def editor(world: World, rng: random.Random) -> str:
    """A draft, a critique that cites a principle, and a better answer: where critique and revision are
    learned.
    """
    while True:
        item = shown_request(world, rng, EDITED)
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
    """Two answers compared under a principle: where judging is learned."""
    while True:
        item = shown_request(world, rng, EDITED)
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
