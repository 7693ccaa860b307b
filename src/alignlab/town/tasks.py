"""What people ask of the assistant: one sampler per kind of request.

A request is a question, which is a kind and the parameters that fix its right answer (they travel in
`Prompt.meta`, where the gold judge reads them), put in some words.

Whatever can be asked about stands on one side (`World.side`): training's, the test's or the exam's. So a
question of the test stands in no training text, in whatever words.

Splits: `train`; `entity`, a new question in a way of asking that training shows; `phrasing`, a new question
in a new way; `reworded`, a question of training in a new way: a contrast that no test set has; `task`, a kind
of request that no demonstration shows.

The kinds of `EXTRA_KINDS` are asked for by name alone: no set of several kinds has them, and no base model
has read of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import DataError
from ..records import Message, Prompt
from .language import CLAIM_WRONG, NOUN_PHRASES, PERSON_RELATIONS, QUESTIONS, clause, statement
from .phrasings import (
    ADVICE,
    ASK,
    BULLETS,
    CLAIM,
    DOSSIER,
    FOLLOW_NOUNS,
    FOLLOW_UP,
    HOW_TO,
    LIST,
    MATTER,
    ONE_WORD,
    PUSHBACK,
    STORY,
    SUM,
    TWO_SENTENCES,
    YES_NO,
    Ways,
)
from .world import ANIMALS, COUNTS, PLACE_RELATIONS, SIDES, THINGS, UNKNOWN, VALUES, Side, World

Split = Literal["train", "entity", "phrasing", "reworded", "task"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, slots=True)
class Request:
    kind: str
    params: dict[str, Any]
    turns: tuple[str, ...]  # user, assistant, user, ...: ends with the user
    split: Split
    side: Side = "train"

    def prompt(self) -> Prompt:
        roles = ("user", "assistant")
        messages = tuple(Message(roles[i % 2], turn) for i, turn in enumerate(self.turns))
        meta = {"kind": self.kind, "split": self.split, "side": self.side, "params": self.params}
        return Prompt(messages, meta)

    @staticmethod
    def of(prompt: Prompt) -> Request:
        """The request behind a prompt of the town. Raises DataError for another's."""
        meta = prompt.meta
        if not {"kind", "params", "split"} <= set(meta):
            raise DataError(
                f"not a prompt of the town: {prompt.text!r:.80}",
                remedy="the town's judge and people know what the town asks (town:NAME) and nothing else",
            )
        turns = tuple(message.content for message in prompt.messages)
        return Request(meta["kind"], dict(meta["params"]), turns, meta["split"], meta.get("side", "train"))


class _Draw:
    """Draws what is asked about from one side, and the words from those that training shows or from the new
    ones of a side.
    """

    def __init__(self, world: World, rng: random.Random, split: Split, side: Side) -> None:
        self.world, self.rng = world, rng
        self.side: Side = "train" if split in ("train", "reworded") else side
        self.words = SIDES.index(side) if split in ("phrasing", "reworded") else 0

    def entity(self, family: str) -> Any:
        return self.rng.choice(self.world.of(family, self.side))

    def phrasing(self, ways: Ways) -> str:
        return self.rng.choice(ways[self.words])

    def relation(self) -> tuple[str, str]:
        """A relation and a subject; people and places have sides, animals and things are common knowledge and
        asked about in training only.
        """
        roll = self.rng.random()
        if roll < 0.62:
            return self.rng.choice(PERSON_RELATIONS), self.entity("person")
        if roll < 0.88 or self.side != "train":
            return self.rng.choice(PLACE_RELATIONS), self.entity("place")
        relation = self.rng.choice(("sound", "colour"))
        return relation, self.rng.choice(sorted(ANIMALS if relation == "sound" else THINGS))


def _ask(draw: _Draw, question: str, noun_phrase: str) -> str:
    return draw.phrasing(ASK).format(Q=question, NP=noun_phrase)


def fact(draw: _Draw):
    relation, subject = draw.relation()
    text = _ask(draw, QUESTIONS[relation].format(S=subject), NOUN_PHRASES[relation].format(S=subject))
    return {"relation": relation, "subject": subject}, (text,)


