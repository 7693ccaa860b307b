"""Whether held out means held out: reads what training reads, and looks for what the tests ask about.

It goes by the words, as a stranger would who has the texts and the grammar, and not by how they were made. A
text tells of a thing if it asks about it, states a fact of it, gives its steps, its reasons or its advice; a
test's question is found if a text that shows an answer or a refusal tells of any thing that the question is
about, or asks in a way that only the tests do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

from ..errors import CheckFailed, UserError
from ..records import Demonstration, Prompt, Record, Text, prompt_in
from ..run import derive_seed
from . import corpus, reading, sets, tasks
from . import language as say
from .world import (
    CONTESTED,
    HARMFUL,
    KIND,
    LOOKALIKES,
    NEVER_KNOWN,
    PEOPLE,
    PROBLEMS,
    SIDES,
    STORY_WORDS,
    VERSION,
    World,
    build,
)

Thing = tuple[str, Any]
"""What can be asked about: its family and its name; ("way", SIDE) is a way of asking of the test or exam."""
DEMONSTRATIONS = ("demos", "demos-clean", "demos-helpful", "demos-wrapped", "columns")
ASKED = ("prompts", "verifiable", "risky", "fine", "harmful", "twins", "crowd", *tasks.EXTRA_KINDS)
"""The sets whose prompts are answered and compared."""
HEADS = re.compile(r'^(Question:|Answer:|Claim:|Draft:|Revision:|\(A\)|\(B\)|-)\s*|^"|"(?= said )|"$')


@dataclass
class Seen:
    """What texts of one sort tell of."""

    answered: set[Thing] = field(default_factory=set)
    refused: set[Thing] = field(default_factory=set)

    def add(self, things: set[Thing], text: str) -> None:
        (self.refused if say.REFUSAL in text else self.answered).update(things)


def _told() -> dict[str, Thing]:
    """Steps, reasons and advice -> what they are of."""
    told: dict[str, Thing] = {}
    harmful = (*HARMFUL, *NEVER_KNOWN)
    for family, topics in (("kind", KIND), ("harmful", harmful), ("lookalike", LOOKALIKES)):
        for topic in topics:
            told |= dict.fromkeys(topic.steps, (family, topic.name))
    for matter, reasons in CONTESTED.items():
        told |= dict.fromkeys(reasons, ("contested", matter))
    return told | {advice: ("problem", problem) for problem, advice in PROBLEMS.items()}


TOLD = _told()
LEAD = re.compile(
    r"^(?:First|Then|Last), |^(?:You could|I would) |^(?:Some|Others) say (?:yes|no), because |"
    r"^(?:Yes|No), because |[.]$"
)
STORY = re.compile(r"(?:found a|beside a) ([a-z]+)")


def stated(sentence: str) -> set[Thing]:
    """What a sentence tells of: the subjects of its facts, the topic of a step, the matter of a reason."""
    things: set[Thing] = set()
    for clause in re.split(r", (?:and|so) ", sentence):
        fact = say.read_fact(say.sentence(clause)) if clause else None
        if fact is not None:
            things.update(reading.subject_of(fact.relation, fact.subject) or [])
        if (total := say.read_sum(say.sentence(clause) if clause else "")) is not None:
            things.add(("sum", tuple(sorted(total[:2]))))
    if say.read_unknown(sentence) is not None:
        things.update(("person", word) for word in re.findall(r"[A-Z][a-z]+", sentence) if word in PEOPLE)
    told = LEAD.sub("", LEAD.sub("", sentence))
    if told in TOLD:
        things.add(TOLD[told])
    things.update(("word", word) for word in STORY.findall(sentence) if word in STORY_WORDS)
    return things


@lru_cache(maxsize=100_000)
def asked(line: str) -> frozenset[Thing]:
    """What a line asks about, and whose way of asking it is."""
    for side, words in zip(SIDES, range(len(SIDES)), strict=True):
        for _, _, things in reading.readings(line, words):
            found: set[Thing] = {
                (family, tuple(sorted(thing)) if family == "sum" else thing) for family, thing in things
            }
            return frozenset(found | {("way", side)})
    return frozenset()


def lines_of(text: str) -> Iterator[str]:
    """The lines of a text without heads and quotation marks; of what somebody says, the words."""
    for line in text.split("\n"):
        for piece in re.split(r'"', line) if '"' in line else [line]:
            bare = HEADS.sub("", piece).strip()
            if bare:
                yield bare


def tells_of(text: str) -> tuple[set[Thing], set[Thing]]:
    """What a text asks about, and what it states something of."""
    asks: set[Thing] = set()
    states: set[Thing] = set()
    for line in lines_of(text):
        sentences = say.sentences(line)
        pairs = [" ".join(pair) for pair in zip(sentences, sentences[1:], strict=False)]
        for piece in {line, *sentences, *pairs}:
            asks |= asked(piece)
        for sentence in sentences:
            states |= stated(sentence)
    return asks, states


def about(request: tasks.Request) -> set[Thing]:
    """What a request is about, by its kind and parameters."""
    p, kind = request.params, request.kind
    if kind in ("two_sentences", "dossier", "unanswerable"):
        return {("person", p["subject"])}
    if kind == "two_hop":
        return {("place" if p["via"] == "keeper" else "person", p["subject"])}
    if "relation" in p:
        return set(reading.subject_of(p["relation"], p["subject"]) or [])
    if kind == "sum":
        return {("sum", tuple(sorted((p["a"], p["b"]))))}
    if kind == "list":
        return {("list", (p["category"], p["count"]))}
    if kind == "story":
        return {("word", word) for word in p["words"]}
    for key, family in (("problem", "problem"), ("matter", "contested")):
        if key in p:
            return {(family, p[key])}
    return {(reading.FAMILY["how_to" if kind == "bullets" else kind], p["topic"])}


def _of_corpus(documents: Iterable[tuple[str, str]]) -> dict[str, Seen]:
    """What documents show answered or refused, by register. In the registers that show no answers, a thing
    that is asked about and told of in one document counts as answered.
    """
    seen = {register.__name__: Seen() for register in corpus.REGISTERS}
    headed = {register.__name__ for register in corpus.ANSWERED}
    for register, text in documents:
        asks, states = tells_of(text)
        seen[register].add(asks | states if register in headed else asks & states, text)
    return seen


def _of_records(records: Iterable[Record]) -> set[Thing]:
    """What prompts, demonstrations or texts ask about and tell of."""
    seen: set[Thing] = set()
    for record in records:
        prompt = prompt_in(record)
        text = "\n".join(message.content for message in prompt.messages)
        if not isinstance(record, Text):
            seen |= about(tasks.Request.of(prompt))
        if isinstance(record, Demonstration):
            text += f"\n{record.completion}"
        asks, states = tells_of(text)
        seen |= asks | states
    return seen


def _tests(world: World, seed: int) -> dict[str, list[tasks.Request]]:
    """The requests of every test set; of the red team's without the contrast, which training asks too."""
    tests: dict[str, list[tasks.Request]] = {}
    for name in sets.SIZES:
        if {"test", "exam"} & set(name.split("-")) or name == "never-known":
            asked_for = [tasks.Request.of(prompt_in(record)) for record in sets.load(world, name, seed=seed)]
            tests[f"town:{name}"] = [request for request in asked_for if request.split != "reworded"]
    return tests


