"""Tasks and their items, for whoever leads them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from random import Random
from typing import Any

from sqlalchemy import Connection, select

from ...records import Prompt, Ranking
from ...run import derive_seed
from ...votes import items, people, tasks
from ...votes import schema as tables
from ...votes.assignment import COUNTED
from ...votes.people import MOST_PEOPLE
from ...votes.progress import progress
from ...votes.writer import wall_clock
from .. import paging, schema
from ..desk import Desk, Visit
from ..inside import text
from ..problems import Refused
from ..samples import cut_prompt
from ..sources import rankings_of

AT_ONCE = 200
"""Items that are made in one transaction: between two of them whoever votes has their turn."""


@contextmanager
def reading(desk: Desk) -> Iterator[Connection]:
    """The store, to read from. A folder without one is not given one. Raises Refused: 404."""
    if not desk.has_store:
        raise Refused(404, "nobody was asked anything yet", remedy="a new task, on the page Agreement")
    with desk.store.reading() as connection:
        yield connection


def listed(visit: Visit, asked: schema.Nothing) -> schema.Tasks:
    """Every task."""
    if not visit.desk.has_store:
        return schema.Tasks(rows=[], there=False)
    with reading(visit.desk) as connection:
        ids = tasks.tasks_of(connection).values()
        return schema.Tasks(rows=[schema.TaskRow(**row_of(connection, id)) for id in ids], there=True)


def row_of(connection: Connection, id: str) -> dict[str, Any]:
    """A task as it stands in lists. Raises votes.Refused: not_found."""
    settings, state = tasks.task_of(connection, id)
    return {
        "id": id,
        "name": settings.name,
        "mode": settings.mode,
        "state": state,
        "question": settings.question,
        "overlap": settings.overlap,
        **asdict(progress(connection, id, wall_clock())),
    }


def made(visit: Visit, asked: schema.TaskMade) -> schema.Task:
    """A new task, open and without items."""
    settings = tasks.Task(**asked.model_dump(exclude={"guideline"}))
    id = visit.desk.store.do(tasks.add_task, settings, asked.guideline)
    return one(visit, schema.TaskAsked(id=id))


def one(visit: Visit, asked: schema.TaskAsked) -> schema.Task:
    """One task, with its guidelines and the people of the store."""
    with reading(visit.desk) as connection:
        settings, _ = tasks.task_of(connection, asked.id)
        return schema.Task(
            **row_of(connection, asked.id),
            calibration=settings.calibration,
            gold_share=settings.gold_share,
            repeat_share=settings.repeat_share,
            random_share=settings.random_share,
            held_out=settings.held_out,
            seed=settings.seed,
            guidelines=[schema.GuidelineRow(**row) for row in tasks.guidelines_of(connection, asked.id)],
            persons=persons(connection),
            kinds=sorted({kind for row in items.items_of(connection, asked.id) if (kind := kind_of(row))}),
        )


def persons(connection: Connection) -> list[schema.PersonRow]:
    """Everybody who is not erased."""
    called = people.pseudonyms(connection)
    return [
        schema.PersonRow(id=who.id, called=called[who.id], name=who.name, groups=list(who.groups))
        for who in people.people_of(connection)
    ]


def kind_of(row: Mapping[str, Any]) -> str:
    """The kind of question of an item, where its source says one."""
    return kind_in(items.ranking_of(row["content"]).prompt)


def kind_in(prompt: Prompt) -> str:
    kind = prompt.meta.get("kind")
    return text(kind, 100)


def changed(visit: Visit, asked: schema.TaskChanged) -> schema.Task:
    """Open or close a task, give it a new version of its guideline, or people their groups."""
    store = visit.desk.store
    with reading(visit.desk) as connection:
        tasks.task_of(connection, asked.id)
    if asked.guideline is not None:
        store.do(tasks.set_guideline, asked.id, asked.guideline)
    for person, groups in (asked.groups or {}).items():
        store.do(people.set_groups, person, groups)
    if asked.state is not None:
        store.do(tasks.set_state, asked.id, asked.state)
    return one(visit, asked)


# --- items


def first(visit: Visit, asked: schema.FirstAsked) -> schema.First:
    """The first item that there would be, before anything is made."""
    found = rankings_of(visit.desk, asked)
    most = items.MOST[asked.mode]
    shown = next((one for one in found if len(one.completions) >= items.FEWEST[asked.mode]), found[0])
    texts = [text(answer.text, schema.CUT) for answer in shown.completions[:most]]
    return schema.First(prompt=said_in(shown)[0], texts=texts, count=len(found))


def add(visit: Visit, asked: schema.ItemsAsked) -> schema.ItemsAdded:
    """Items of a task from runs of the folder, drawn by the task's seed."""
    with reading(visit.desk) as connection:
        settings, _ = tasks.task_of(connection, asked.id)
    if asked.gold and asked.source != "rankings":
        raise Refused(422, "only rankings say which answer is better", field="gold")
    found = rankings_of(visit.desk, asked)
    Random(derive_seed(settings.seed, "items")).shuffle(found)
    added, waiting = items.Added(), iter(found)
    while len(added.ids) < asked.count:
        some = list(islice(waiting, min(AT_ONCE, asked.count - len(added.ids))))
        if not some:
            break
        part = visit.desk.store.do(items.add_items, asked.id, some, gold=asked.gold)
        added.ids += part.ids
        added.leaks += part.leaks
        for why, count in part.left_out.items():
            added.left_out[why] = added.left_out.get(why, 0) + count
    return schema.ItemsAdded(added=len(added.ids), left_out=added.left_out, leaks=leaks_of(added))