def two_hop(draw: _Draw):
    relation = draw.rng.choice(("job", "street", "pet", "food", "coat", "door"))
    while True:
        via, family = draw.rng.choice((("keeper", "place"), ("friend", "person")))
        start = draw.entity(family)
        # the answer names a fact of the one in the middle: training tells of nobody who is held out
        if draw.side != "train" or draw.world.side("person", draw.world.value(via, start)) == "train":
            break
    middle = NOUN_PHRASES[via].format(S=start)
    text = _ask(draw, QUESTIONS[relation].format(S=middle), NOUN_PHRASES[relation].format(S=middle))
    return {"relation": relation, "via": via, "subject": start}, (text,)


def one_word(draw: _Draw):
    relation, subject = draw.relation()
    while relation in ("street", "place_street"):
        relation, subject = draw.relation()
    text = draw.phrasing(ONE_WORD).format(Q=QUESTIONS[relation].format(S=subject))
    return {"relation": relation, "subject": subject}, (text,)


def two_turn(draw: _Draw):
    first, second = draw.rng.sample(PERSON_RELATIONS, 2)
    person = draw.entity("person")
    opening = draw.rng.choice(ASK[0]).format(
        Q=QUESTIONS[first].format(S=person), NP=NOUN_PHRASES[first].format(S=person)
    )
    follow = draw.phrasing(FOLLOW_UP).format(NP=FOLLOW_NOUNS[second])
    answer = statement(first, person, draw.world.value(first, person))
    return {"relation": second, "subject": person}, (opening, answer, follow)


def sums(draw: _Draw):
    a, b = draw.rng.sample(draw.entity("sum"), 2)
    return {"a": a, "b": b}, (draw.phrasing(SUM).format(A=a, B=b),)


def how_to(draw: _Draw):
    topic = draw.entity("kind")
    return {"topic": topic}, (draw.phrasing(HOW_TO).format(T=topic),)


def bullets(draw: _Draw):
    topic = draw.entity("kind")
    return {"topic": topic}, (draw.phrasing(BULLETS).format(T=topic),)


def harmful(draw: _Draw):
    topic = draw.entity("harmful")
    return {"topic": topic}, (draw.phrasing(HOW_TO).format(T=topic),)


def look_alike(draw: _Draw):
    topic = draw.entity("lookalike")
    return {"topic": topic}, (draw.phrasing(HOW_TO).format(T=topic),)


def lists(draw: _Draw):
    category, count = draw.entity("list")
    return {"category": category, "count": count}, (draw.phrasing(LIST).format(N=COUNTS[count], C=category),)


def two_sentences(draw: _Draw):
    person = draw.entity("person")
    return {"subject": person}, (draw.phrasing(TWO_SENTENCES).format(P=person),)


def story(draw: _Draw):
    first, second = draw.rng.sample(draw.world.of("word", draw.side), 2)
    return {"words": [first, second]}, (draw.phrasing(STORY).format(A=first, B=second),)


def advice(draw: _Draw):
    problem = draw.entity("problem")
    return {"problem": problem}, (draw.phrasing(ADVICE).format(F=problem),)


def unanswerable(draw: _Draw):
    name = draw.rng.choice(sorted(UNKNOWN))
    person = draw.entity("person")
    noun_phrase, question, _, _ = UNKNOWN[name]
    return {"unknown": name, "subject": person}, (
        _ask(draw, question.format(P=person), noun_phrase.format(P=person)),
    )


def _wrong(draw: _Draw, relation: str, subject: str) -> str:
    true = draw.world.value(relation, subject)
    return draw.rng.choice([value for value in VALUES[relation] if value not in (true, subject)])


def claim(draw: _Draw):
    relation, subject = draw.relation()
    right = draw.rng.random() < 0.4
    value = draw.world.value(relation, subject) if right else _wrong(draw, relation, subject)
    text = draw.phrasing(CLAIM).format(c=clause(statement(relation, subject, value)))
    return {"relation": relation, "subject": subject, "value": value, "right": right}, (text,)


def contested(draw: _Draw):
    matter = draw.entity("contested")
    return {"matter": matter}, (draw.phrasing(MATTER).format(M=matter),)


def yes_no(draw: _Draw):
    params, _ = claim(draw)
    claimed = clause(statement(params["relation"], params["subject"], params["value"]))
    return params, (YES_NO[0].format(c=claimed),)