def check(world: World, *, count: int = 0, seed: int = 0) -> dict[str, Any]:
    """How many requests of every test set stand in what training reads: by sort of text, and in the corpus by
    register.

    Args:
        count: documents of the corpus that a base model of this seed reads, and records of each set; 0 takes
            each set's usual size.
    """

    def load(name: str) -> list[Record]:
        return sets.load(world, name, count=min(count or sets.SIZES[name], sets.SIZES[name]), seed=seed)

    demonstrations: set[Thing] = set()
    for name in DEMONSTRATIONS:
        demonstrations |= _of_records(load(name))
    compared: set[Thing] = set()
    for name in ASKED:
        compared |= _of_records(load(name))
    prompts = [record for record in load("prompts") if isinstance(record, Prompt)]
    for completions in sets.crowd_completions(world, prompts, per_prompt=4, seed=seed).values():
        for completion in completions:
            compared |= tells_of(completion.text)[1]
    length = count or sets.SIZES["corpus"]
    read = _of_corpus(islice(corpus.documents(world, seed=derive_seed(seed, "corpus")), length))
    plain = _of_corpus(islice(corpus.documents(world, seed=seed, plain=True), length))
    places = {
        "in_corpus_answered": set().union(*(seen.answered for seen in read.values())),
        "in_corpus_refused": set().union(*(seen.refused for seen in read.values())),
        "in_demonstrations": demonstrations,
        "in_comparisons": compared,
        "in_ptx": set().union(*(seen.answered | seen.refused for seen in plain.values())),
    }
    registers = {register: seen.answered | seen.refused for register, seen in read.items()}
    tests = _tests(world, seed)
    everything = [request for requests in tests.values() for request in requests]
    return {
        "schema": 1,
        "version": VERSION,
        "sets": {
            name: _counts(asked_for, places) | {"n": len(asked_for)} for name, asked_for in tests.items()
        },
        "registers": _counts(everything, registers),
    }


def _counts(requests: Sequence[tasks.Request], places: Mapping[str, set[Thing]]) -> dict[str, int]:
    """How many of the requests are about what each place tells of, or asked in words that it shows."""
    counts = dict.fromkeys(places, 0)
    for request in requests:
        things = about(request)
        if request.split == "phrasing":
            things.add(("way", request.side))
        for place, seen in places.items():
            counts[place] += bool(things & seen)
    return counts


def command(*, what: str, count: int) -> dict[str, Any]:
    """`alignlab town check`: the counts, and whether all are zero."""
    if what != "check":
        raise UserError(f"the town cannot {what!r:.40}", remedy="alignlab town check")
    found = check(build(), count=count)
    lines = [f"town {VERSION}: requests of each test set that stand in what training reads"]
    for name, counts in found["sets"].items():
        words = ", ".join(f"{place.replace('_', ' ')} {n}" for place, n in counts.items() if place != "n")
        lines.append(f"{name} ({counts['n']}): {words}")
    lines.append("by register: " + ", ".join(f"{name} {n}" for name, n in found["registers"].items()))
    leaks = sum(sum(counts.values()) - counts["n"] for counts in found["sets"].values())
    return {**found, "text": "\n".join(lines), "exit_code": CheckFailed.exit_code if leaks else 0}