def leaks_of(added: items.Added) -> list[schema.Leak]:
    """The first of them, as they are answered."""
    first_ones = added.leaks[: schema.MOST_ROWS]
    return [schema.Leak(item=item, place=place, word=text(word, 100)) for item, place, word in first_ones]


def items_listed(visit: Visit, asked: schema.ItemsListed) -> schema.Items:
    """Items of a task in the order in which they were made."""
    at = paging.read(asked.cursor, 0)
    with reading(visit.desk) as connection:
        tasks.task_of(connection, asked.id)
        rows = items.items_of(connection, asked.id)
        flags: dict[str, Counter[str]] = defaultdict(Counter)
        for given, item in connection.execute(
            select(tables.vote.c.given, tables.vote.c.item).where(tables.vote.c.task == asked.id, COUNTED)
        ):
            flags[item].update(json.loads(given)["flags"])
    matching = [row for row in rows if asked.why in ("", row["why"])]
    shown, following = paging.page(matching, asked.limit, at)
    return schema.Items(
        rows=[item_row(row, flags[row["id"]]) for row in shown],
        next=following,
        total=len(matching),
        of=len(rows),
        ready=True,
    )


def item_row(row: Mapping[str, Any], flags: Mapping[str, int]) -> schema.ItemRow:
    """An item as it stands in lists."""
    ranking = items.ranking_of(row["content"])
    prompt, cut = said_in(ranking)
    texts = [text(answer.text, schema.CUT) for answer in ranking.completions]
    everybody = row["needed"] >= MOST_PEOPLE
    return schema.ItemRow(
        id=row["id"],
        place=row["place"],
        prompt=prompt,
        texts=texts,
        cut=cut or any(len(answer.text) > schema.CUT for answer in ranking.completions),
        why=row["why"],
        side=row["side"],
        got=row["got"],
        needed=0 if everybody else row["needed"],
        priority=row["priority"],
        flags=dict(flags),
        leaks=sorted({text(word, 100) for _, word in items.leaks(ranking)}),
    )


def said_in(ranking: Ranking) -> tuple[list[schema.Said], bool]:
    """What was asked, as lists have it, and whether it is cut."""
    messages = ranking.prompt.messages
    said = [schema.Said(role=each.role, content=text(each.content)) for each in messages]
    return cut_prompt(said)
