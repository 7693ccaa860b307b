"""Two runs compared by people who do not know which is which."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from ...errors import DataError
from ...records import Completion, Message, Prompt, Ranking, role_of
from ...run import derive_seed
from ...votes import blind as votes
from ...votes.errors import Refused as NotTaken
from ...votes.tasks import task_of
from .. import schema
from ..desk import Visit
from ..heads import figure
from ..inside import text
from ..problems import Refused
from ..samples import completion_of, flag_of, prompt_of
from ..scan import id_of
from . import beside


def begin(visit: Visit, asked: schema.BlindAsked) -> schema.Blind:
    """A task of two runs' answers to the same questions, drawn by chance, without a word of whose."""
    desk, seen = visit.desk, visit.desk.shelf.look()
    heads = [seen.find(run) for run in dict.fromkeys(asked.runs.split(","))]
    if len(heads) != 2:
        raise Refused(422, "a blind comparison is of two runs", field="runs")
    answers = []
    for head in heads:
        measured = beside.evaluation_of(seen, head)
        if measured is None:
            name = seen.name_of(head.path)
            remedy = f"alignlab eval --model {text(head.path)}"
            raise Refused(422, f"no evaluation of {name} is in the folder", remedy=remedy, field="runs")
        answers.append(beside.by_prompt(beside.rows_of(desk.watch.of(measured))))
    first, second = answers
    common = sorted(first.keys() & second.keys())
    differ = [name for name in common if completion_of(first[name]) != completion_of(second[name])]
    sides = heads[0].path, heads[1].path
    random.Random(derive_seed(0, "blind", *sides)).shuffle(differ)
    plan = votes.Plan(sides, asked.votes)
    pairs = [pair for name in differ if (pair := _pair(first[name], second[name], sides)) is not None]
    task, name, added = desk.store.do(votes.make, pairs, plan)
    return schema.Blind(
        task=task,
        name=name,
        planned=plan.votes,
        items=len(added.ids),
        common=len(common),
        same=len(common) - len(differ),
        left_out=added.left_out,
        leaks=len(added.leaks),
    )


def _pair(first: Mapping[str, Any], second: Mapping[str, Any], sides: tuple[str, str]) -> Ranking | None:
    """Both answers to one question; None where it is no question that can be shown."""
    try:
        said = tuple(Message(role_of(message.role), message.content) for message in prompt_of(first))
    except DataError:
        return None
    if not said or said[-1].role != "user":
        return None
    prompt = Prompt(said)
    answers = [
        Completion(prompt, completion_of(row), finished=not flag_of(row, "unfinished"), source=source)
        for row, source in zip((first, second), sides, strict=True)
    ]
    return Ranking(prompt, tuple(answers), (1, 1))


def result(visit: Visit, asked: schema.BlindResultAsked) -> schema.BlindResult:
    """How a blind comparison ended; until the planned votes are there, how many there are and no more."""
    if not visit.desk.has_store:
        raise Refused(404, "there is no such task")
    with visit.desk.store.reading() as connection:
        task, _ = task_of(connection, asked.id)
        plan = votes.plan_of(connection, asked.id)
        if plan is None:
            raise NotTaken("not_found", f"{task.name} is no blind comparison")
        said = votes.counted(connection, asked.id, plan)
    found = None
    if len(said) >= plan.votes:
        found = _figures(visit, plan, votes.figures(said, plan))
    return schema.BlindResult(name=task.name, votes=len(said), planned=plan.votes, figures=found)


def _figures(visit: Visit, plan: votes.Plan, told: Mapping[str, Any]) -> schema.BlindFigures:
    seen = visit.desk.shelf.look()
    sides = []
    for path, won in zip(plan.sides, told["won"], strict=True):
        there = path in seen.heads
        name = seen.name_of(path) if there else text(path, 300)
        sides.append(schema.BlindSide(id=id_of(path) if there else None, name=name, won=won))
    named = {name: figure(name, told[name]) for name in ("rate", "equal", "first_seen", "longer")}
    shown = {name: one for name, one in named.items() if one is not None}
    return schema.BlindFigures(sides=sides, ties=told["ties"], **shown)
