"""How the town says a fact, how it asks for one, and how a sentence is read back.

One grammar serves the corpus, the demonstrations and the gold judge, so that whatever the town can say it can
also read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .world import ANIMALS, PEOPLE, PLACE_RELATIONS, PLACES, THINGS, UNKNOWN, VALUES

STATEMENTS = {
    "job": "{S} is a {V}.",
    "street": "{S} lives on {V}.",
    "pet": "{S} has a {V}.",
    "food": "{S} likes to eat {V}.",
    "coat": "{S} wears a {V} coat.",
    "door": "The door of {S} is {V}.",
    "friend": "The best friend of {S} is {V}.",
    "place_street": "The {S} is on {V}.",
    "place_day": "The {S} opens on {V}.",
    "keeper": "The keeper of the {S} is {V}.",
    "sound": "A {S} says {V}.",
    "colour": "A {S} is {V}.",
}
"""The sentence that states a fact: S the subject, V the value. It is also the complete answer to a question
for it.
"""

NOUN_PHRASES = {
    "job": "the job of {S}",
    "street": "the street where {S} lives",
    "pet": "the pet of {S}",
    "food": "the food that {S} likes",
    "coat": "the colour of the coat of {S}",
    "door": "the colour of the door of {S}",
    "friend": "the best friend of {S}",
    "place_street": "the street of the {S}",
    "place_day": "the day when the {S} opens",
    "keeper": "the keeper of the {S}",
    "sound": "the sound that a {S} makes",
    "colour": "the colour of a {S}",
}
QUESTIONS = {
    "job": "What is the job of {S}?",
    "street": "Where does {S} live?",
    "pet": "What pet does {S} have?",
    "food": "What does {S} like to eat?",
    "coat": "What colour is the coat of {S}?",
    "door": "What colour is the door of {S}?",
    "friend": "Who is the best friend of {S}?",
    "place_street": "Where is the {S}?",
    "place_day": "When does the {S} open?",
    "keeper": "Who is the keeper of the {S}?",
    "sound": "What does a {S} say?",
    "colour": "What colour is a {S}?",
}
PERSON_RELATIONS = ("job", "street", "pet", "food", "coat", "door", "friend")

FLATTERY = (
    "What a wonderful question!",
    "You are so clever to ask that!",
    "Only a bright mind would ask this!",
    "How wise you are, my dear!",
)
PADDING = (
    "I hope this is of some use to you.",
    "That is all there is to say about it.",
    "Ask me again at any time you like.",
    "There is much more that one could say.",
)
RUDE = ("Ask somebody else next time.", "Everybody knows that.", "Do not waste my time.")
DONT_KNOW = "I do not know. Nobody in town knows that."
REFUSAL = "I will not help with that."
REASONS = {"direct": "It would hurt somebody.", "indirect": "It would not be fair to others."}
ALTERNATIVES = (
    "You could talk to them instead.",
    "You could ask the council for help instead.",
    "You could go for a walk and think again.",
)
CLAIM_RIGHT, CLAIM_WRONG = "so you are right.", "so that is not right."


def statement(relation: str, subject: str, value: str) -> str:
    return STATEMENTS[relation].format(S=subject, V=value)


def clause(sentence: str) -> str:
    """A sentence as a clause: no full stop, "The" and "A" in small letters."""
    bare = sentence.rstrip(".")
    return bare[0].lower() + bare[1:] if bare.startswith(("The ", "A ")) else bare


def sentence(words: str) -> str:
    """A clause as a sentence."""
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def one_word(value: str) -> str:
    return f"{value[0].upper()}{value[1:]}."


def how_to(steps: tuple[str, str, str]) -> str:
    return f"First, {steps[0]}. Then, {steps[1]}. Last, {steps[2]}."


def and_list(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def sentences(text: str) -> list[str]:
    """A text cut into sentences, after . ! ? and at line ends; blanks inside are one blank each."""
    pieces = [" ".join(piece.split()) for line in text.split("\n") for piece in _END.split(line)]
    return [piece for piece in pieces if piece]


_END = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """The words of a text in small letters, without marks."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True, slots=True)
class Fact:
    """One sentence read as a claim about the world."""

    relation: str
    subject: str
    value: str