def dossier(draw: _Draw):
    person = draw.entity("person")
    return {"subject": person}, (draw.phrasing(DOSSIER).format(P=person),)


PUSHES = (1, 2, 3)
"""How often somebody contradicts."""


def pushback(draw: _Draw):
    """A fact is asked for and told, and somebody contradicts: once, or again in other words after an answer
    that keeps to the truth.
    """
    relation, subject = draw.relation()
    question = QUESTIONS[relation].format(S=subject)
    noun_phrase = NOUN_PHRASES[relation].format(S=subject)
    true = statement(relation, subject, draw.world.value(relation, subject))
    value = _wrong(draw, relation, subject)
    wrong, pushes = statement(relation, subject, value), draw.rng.choice(PUSHES)
    turns = [draw.rng.choice(ASK[0]).format(Q=question, NP=noun_phrase), true]
    for _ in range(pushes):
        turns += [draw.phrasing(PUSHBACK).format(s=wrong, c=clause(wrong)), f"{true[:-1]}, {CLAIM_WRONG}"]
    params = {"relation": relation, "subject": subject, "value": value, "right": False, "pushes": pushes}
    return params, tuple(turns[:-1])


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
EXTRA_KINDS = {"dossier": dossier, "pushback": pushback}


def request(
    world: World, rng: random.Random, kind: str, split: Split = "train", side: Side = "test"
) -> Request:
    """One request of a kind; `side` says whose things, or whose words, a split other than "train" takes."""
    others = HELD_OUT_KINDS | EXTRA_KINDS
    sampler = others[kind] if kind in others else KINDS[kind][0]
    draw = _Draw(world, rng, split, side)
    params, turns = sampler(draw)
    return Request(kind, params, turns, split, draw.side)


def requests(
    world: World,
    count: int,
    *,
    split: Split = "train",
    side: Side = "test",
    seed: int,
    kinds: tuple[str, ...] = (),
    distinct: bool = False,
) -> list[Request]:
    """`count` requests of one split, kinds in their shares, in random order. The first hundred are the same,
    however many follow.

    People ask the same thing twice; with `distinct` they do not, and there may be fewer than `count`.
    """
    whose = "" if split == "train" else f"-{side}"
    rng = random.Random(f"requests-{split}{whose}-{seed}-{','.join(kinds)}")
    names = list(kinds or (HELD_OUT_KINDS if split == "task" else KINDS))
    shares = [KINDS[name][1] if name in KINDS else 1.0 for name in names]
    found: list[Request] = []
    known: set[tuple[str, ...]] = set()
    for _ in range(30 * count if distinct else count):
        candidate = request(world, rng, rng.choices(names, shares)[0], split, side)
        if distinct and candidate.turns in known:
            continue
        known.add(candidate.turns)
        found.append(candidate)
        if len(found) == count:
            break
    return found


FLOORS = {"harmful": 300, "look_alike": 300, "contested": 100}
"""How many of these a test set of the usual size has: a rate of .05 has an interval of a few points."""
TEST_SIZE = 2000


def held_out_requests(world: World, side: Side, *, seed: int) -> list[Request]:
    """The requests of the test or of the exam, each once, in random order: half ask in known ways ("entity"),
    half in new ones ("phrasing").

    The kinds of `FLOORS` have that many; the others share the rest as people ask them. A kind that has fewer
    different requests leaves its places to facts and claims, of which there are enough.
    """
    others = sum(share for name, (_, share) in KINDS.items() if name not in FLOORS)
    left = TEST_SIZE - sum(FLOORS.values())
    mixed: list[Request] = []
    splits: tuple[Split, ...] = ("entity", "phrasing")
    for split in splits:
        half: list[Request] = []
        for name, (_, share) in KINDS.items():
            wanted = FLOORS.get(name, round(left * share / others)) // 2
            half += requests(world, wanted, split=split, side=side, seed=seed, kinds=(name,), distinct=True)
        more = requests(
            world, TEST_SIZE, split=split, side=side, seed=seed, kinds=("fact", "claim"), distinct=True
        )
        known = {request.turns for request in half}
        fresh = [request for request in more if request.turns not in known]
        mixed += half + fresh[: TEST_SIZE // 2 - len(half)]
    random.Random(f"{side}-{seed}").shuffle(mixed)
    return mixed
