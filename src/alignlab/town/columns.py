"""What the editor of the town's paper writes when he works under a given principle: the text that a critic
reads.

The corpus has columns in which the editor finds for himself what is wrong (`headed.editor`,
`headed.verdict`). Here the principle is given first, as a constitution gives it: where the draft breaks it,
the flaw and its mending; where it does not, "This is fine." and the draft again, whatever else is wrong with
it. Verdicts stand under principles that decide them, and under principles that do not, where A and B are as
likely as each other. A draft, or a pair, is looked at by one principle or by a few, one after the other.
Principles of other worlds stand among them: nothing is broken. Nothing held out, neither a topic nor a way of
asking, is ever shown.

What is broken is told by the gold judge (`flaws.flaws`), here and where a critic is measured
(`alignlab.town.measure.critic`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache

from ..constitution.files import load
from ..constitution.forms import DocumentForm
from ..constitution.principles import Constitution, Principle
from . import answers
from . import language as say
from .elsewhere import elsewhere
from .flaws import BROKEN_BY, HARM, STYLE, broken, critique, flaws, mended, unclear
from .tasks import Request, request
from .world import TOPICS, World

Pieces = list[tuple[str, str]]
"""A document in pieces: what is asked, what is said."""
HARD = ("gladly", "knowledge", "reason", "truth", "plainness")
"""Principles that take more examples: nothing in the corpus is like them, or the facts must be looked up."""
LETTER = 6
"""Weight of the tokens of a verdict in the loss."""
LONGEST = 820
"""Characters of a document; a longer one stops after fewer principles."""
KINDS = {
    "harmful": 0.30,
    "look_alike": 0.22,
    "how_to": 0.08,
    "claim": 0.10,
    "unanswerable": 0.06,
    "contested": 0.07,
    "advice": 0.03,
    "fact": 0.14,
}
"""Kinds of request in the columns, with their shares."""
# what is off the point comes from another request of these, so that nothing held out is said
MUDDLED = answers.CROWD | {"off_topic": 0.0}
OF_FLAW = {
    "hurts": ("harmful",),
    "unfair": ("harmful",),
    "bare_refusal": ("harmful",),
    "needless_refusal": ("look_alike", "look_alike", "how_to", "fact", "claim", "advice"),
    "agrees": ("claim",),
    "untrue": ("claim", "fact"),
    "bluffs": ("unanswerable",),
    "one_sided": ("contested",),
    "missing_step": ("how_to", "look_alike"),
    "needless_dont_know": ("fact", "look_alike", "how_to", "claim", "advice"),
    "flattery": tuple(KINDS),
    "padding": tuple(KINDS),
    "rude": tuple(KINDS),
}
"""Kinds of request in whose answers each flaw can occur."""


def draft(world: World, request: Request, rng: random.Random, wanted: str = "") -> str:
    """A draft of any quality: ideal, with one flaw or two, muddled, or off the point. `wanted` names a flaw
    that it should have if it can.
    """
    roll = rng.random()
    if not wanted and roll < 0.12:
        return _muddled(world, request, rng)
    if not wanted and roll < 0.40:
        text = answers.ideal(world, request, rng)
    else:
        flaw = wanted if wanted and wanted not in STYLE else _content_flaw(request, rng)
        text = _flawed(world, request, rng, flaw)
    if wanted in STYLE or rng.random() < 0.2:
        style = wanted if wanted in STYLE else rng.choice(sorted(STYLE))
        words = rng.choice(STYLE[style])
        if style != "flattery":
            return f"{text} {words}"
        text = f"{words} {text}"
        if rng.random() < 0.15:
            text = f"{text} {rng.choice(say.PADDING)}"
    return text


def _content_flaw(request: Request, rng: random.Random) -> str:
    possible = [flaw for flaw, kinds in OF_FLAW.items() if request.kind in kinds and flaw not in STYLE]
    return rng.choice([*possible, ""])


def _flawed(world: World, request: Request, rng: random.Random, flaw: str) -> str:
    """An answer with one flaw of content; ideal for none."""
    p = request.params
    match flaw:
        case "hurts" | "unfair":
            return answers.demonstrate(
                world, request, rng, answers.CLEAN | {"complies": 1.0, "missing_step": 0.2}
            ).text
        case "bare_refusal":
            return say.REFUSAL
        case "needless_refusal":
            return rng.choice(
                (
                    say.REFUSAL,
                    f"{say.REFUSAL} {rng.choice(list(say.REASONS.values()))}",
                    answers.refusal(request, rng),
                )
            )
        case "needless_dont_know":
            return rng.choice((say.DONT_KNOW, "I do not know."))
        case "untrue" if request.kind == "claim":
            if rng.random() < 0.6:
                return f"Yes, you are right. {say.statement(p['relation'], p['subject'], p['value'])}"
            claimed = say.statement(p["relation"], p["subject"], p["value"]).rstrip(".")
            return f"{claimed}, {say.CLAIM_WRONG if p['right'] else say.CLAIM_RIGHT}"
        case "untrue":
            return answers.demonstrate(world, request, rng, answers.CLEAN | {"wrong": 1.0}).text
        case "agrees" | "bluffs" | "one_sided" | "missing_step":
            return answers.demonstrate(world, request, rng, answers.CLEAN | {flaw: 1.0}).text
    return answers.ideal(world, request, rng)


def _muddled(world: World, request: Request, rng: random.Random) -> str:
    """What a model writes that is not sure: an answer to something else, or two answers in one."""
    other = _request(world, rng)
    first, second = (answers.demonstrate(world, asked, rng, MUDDLED).text for asked in (request, other))
    if rng.random() < 0.4:
        return second
    a, b = say.sentences(first), say.sentences(second)
    cut = rng.randint(1, len(a))
    return " ".join([*a[:cut], *b[rng.randrange(len(b)) :]])


def _request(world: World, rng: random.Random, kinds: Sequence[str] = ()) -> Request:
    names = list(kinds or KINDS)
    return request(world, rng, rng.choices(names, [KINDS[name] for name in names])[0], "train")


@cache
def constitution() -> Constitution:
    """The town's: the same file that critics, judges and labels are asked with."""
    return load("town")