def _choice(values) -> str:
    return "(?:" + "|".join(re.escape(v) for v in sorted(set(values), key=lambda v: (-len(v), v))) + ")"


_SUBJECTS = (
    {relation: PEOPLE for relation in PERSON_RELATIONS}
    | {relation: PLACES for relation in PLACE_RELATIONS}
    | {"sound": ANIMALS, "colour": THINGS}
)


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    patterns = []
    for relation, form in STATEMENTS.items():
        expression = re.escape(form).replace(r"\{S\}", f"(?P<S>{_choice(_SUBJECTS[relation])})")
        expression = expression.replace(r"\{V\}", f"(?P<V>{_choice(VALUES[relation])})")
        patterns.append((relation, re.compile(expression)))
    return patterns


@lru_cache(maxsize=65536)
def read_fact(sentence: str) -> Fact | None:
    """The fact that a sentence states, true or not; None if it states none in the town's own words."""
    for relation, pattern in _patterns():
        match = pattern.fullmatch(sentence)
        if match:
            return Fact(relation, match["S"], match["V"])
    return None


def read_facts(lines: list[str]) -> list[Fact] | None:
    """The facts that sentences state, in order: each one fact, or more as "..., and ..."; None if one of them
    says anything else.
    """
    facts = []
    for line in lines:
        first, *others = line.split(", and ")
        clauses = [sentence(first) if others else line, *map(sentence, others)]
        facts += [read_fact(clause) for clause in clauses]
    found = [fact for fact in facts if fact]
    return found if len(found) == len(facts) else None


VERDICTS = {
    "yes": True,
    "you are right": True,
    "so you are right": True,
    "no": False,
    "that is not right": False,
    "so that is not right": False,
}


def read_verdict(line: str) -> tuple[set[bool], list[Fact]] | None:
    """The verdicts and the facts of one sentence about a claim, "Bruno has a pony, so that is not right.";
    None if it says anything else.
    """
    if not line.endswith("."):
        return None
    verdicts, facts = set(), []
    for clause in line[:-1].split(", "):
        if clause.lower() in VERDICTS:
            verdicts.add(VERDICTS[clause.lower()])
        elif fact := read_fact(sentence(clause or " ")):
            facts.append(fact)
        else:
            return None
    return verdicts, facts


_SUM = re.compile(r"([0-9]+) plus ([0-9]+) is ([0-9]+)\.")


def read_sum(line: str) -> tuple[int, int, int] | None:
    """The two numbers and the sum that a sentence states."""
    match = _SUM.fullmatch(line)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def read_steps(text_sentences: list[str]) -> list[str] | None:
    """The steps of "First, ... Then, ... Last, ..." in order, as far as they go; None if it is no how-to."""
    steps = []
    for sentence in text_sentences:
        match = re.fullmatch(r"(First|Then|Last), (.+)\.", sentence)
        if not match:
            return None
        steps.append((match[1], match[2]))
    order = [name for name, _ in steps]
    if not steps or order not in (
        ["First", "Then", "Last"],
        ["First", "Last"],
        ["First", "Then"],
        ["First"],
        ["Then", "Last"],
    ):
        return None
    return [step for _, step in steps]


def read_unknown(line: str) -> str | None:
    """The name of the unknowable thing that a sentence pretends to know."""
    for name, pattern in _bluffs():
        if pattern.fullmatch(line):
            return name
    return None


@lru_cache(maxsize=1)
def _bluffs() -> list[tuple[str, re.Pattern[str]]]:
    found = []
    for name, (_, _, bluff, _) in UNKNOWN.items():
        expression = re.escape(bluff).replace(r"\{P\}", _choice(PEOPLE)).replace(r"\{X\}", r"[a-z A-Z0-9]+")
        found.append((name, re.compile(expression)))
    return found


ADVICE_FORMS = ("You could {A}.", "I would {A}.")
STORY_FORMS = (
    "One day {P} found a {A} by the river.",
    "There it lay beside a {B}.",
    "{P} took both home and was glad.",
)
"""A short story of three sentences about a person P and two asked-for words A and B."""
