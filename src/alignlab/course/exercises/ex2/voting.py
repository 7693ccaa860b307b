"""`alignlab exercise vote`: pairs of answers, a key each, in the store of votes that the studio has.

The folder of the exercise is a folder of runs as the studio sees it: its page asks the same pairs. What was
said ends in one file of rankings (`files.VOTES`).
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ....collecting.collect import rank_all
from ....data.write import write
from ....errors import UserError
from ....names.people import annotator
from ....records import Message, Prompt, Ranking, question
from ....run import derive_seed
from ....text.escapes import one_line, visible
from ....text.streams import say
from ....town import language, world
from ....votes import exchange, figures
from ....votes.assignment import Leased, ask
from ....votes.items import add_items
from ....votes.people import here
from ....votes.store import Store, studio_folder
from ....votes.tasks import Task, add_task, tasks_of
from ....votes.voting import Ballot, skip, undo, vote_on
from ....votes.writer import Transaction
from ...grade.folder import opened
from ..town import prompts, rankings
from .files import VOTES

TASK, EXERCISE = "Exercise 2", "ex2"
SHARED, OWN = 20, 20
"""Pairs that everybody sees, and as many more as each person adds."""
KEYS = {"a": "A", "b": "B", "t": "tie", "s": "skip", "u": "undo", "q": "stop"}
STRENGTHS = {"a": -1, "t": 0, "b": 1}


def vote(name: str, who: str, simulate: str) -> dict[str, Any]:
    """Asks somebody about pairs in the terminal, and writes what everybody said; for the command line.

    Args:
        simulate: people of the town who vote as well, with commas between them.

    Raises:
        UserError: no folder of exercise 2, or nobody to vote. ResourceError: the studio has the store open.
    """
    work = opened(name)
    if work.exercise != EXERCISE:
        raise UserError(
            f"{name} is exercise {work.exercise}", remedy=f"alignlab exercise vote {EXERCISE} --who NAME"
        )
    who, others = who.strip(), [one.strip() for one in simulate.split(",") if one.strip()]
    if (not who and not others) or len(who) > 40 or not who.isprintable():
        raise UserError(f"--who {who!r:.60} is no name", remedy="--who ana: at most 40 letters")
    simulated = [annotator(one, seed=derive_seed(0, "vote", one)) for one in others]
    with Store.open(studio_folder(work.folder)) as store:
        shared = pairs(0, SHARED)
        store.do(made, shared)
        if who:
            store.do(here, who)
            store.do(made, pairs(derive_seed(0, "own", who) % 2**31, OWN))
        for person in simulated:
            both = [*shared, *(pairs(derive_seed(0, "own", who) % 2**31, OWN) if who else [])]
            ranked = list(rank_all(person.load(), list(enumerate(list(r.completions) for r in both))))
            store.do(exchange.take_in, TASK, ranked, mode="pair", votes=True)
        if who:
            talk(store, who, keys())
        with store.reading() as connection:
            said = figures.votes_of(connection, tasks_of(connection)[TASK])
    rows = [as_ranking(one) for one in said]
    if rows:
        write(rows, work.folder / VOTES, format="records", overwrite=True)
    counts = Counter(row.annotator for row in rows)
    text = ", ".join(f"{count} by {one_line(person)}" for person, count in counts.items()) or "no votes yet"
    return {"file": str(work.folder / VOTES), "votes": dict(counts), "text": f"{work.folder / VOTES}: {text}"}


def as_ranking(said: figures.Said) -> Ranking:
    """A vote as a ranking: in which order the answers were seen, if they were, and how long it took."""
    ranks = tuple(rank or 1 for rank in said.ranks)
    looked = said.given["ms"] > 0
    meta = {"seen": list(said.given["order"]), "ms": said.given["ms"]} if looked else {}
    return replace(said.asked, ranks=ranks, annotator=said.annotator, meta=meta)


# --- what is asked


def pairs(seed: int, count: int) -> list[Ranking]:
    """Pairs of answers by the town's crowd; half of the questions of fact come with the fact card."""
    found: list[Ranking] = []
    for ranking in rankings(
        prompts("town:prompts", count=2 * count, seed=seed), "random", per_prompt=4, seed=seed
    ):
        pair = ranking.only([0, 1])
        card = card_of(pair.prompt)
        if card and derive_seed(0, "card", question(pair.prompt)) % 2:
            told = (Message("system", card), *pair.prompt.messages)
            prompt = Prompt(told, pair.prompt.meta)
            completions = tuple(replace(completion, prompt=prompt) for completion in pair.completions)
            pair = replace(pair, prompt=prompt, completions=completions)
        found.append(replace(pair, ranks=(1, 1), annotator=""))
    return found[:count]


