"""Learning from votes: what there is to learn from, and what votes say of style at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...votes import figures, tasks
from ...votes.rankings import agreed, ceiling_of
from .. import schema
from ..desk import Visit
from ..heads import figure
from ..inside import text
from ..jobs.kinds import POLICIES, task_name

ALIGNED = ("ppo", "dpo")
MOST_RUNS = 100


def learn(visit: Visit, asked: schema.Nothing) -> schema.Learn:
    """Tasks with votes, models to begin with, and models that were aligned."""
    desk, seen = visit.desk, visit.desk.look_for_models()
    done = [head for head in seen.newest if head.status == "done"]
    return schema.Learn(
        tasks=_tasks(visit) if desk.has_store else [],
        models=[desk.row(seen, head) for head in done if head.stage in POLICIES][:MOST_RUNS],
        aligned=[desk.row(seen, head) for head in done if head.stage in ALIGNED][:MOST_RUNS],
    )


def _tasks(visit: Visit) -> list[schema.LearnTask]:
    found = []
    with visit.desk.store.reading() as connection:
        for name, id in tasks.tasks_of(connection).items():
            votes = figures.votes_of(connection, id)
            told = [said for said in votes if said.why not in ("gold", "repeat")]
            mode = tasks.task_of(connection, id)[0].mode
            people = len({said.annotator for said in told})
            found.append(schema.LearnTask(id=id, name=name, mode=mode, votes=len(told), people=people))
    return sorted(found, key=lambda task: (-task.votes, task.name))


def style(visit: Visit, asked: schema.StyleAsked) -> schema.Style:
    """What a task's votes say of style, at once."""
    from ...votes import style as manner  # scipy, which a start of the studio need not wait for

    task_name(visit.desk, asked.id)
    with visit.desk.store.reading() as connection:
        votes = figures.votes_of(connection, asked.id)
    found = manner.style(votes, turned=asked.turned or "")
    said, alike = {each.id: each for each in votes}, agreed(votes)
    return schema.Style(
        **{name: found[name] for name in ("votes", "items", "pairs", "enough", "exact")},
        fewest=manner.FEWEST,
        features=[schema.Feature(**row | {"wins": _share(row["wins"])}) for row in found["features"]],
        right=_share(found["right"]),
        longer=_share(found["longer"]),
        alike=alike,
        ceiling=None if alike is None else ceiling_of(alike),
        people=[
            schema.PersonsStyle(annotator=row["annotator"], longer=_share(row["longer"]))
            for row in found["people"]
        ],
        weightiest=[_weighty(row, said[row["vote"]]) for row in found["weightiest"]],
    )


def _share(found: Mapping[str, Any]) -> schema.Figure:
    return figure("", found) or schema.Figure(name="", value=None, n=0)


def _weighty(row: Mapping[str, Any], said: figures.Said) -> schema.Weighty:
    return schema.Weighty(
        **{name: row[name] for name in ("vote", "annotator", "by", "feature", "without")},
        prompt=[
            schema.Said(role=text(message.role), content=text(message.content, schema.CUT))
            for message in said.asked.prompt.messages
        ],
        answers=[text(completion.text, schema.CUT) for completion in said.asked.completions],
        ranks=said.ranks,
    )