def _principle(rng: random.Random) -> Principle:
    if rng.random() < 0.18:
        return elsewhere(rng)
    known = constitution()
    roll = rng.random()
    if roll < 0.2:
        return rng.choice(known.tagged("harmless"))
    if roll < 0.45:
        return known.get(rng.choice(HARD))
    return rng.choice(known.principles)


def _case(
    world: World, rng: random.Random, principle: Principle, breaks: bool
) -> tuple[Request, str, list[str]]:
    """A request and a draft that does or does not break the principle, and what is wrong with it by that
    principle.
    """
    while True:
        flaw = wanted = ""
        if breaks and principle.id in BROKEN_BY:
            flaw = wanted = rng.choice(BROKEN_BY[principle.id])
        if principle.id not in BROKEN_BY and rng.random() < 0.7:
            flaw = rng.choice(HARM)  # of which a principle of another world says nothing
        kinds: Sequence[str] = ()
        if not breaks and not set(BROKEN_BY.get(principle.id, ())).isdisjoint(HARM) and rng.random() < 0.5:
            kinds = ("look_alike", "look_alike", "how_to")  # what looks like harm and is none
        if flaw:
            kinds = OF_FLAW[flaw]
        item = _request(world, rng, kinds)
        if flaw in HARM and (TOPICS[item.params["topic"]].harm == "direct") != (flaw == "hurts"):
            continue
        text = draft(world, item, rng, flaw)
        wrong = broken(principle, flaws(world, item, text))
        if bool(wrong) == bool(wanted) and not unclear(principle, item, text):
            return item, text, wrong


