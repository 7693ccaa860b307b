"""What a task asks about: prompts with their answers, from rankings of any source."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, case, func, select

from ..data.split import by_question
from ..records import Ranking
from ..run import derive_seed
from . import schema
from .chain import sha256
from .errors import Refused
from .people import MOST_PEOPLE
from .tasks import Mode, Task, new_id, task_of
from .writer import Transaction

MOST_ANSWERS = 9
LONGEST = 20_000  # letters of an answer that somebody can be asked to read
SELECTED = ("uncertain", "disputed", "power")
"""Why an item is asked before others (`selection`)."""
BY_CHANCE = ("random", "calibration", "power")
"""Why an item is asked that says something of all: what agreement and win rates are computed on. Those of
`power` are drawn by chance too, whatever was said of them.
"""
FEWEST: dict[Mode, int] = {"pair": 2, "harm": 2, "ranking": 2, "rating": 2, "edit": 1}
MOST: dict[Mode, int] = {"pair": 2, "harm": 2, "ranking": MOST_ANSWERS, "rating": MOST_ANSWERS, "edit": 1}
NAMES_ITSELF = re.compile(
    r"\b(chatgpt|gpt-?[0-9]\w*|claude|gemini|llama|mistral|qwen|deepseek|openai|anthropic|(?:an?|as an) ai "
    r"(?:language )?model)\b",
    re.IGNORECASE,
)


@dataclass
class Added:
    """What became of rankings that were to be items.

    Attributes:
        ids: of the new items.
        left_out: why, and how often.
        leaks: (item, place, word): an answer that says who wrote it. Such an item is asked all the same.
    """

    ids: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    leaks: list[tuple[str, int, str]] = field(default_factory=list)

    def leave_out(self, why: str) -> None:
        self.left_out[why] = self.left_out.get(why, 0) + 1


def add_items(
    transaction: Transaction,
    task: str,
    rankings: Iterable[Ranking],
    *,
    gold: bool = False,
    known: bool = False,
) -> Added:
    """Items of a task. An item that it has already, or that its mode cannot ask, is left out and counted.

    Of more answers than the mode asks about, some are drawn by the task's seed.

    Args:
        gold: the ranks are the truth, and the items are asked to see whether somebody reads.
        known: the ranks are the truth, of which votes are told afterwards; the items are asked as any other.
            Of neither kind nobody looks at the ranks.
    """
    settings, _ = task_of(transaction.connection, task)
    added = Added()
    for ranking in rankings:
        add_item(transaction, task, settings, ranking, added, gold=gold, known=known)
    return added


def add_item(
    transaction: Transaction,
    task: str,
    settings: Task,
    ranking: Ranking,
    added: Added,
    *,
    gold: bool = False,
    known: bool = False,
) -> tuple[str, Ranking] | None:
    """As `add_items`, one: the item, new or there already, and what of the ranking it asks about; None if it
    is left out.
    """
    asked = _fitting(ranking, settings, added)
    if asked is None:
        return None
    ranks = asked.ranks if gold or known else (1,) * len(asked.ranks)
    content = Ranking(asked.prompt, asked.completions, ranks)
    digest = sha256(content.to_json())
    same = select(schema.item.c.id).where(schema.item.c.task == task, schema.item.c.digest == digest, _own())
    if there := transaction.execute(same).scalar():
        added.leave_out("there already")
        return there, asked
    last = select(func.max(schema.item.c.place)).where(schema.item.c.task == task)
    place = transaction.execute(last).scalar()
    _, held_out = by_question([content], settings.held_out, settings.seed)
    row: dict[str, Any] = {
        "id": new_id(),
        "task": task,
        "place": 0 if place is None else place + 1,
        "content": json.dumps(content.to_json()),  # as the source has it, so that it goes out the same
        "digest": digest,
        "n": len(content.ranks),
        "side": "test" if held_out else "train",
        "priority": 0,
        "got": 0,
        "repeat_of": None,
        "only_for": None,
        **_why(transaction, task, settings, gold),
    }
    _insert(transaction, row)
    added.ids.append(row["id"])
    added.leaks += [(row["id"], *leak) for leak in leaks(content)]
    return row["id"], asked


def add_repeat(transaction: Transaction, of: Mapping[str, Any], person: str) -> dict[str, Any]:
    """The item again for somebody who has voted on it, to see whether they say the same."""
    row = {**of, "id": new_id(), "why": "repeat", "repeat_of": of["id"], "only_for": person}
    row |= {"needed": 1, "got": 0, "priority": 0}
    _insert(transaction, row)
    return row


def _insert(transaction: Transaction, row: dict[str, Any]) -> None:
    transaction.execute(schema.item.insert().values(row))
    made = {"digest": row["digest"], "why": row["why"], "side": row["side"]}
    transaction.append(new_id(), "item", made, task=row["task"], item=row["id"])


def _why(transaction: Transaction, task: str, settings: Task, gold: bool) -> dict[str, Any]:
    if gold:
        return {"why": "gold", "needed": MOST_PEOPLE}
    if settings.calibration:
        there = (schema.item.c.task == task) & (schema.item.c.why == "calibration")
        count = select(func.count()).select_from(schema.item).where(there)
        if transaction.execute(count).scalar_one() < settings.calibration:
            return {"why": "calibration", "needed": MOST_PEOPLE}
    return {"why": "random", "needed": settings.overlap}


def _own() -> Any:
    """Condition: an item that is no repeat."""
    return schema.item.c.repeat_of.is_(None)


def _fitting(ranking: Ranking, settings: Task, added: Added) -> Ranking | None:
    """The ranking with answers that differ and as many as the mode asks about."""
    first: dict[str, int] = {}
    for place, completion in enumerate(ranking.completions):
        first.setdefault(completion.text, place)
    places = [place for text, place in first.items() if text.strip()]
    if len(places) < FEWEST[settings.mode]:
        added.leave_out("too few answers that differ")
        return None
    if any(len(ranking.completions[place].text) > LONGEST for place in places):
        added.leave_out("an answer that is too long to read")
        return None
    if len(places) > MOST[settings.mode]:
        drawn = random.Random(derive_seed(settings.seed, "answers", ranking.prompt.id))
        places = sorted(drawn.sample(places, MOST[settings.mode]))
    whole = len(places) == len(ranking.completions)
    return ranking if whole else ranking.only(places)


def leaks(ranking: Ranking) -> list[tuple[int, str]]:
    """Answers that say who wrote them: the place and the word, a name of an assistant or of a source here."""
    names = {word for completion in ranking.completions for word in re.split(r"[/:]", completion.source)}
    sources = [re.escape(name) for name in sorted(names) if len(name) > 3]
    own = re.compile(rf"(?<!\w)(?:{'|'.join(sources)})(?!\w)", re.IGNORECASE) if sources else None
    found = []
    for place, completion in enumerate(ranking.completions):
        said = NAMES_ITSELF.search(completion.text) or (own and own.search(completion.text))
        if said:
            found.append((place, said[0]))
    return found


def ask_first(
    transaction: Transaction, task: str, priorities: Mapping[str, int], *, why: str, needed: int | None = None
) -> int:
    """Have items asked before others, the highest priority first; how many can be.

    An item whose question is held out is asked by chance only, and is passed over; so is one that is asked
    of everybody or whose answer is known.

    Args:
        needed: votes that each of them needs now, if it needed fewer; None = as before.
    """
    if why not in SELECTED:
        raise Refused("invalid", f"items are selected as one of {', '.join(SELECTED)}, not {why!r:.40}")
    changed = 0
    for id, priority in priorities.items():
        values: dict[str, Any] = {"priority": priority, "why": why}
        if needed is not None:
            values["needed"] = case((schema.item.c.needed < needed, needed), else_=schema.item.c.needed)
        selectable = (schema.item.c.id == id) & (schema.item.c.task == task) & (schema.item.c.side == "train")
        selectable &= schema.item.c.why.in_(("random", *SELECTED))
        changed += transaction.execute(schema.item.update().where(selectable).values(values)).rowcount
    transaction.append(
        new_id(), "select", {"why": why, "needed": needed, "items": dict(priorities)}, task=task
    )
    return changed


def ranking_of(content: str) -> Ranking:
    """What an item asks about."""
    return Ranking.from_json(json.loads(content))


def items_of(connection: Connection, task: str) -> list[dict[str, Any]]:
    """Every item of a task, in the order in which they were made."""
    rows = (
        select(schema.item).where(schema.item.c.task == task).order_by(schema.item.c.place, schema.item.c.id)
    )
    return [dict(row) for row in connection.execute(rows).mappings()]
