"""What people ask of the assistant: one sampler per kind of request.

A request is a kind, the parameters that fix its right answer (they travel in `Prompt.meta`, where the gold
judge reads them) and a phrasing. Splits: `train`; `entity` (something held out, asked in a known way);
`phrasing` (something known, asked in a held-out way); `task` (a kind of request that no demonstration shows).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import DataError
from ..records import Message, Prompt
from .language import (
    ASK,
    ASK_HELD_OUT,
    NOUN_PHRASES,
    PERSON_RELATIONS,
    PLACE_RELATIONS,
    QUESTIONS,
    clause,
    statement,
)
from .phrasings import (
    ADVICE,
    BULLETS,
    CLAIM,
    FOLLOW_NOUNS,
    FOLLOW_UP,
    HOW_TO,
    LIST,
    MATTER,
    ONE_WORD,
    STORY,
    SUM,
    TWO_SENTENCES,
)
from .world import (
    ANIMALS,
    CONTESTED,
    COUNTS,
    HARMFUL,
    KIND,
    LISTS,
    LOOKALIKES,
    NUMBERS,
    PEOPLE,
    PLACES,
    PROBLEMS,
    STORY_WORDS,
    THINGS,
    UNKNOWN,
    VALUES,
    World,
)

Split = Literal["train", "entity", "phrasing", "task"]


@dataclass(frozen=True, slots=True)
class Request:
    kind: str
    params: dict[str, Any]
    turns: tuple[str, ...]  # user, assistant, user, ...: ends with the user
    split: Split

    def prompt(self) -> Prompt:
        roles = ("user", "assistant")
        messages = tuple(Message(roles[i % 2], turn) for i, turn in enumerate(self.turns))
        return Prompt(messages, {"kind": self.kind, "split": self.split, "params": self.params})

    @staticmethod
    def of(prompt: Prompt) -> Request:
        """The request behind a prompt of the town. Raises DataError for another's."""
        meta = prompt.meta
        if not {"kind", "params", "split"} <= set(meta):
            raise DataError(
                f"not a prompt of the town: {prompt.text!r:.80}",
                remedy="the town's judge and people know what the town asks (town:NAME) and nothing else",
            )
        return Request(
            meta["kind"], dict(meta["params"]), tuple(m.content for m in prompt.messages), meta["split"]
        )


class _Draw:
    """Draws entities and phrasings on the right side of a split."""

    def __init__(self, world: World, rng: random.Random, split: Split) -> None:
        self.world, self.rng, self.split = world, rng, split

    def entity(self, family: str, options) -> Any:
        side = "held_out" if self.split == "entity" else "train"
        return self.rng.choice([o for o in options if self.world.split(family, o) == side])

    def phrasing(self, known: tuple[str, ...], held_out: tuple[str, ...]) -> str:
        return self.rng.choice(held_out if self.split == "phrasing" else known)

    def relation(self) -> tuple[str, str]:
        """A relation and a subject; people and places carry the entity split, animals and things are common
        knowledge.
        """
        roll = self.rng.random()
        if roll < 0.62:
            return self.rng.choice(PERSON_RELATIONS), self.entity("person", PEOPLE)
        if roll < 0.88 or self.split == "entity":
            return self.rng.choice(PLACE_RELATIONS), self.entity("place", PLACES)
        relation = self.rng.choice(("sound", "colour"))
        return relation, self.rng.choice(sorted(ANIMALS if relation == "sound" else THINGS))


def _ask(draw: _Draw, question: str, noun_phrase: str) -> str:
    return draw.phrasing(ASK, ASK_HELD_OUT).format(Q=question, NP=noun_phrase)


def fact(draw: _Draw):
    relation, subject = draw.relation()
    text = _ask(draw, QUESTIONS[relation].format(S=subject), NOUN_PHRASES[relation].format(S=subject))
    return {"relation": relation, "subject": subject}, (text,)


def two_hop(draw: _Draw):
    relation = draw.rng.choice(("job", "street", "pet", "food", "coat", "door"))
    if draw.rng.random() < 0.5:
        via, start = "keeper", draw.entity("place", PLACES)
    else:
        via, start = "friend", draw.entity("person", PEOPLE)
    middle = NOUN_PHRASES[via].format(S=start)
    text = _ask(draw, QUESTIONS[relation].format(S=middle), NOUN_PHRASES[relation].format(S=middle))
    return {"relation": relation, "via": via, "subject": start}, (text,)


def one_word(draw: _Draw):
    relation, subject = draw.relation()
    while relation in ("street", "place_street"):
        relation, subject = draw.relation()
    text = draw.phrasing(*ONE_WORD).format(Q=QUESTIONS[relation].format(S=subject))
    return {"relation": relation, "subject": subject}, (text,)


def two_turn(draw: _Draw):
    first, second = draw.rng.sample(PERSON_RELATIONS, 2)
    person = draw.entity("person", PEOPLE)
    opening = draw.rng.choice(ASK).format(
        Q=QUESTIONS[first].format(S=person), NP=NOUN_PHRASES[first].format(S=person)
    )
    follow = draw.phrasing(*FOLLOW_UP).format(NP=FOLLOW_NOUNS[second])
    answer = statement(first, person, draw.world.value(first, person))
    return {"relation": second, "subject": person}, (opening, answer, follow)


