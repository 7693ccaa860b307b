"""How far people agree on a task, where they differ, and what to ask them next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from ...records import Ranking
from ...votes import figures, people, selection, tasks
from ...votes.decisions import decide, decided
from ...votes.figures import Said
from ...votes.items import BY_CHANCE, SELECTED
from ...votes.learning import learning
from ...votes.power import power as power_of
from .. import paging, schema
from ..desk import Visit
from ..inside import text
from ..problems import Refused
from ..sources import scores_of
from .tasks import kind_in, persons, reading, said_in

PEOPLE = (*BY_CHANCE, *SELECTED)
"""Why an item is asked on which people may differ: not one whose answer is known, nor one that somebody is
asked again.
"""


def agreement(visit: Visit, asked: schema.FiguresAsked) -> schema.Agreement:
    """How far people agree, and what else decides."""
    votes = votes_for(visit, asked)
    found = figures.agreement(votes, why=whys(asked))
    shares = [found["shares"][name] for name in ("first", "tie", "second")]
    labels = sum(share > 0 for share in shares)
    even = sum(share * (1 - share) for share in shares) / (labels - 1) if labels > 1 else None
    return schema.Agreement(
        items=found["items"],
        votes=found["votes"],
        people=found["people"],
        **{name: s_of(found[name]) for name in ("alpha", "alpha_ordinal", "ac1", "kappa", "raw")},
        shares=found["shares"],
        chance_kappa=sum(share**2 for share in shares) if labels else None,
        chance_ac1=even,
        **{name: s_of(value) for name, value in figures.habits(votes).items()},
    )


def whys(asked: schema.FiguresAsked) -> tuple[str, ...]:
    """Why an item was asked, of what figures are made."""
    return (asked.why,) if asked.why else BY_CHANCE


def votes_for(visit: Visit, asked: schema.FiguresAsked) -> list[Said]:
    """The votes of a task that figures are asked of."""
    with reading(visit.desk) as connection:
        tasks.task_of(connection, asked.id)
        votes = figures.votes_of(connection, asked.id, group=asked.group)
    return [said for said in votes if asked.slice in ("", kind_in(said.asked.prompt))]


def s_of(found: Mapping[str, Any]) -> schema.S:
    """An S of the house."""
    low, high = found["ci"] or (None, None)
    return schema.S(mean=found["mean"], low=low, high=high, n=found["n"])


def annotators(visit: Visit, asked: schema.FiguresAsked) -> schema.Annotators:
    """Everybody in figures, and how often each two say the same."""
    votes = votes_for(visit, asked)
    with reading(visit.desk) as connection:
        called, everybody = people.pseudonyms(connection), persons(connection)
    by: dict[str, list[Said]] = defaultdict(list)
    for said in votes:
        by[said.annotator].append(said)
    rows = [annotator(person, by[person.id]) for person in everybody if person.id in by]
    matrix = [
        schema.Alike(a=called[each["a"]], b=called[each["b"]], same=each["same"], n=each["n"])
        for each in figures.matrix(votes, why=whys(asked))
    ]
    return schema.Annotators(rows=rows, matrix=matrix)


def annotator(person: schema.PersonRow, mine: Sequence[Said]) -> schema.AnnotatorRow:
    """Somebody by their votes."""
    habits = figures.habits(mine)
    took = [said.given["ms"] / 1000 for said in mine if said.given["ms"]]
    return schema.AnnotatorRow(
        id=person.id,
        called=person.called,
        name=person.name,
        groups=person.groups,
        votes=len(mine),
        left=s_of(habits["left"]),
        length=s_of(habits["length"]),
        repeats=s_of(habits["repeats"]),
        gold=s_of(habits["gold"]),
        seconds=median(took) if took else None,
    )


def disputes(visit: Visit, asked: schema.DisputesAsked) -> schema.Disputes:
    """Items on which people differ, and who said what, by pseudonym."""
    at = paging.read(asked.cursor, 0)
    votes = [said for said in votes_for(visit, asked) if said.why in (whys(asked) if asked.why else PEOPLE)]
    with reading(visit.desk) as connection:
        called, decisions = people.pseudonyms(connection), decided(connection, asked.id)
    by: dict[str, list[Said]] = defaultdict(list)
    for said in votes:
        by[said.item].append(said)
    found = figures.disputed(votes)
    shown, following = paging.page(found, asked.limit, at)
    rows = []
    for each in shown:
        mine, decision = by[each["item"]], decisions.get(each["item"])
        asked_of = mine[0].asked
        prompt, cut = said_in(asked_of)
        texts = [answer.text for answer in asked_of.completions]
        rows.append(
            schema.Dispute(
                item=each["item"],
                prompt=prompt,
                texts=[text(one, schema.CUT) for one in texts],
                cut=cut or any(len(one) > schema.CUT for one in texts),
                pairs=[
                    schema.PairVotes(first=pair["pair"][0], second=pair["pair"][1], votes=pair["votes"])
                    for pair in each["pairs"]
                ],
                voices=[voice(said, called[said.annotator]) for said in mine],
                decision=decision_row(decision.ranks, decision.note) if decision else None,
            )
        )
    return schema.Disputes(rows=rows, next=following, total=len(found), of=len(found), ready=True)


def decision_row(ranks: Sequence[int], note: str) -> schema.DecisionRow:
    return schema.DecisionRow(ranks=list(ranks), note=text(note))


def voice(said: Said, called: str) -> schema.Voice:
    """What somebody said of an item."""
    given = said.given
    return schema.Voice(
        called=called,
        ranks=said.ranks,
        strength=given.get("strength"),
        sure=given.get("sure"),
        flags=given["flags"],
        note=text(given["note"]),
        late=said.late,
    )


def power(visit: Visit, asked: schema.FiguresAsked) -> schema.Power:
    """How sure the figures are, and what more votes would tell."""
    votes = votes_for(visit, asked)
    found, curve = power_of(votes), learning(votes)
    share, alike = found["share"], found["agreement"]
    fitted = curve["fit"] or {"a": None, "b": None, "c": None}
    names = ("items", "votes", "half", "overlap", "correlation", "design_effect", "fresh")
    return schema.Power(
        share=schema.Share(
            **{name: share[name] for name in names}, needed=[schema.Needed(**row) for row in share["needed"]]
        ),
        agreement=schema.Alikeness(
            now=s_of(alike["now"]),
            half=alike["half"],
            needed=[schema.Needed(**row, apart=None) for row in alike["needed"]],
        ),
        curve=schema.Curve(
            points=[schema.Point(**point) for point in curve["points"]],
            **fitted,
            twice=curve["twice"],
            why=curve["why"],
        ),
        next=found["next"],
    )


def adjudicated(visit: Visit, asked: schema.Decided) -> schema.Changed:
    """Decide an item on which people differ."""
    visit.desk.store.do(decide, asked.id, visit.person, asked.item, asked.ranks, asked.note)
    return schema.Changed(changed=1, left_out={})


def select(visit: Visit, asked: schema.SelectAsked) -> schema.Changed:
    """Have items asked before others: uncertain, disputed, or what narrows the intervals."""
    with reading(visit.desk) as connection:
        tasks.task_of(connection, asked.id)
    scores = None
    if asked.how == "uncertain":
        scores = rewards(visit, asked.judge)
    found = visit.desk.store.do(selection.select, asked.id, asked.how, count=asked.count, scores=scores)
    return schema.Changed(changed=found.changed, left_out=found.left_out)


def rewards(visit: Visit, judge: str | None) -> selection.Scores:
    """What a reward model gave the answers of an item. Raises Refused: 422 without one."""
    if judge is None:
        remedy = "judge: the run of a reward model, or one in which it scored these answers"
        raise Refused(
            422, "which answers a reward model doubts, its scores say", remedy=remedy, field="judge"
        )
    known = scores_of(visit.desk, judge)

    def of(ranking: Ranking) -> list[float] | None:
        found = [known.get((ranking.prompt.id, answer.text)) for answer in ranking.completions]
        return None if None in found else [score for score in found if score is not None]

    return of