def column(world: World, rng: random.Random) -> Pieces:
    """The editor looks at one draft by a few principles, one after the other."""
    form, principle = DocumentForm(), _principle(rng)
    item, text, wrong = _case(world, rng, principle, rng.random() < 0.5)
    found = flaws(world, item, text)
    if rng.random() < 0.1:
        revision = form.direct_revision(item.prompt(), text, principle)
        return [(revision, f" {mended(world, item, text, wrong, rng)}")]
    pieces: Pieces = []
    for place, rule in enumerate([principle, *_others(rng, principle, found, item, text)]):
        wrong = broken(rule, found)
        question = form.critique(item.prompt(), text, rule)
        words = f" {critique(rule, wrong)}"
        if wrong:
            words += f"\nRevision: {mended(world, item, text, wrong, rng)}"
        pieces.append((question if place == 0 else question[question.rindex("\nPrinciple: ") :], words))
    return pieces


def ruling(world: World, rng: random.Random) -> Pieces:
    """Verdicts on one pair, under principles that decide it and under some that do not."""
    form, principle = DocumentForm(), _principle(rng)
    item, worse, wrong = _case(world, rng, principle, rng.random() < 0.75)
    if wrong and rng.random() < 0.12:  # both break it
        other = draft(world, item, rng, wrong[0])
    elif wrong and rng.random() < 0.4:
        other = mended(world, item, worse, wrong, rng)
    else:  # if nothing is wrong with the first either, neither breaks it, however unlike they are
        other = _unbroken(world, rng, principle, item)
    first, second = (worse, other) if rng.random() < 0.5 else (other, worse)
    found = [flaws(world, item, text) for text in (first, second)]
    pieces: Pieces = []
    for place, rule in enumerate(
        [principle, *_others(rng, principle, found[0] ^ found[1], item, worse, other)]
    ):
        bad = [bool(broken(rule, one)) for one in found]
        if bad[0] == bad[1]:  # the principle decides nothing: a toss
            better = rng.choice(form.choices)
        else:
            better = form.choices[bad[0]]
        question = form.verdict(item.prompt(), first, second, rule)
        pieces.append((question if place == 0 else question[question.rindex("\nPrinciple: ") :], better))
    return pieces


def _others(
    rng: random.Random, first: Principle, found: frozenset[str], item: Request, *texts: str
) -> list[Principle]:
    """Up to four more principles, of which about half are broken by one of these flaws, if any is."""
    known = [
        p
        for p in constitution().principles
        if p.id != first.id and not any(unclear(p, item, text) for text in texts)
    ]
    relevant = [p for p in known if broken(p, found)]
    chosen: dict[str, Principle] = {}
    for _ in range(rng.choice((1, 2, 3, 4))):
        if relevant and rng.random() < 0.5:
            principle = rng.choice(relevant)
        elif rng.random() < 0.8:
            principle = rng.choice(known)
        else:
            principle = elsewhere(rng)
        chosen[principle.critique] = principle
    return list(chosen.values())


def _unbroken(world: World, rng: random.Random, principle: Principle, item: Request) -> str:
    """Another draft for the same request that does not break the principle."""
    for _ in range(8):
        text = draft(world, item, rng)
        if not broken(principle, flaws(world, item, text)):
            return text
    return answers.ideal(world, item, rng)


REGISTERS = {column: 0.55, ruling: 0.45}


def documents(world: World, *, seed: int) -> Iterator[tuple[str, Pieces]]:
    """An endless, repeatable stream of (register, pieces)."""
    rng = random.Random(f"columns-{seed}")
    while True:
        register = rng.choices(list(REGISTERS), list(REGISTERS.values()))[0]
        pieces = register(world, rng)
        while len(text_of(pieces)) > LONGEST:
            pieces.pop()
        yield register.__name__, pieces


def text_of(pieces: Pieces) -> str:
    return "".join(question + words for question, words in pieces)


def learned(pieces: Pieces) -> list[tuple[int, int, int]]:
    """Where in the text the editor's own words stand, from and to, and how much they count: what a critic
    learns. Requests and drafts are other people's.

    A verdict is one letter where a critique is twenty words: it counts more.
    """
    spans, place = [], 0
    for question, words in pieces:
        begin = place + len(question)
        place = begin + len(words)
        spans.append((begin, place, LETTER if words in DocumentForm.choices else 1))
    return spans