def sums(draw: _Draw):
    a, b = draw.entity("sum", [(a, b) for a in NUMBERS for b in NUMBERS])
    return {"a": a, "b": b}, (draw.phrasing(*SUM).format(A=a, B=b),)


def how_to(draw: _Draw):
    topic = draw.entity("kind", [t.name for t in KIND])
    return {"topic": topic}, (draw.phrasing(*HOW_TO).format(T=topic),)


def bullets(draw: _Draw):
    topic = draw.entity("kind", [t.name for t in KIND])
    return {"topic": topic}, (draw.phrasing(*BULLETS).format(T=topic),)


def harmful(draw: _Draw):
    topic = draw.entity("harmful", [t.name for t in HARMFUL])
    return {"topic": topic}, (draw.phrasing(*HOW_TO).format(T=topic),)


def look_alike(draw: _Draw):
    topic = draw.entity("lookalike", [t.name for t in LOOKALIKES])
    return {"topic": topic}, (draw.phrasing(*HOW_TO).format(T=topic),)


def lists(draw: _Draw):
    category, count = draw.entity("list", [(name, count) for name in LISTS for count in COUNTS])
    return {"category": category, "count": count}, (draw.phrasing(*LIST).format(N=COUNTS[count], C=category),)


def two_sentences(draw: _Draw):
    person = draw.entity("person", PEOPLE)
    return {"subject": person}, (draw.phrasing(*TWO_SENTENCES).format(P=person),)


def story(draw: _Draw):
    first = draw.entity("word", STORY_WORDS)
    second = draw.entity("word", [w for w in STORY_WORDS if w != first])
    return {"words": [first, second]}, (draw.phrasing(*STORY).format(A=first, B=second),)


def advice(draw: _Draw):
    problem = draw.entity("problem", PROBLEMS)
    return {"problem": problem}, (draw.phrasing(*ADVICE).format(F=problem),)


def unanswerable(draw: _Draw):
    name = draw.rng.choice(sorted(UNKNOWN))
    person = draw.entity("person", PEOPLE)
    noun_phrase, question, _, _ = UNKNOWN[name]
    return {"unknown": name, "subject": person}, (
        _ask(draw, question.format(P=person), noun_phrase.format(P=person)),
    )


def claim(draw: _Draw):
    relation, subject = draw.relation()
    true = draw.world.value(relation, subject)
    right = draw.rng.random() < 0.4
    value = true if right else draw.rng.choice([v for v in VALUES[relation] if v not in (true, subject)])
    text = draw.phrasing(*CLAIM).format(c=clause(statement(relation, subject, value)))
    return {"relation": relation, "subject": subject, "value": value, "right": right}, (text,)


def contested(draw: _Draw):
    matter = draw.entity("contested", CONTESTED)
    return {"matter": matter}, (draw.phrasing(*MATTER).format(M=matter),)


def yes_no(draw: _Draw):
    params, _ = claim(draw)
    claimed = clause(statement(params["relation"], params["subject"], params["value"]))
    return params, (f"Yes or no: is it true that {claimed}?",)


KINDS: dict[str, tuple[Callable[[_Draw], tuple[dict[str, Any], tuple[str, ...]]], float]] = {
    "fact": (fact, 0.20),
    "two_hop": (two_hop, 0.06),
    "one_word": (one_word, 0.05),
    "two_turn": (two_turn, 0.05),
    "sum": (sums, 0.05),
    "how_to": (how_to, 0.07),
    "bullets": (bullets, 0.04),
    "list": (lists, 0.05),
    "two_sentences": (two_sentences, 0.04),
    "story": (story, 0.05),
    "advice": (advice, 0.05),
    "unanswerable": (unanswerable, 0.07),
    "claim": (claim, 0.10),
    "harmful": (harmful, 0.08),
    "look_alike": (look_alike, 0.07),
    "contested": (contested, 0.03),
}
"""Every kind of request that demonstrations show, with its share."""
HELD_OUT_KINDS = {"yes_no": yes_no}


def request(world: World, rng: random.Random, kind: str, split: Split) -> Request:
    sampler = HELD_OUT_KINDS[kind] if kind in HELD_OUT_KINDS else KINDS[kind][0]
    params, turns = sampler(_Draw(world, rng, split))
    return Request(kind, params, turns, split)


def requests(
    world: World, count: int, *, split: Split, seed: int, kinds: tuple[str, ...] = (), distinct: bool = False
) -> list[Request]:
    """`count` requests of one split, kinds in their shares, in random order.

    People ask the same thing twice; with `distinct` they do not, and there may be fewer than `count`.
    """
    rng = random.Random(f"requests-{split}-{seed}-{','.join(kinds)}")
    names = list(kinds or (HELD_OUT_KINDS if split == "task" else KINDS))
    shares = [KINDS[name][1] if name in KINDS else 1.0 for name in names]
    if not distinct:
        return [request(world, rng, name, split) for name in rng.choices(names, shares, k=count)]
    found: dict[tuple[str, ...], Request] = {}
    for _ in range(count * 30):
        if len(found) == count:
            break
        candidate = request(world, rng, rng.choices(names, shares)[0], split)
        found.setdefault(candidate.turns, candidate)
    return list(found.values())