def card_of(prompt: Prompt) -> str:
    """What is true of a question of fact, in the town's own words; empty for any other."""
    town, params = world.build(), prompt.meta["params"]
    if "relation" not in params or "subject" not in params:
        return ""
    subject, facts = params["subject"], []
    if "via" in params:
        middle = town.value(params["via"], subject)
        facts.append(language.statement(params["via"], subject, middle))
        subject = middle
    facts.append(language.statement(params["relation"], subject, town.value(params["relation"], subject)))
    return "Fact card: " + " ".join(facts)


def made(transaction: Transaction, asked: Sequence[Ranking]) -> None:
    """These pairs are in the task, which is made where there is none; its first ones are asked of
    everybody.
    """
    there = tasks_of(transaction.connection)
    task = Task(name=TASK, mode="pair", overlap=50, calibration=SHARED, random_share=1.0, held_out=0.0)
    add_items(transaction, there.get(TASK) or add_task(transaction, task), asked)


# --- in the terminal


def keys() -> Iterator[str]:
    """What is typed, until there is no more."""
    while True:
        try:
            yield input("a, b, t tie, s skip, u undo, q stop > ").strip().lower()
        except (EOFError, KeyboardInterrupt):
            say("")
            return


def talk(store: Store, who: str, typed: Iterator[str]) -> None:
    """Shows pair after pair and keeps each vote, until all have been asked or somebody stops."""
    with store.reading() as connection:
        task = tasks_of(connection)[TASK]
    before: list[str] = []  # votes of this sitting
    again: Leased | None = None
    while True:
        asked = store.do(ask, task, who, want=1)
        item = again or next(iter(asked.items), None)
        if item is None or asked.mine >= SHARED + OWN:
            say("there is nothing more to vote on" if item is None else "that was the last pair: thank you")
            return
        show(item, asked.mine)
        begun = time.monotonic()
        key = next((key for key in typed if known(key)), "q")
        ms = 1 + int(1000 * (time.monotonic() - begun))
        again, id = None, secrets.token_hex(12)
        match key:
            case "q":
                return
            case "s":
                store.do(skip, who, id, item.lease)
            case "u" if before:
                again = store.do(undo, who, id, before.pop())
            case "u":
                say("there is nothing to take back")
                again = item
            case _:
                store.do(vote_on, who, Ballot(id=id, lease=item.lease, strength=STRENGTHS[key], ms=ms))
                before.append(id)


def known(key: str) -> bool:
    if key not in KEYS:
        say("one of: " + ", ".join(f"{key} ({word})" for key, word in KEYS.items()))
    return key in KEYS


def show(item: Leased, mine: int) -> None:
    """A pair as somebody reads it: what was asked, the card where there is one, both answers."""
    say(f"\n{mine + 1} of {SHARED + OWN}")
    for message in item.prompt:
        word = {"user": "asked", "assistant": "answered"}.get(message.role, "card")
        say(f"  {word}: {visible(message.content)}")
    for letter, text in zip("AB", item.texts, strict=True):
        say(f"  {letter}: {visible(text)}")
