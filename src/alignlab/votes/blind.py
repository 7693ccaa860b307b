"""Blind comparisons of two sources: votes that are planned beforehand, and names that are told once they are
there, neither sooner nor by another's count.

The plan is an event of the history, made before the first vote. Whoever looked at a rate vote by vote and
stopped when they liked it would find a difference where there is none.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from ..errors import DataError
from ..evals.logistic import curvature_and_slope, logistic, sigmoid
from ..evals.statistics import Z, win_rate
from ..records import Ranking
from . import fold, schema
from .errors import Refused
from .figures import Said, votes_of
from .items import BY_CHANCE, Added, add_item
from .tasks import Task, add_task, new_id, task_of, tasks_of
from .writer import Transaction

SPARE = 10  # one item more for each so many planned votes: some items are skipped
PRIOR = 2.0  # standard deviation of each coefficient, in log-odds: what keeps 60 of 60 finite


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided before the first vote.

    Attributes:
        sides: the two sources, first and second. Which of an item's answers is whose is drawn for each item.
        votes: that are counted; further ones are not.
    """

    sides: tuple[str, str]
    votes: int

    def second(self, asked: Ranking) -> int:
        """The place of the second side's answer."""
        return int(asked.completions[1].source == self.sides[1])


def make(transaction: Transaction, rankings: Sequence[Ranking], plan: Plan) -> tuple[str, str, Added]:
    """A task of these pairs, in a random order; its id, its name, which says nothing, and what became of the
    pairs.

    Args:
        rankings: pairs of answers by `plan.sides`, in any order; of more than the plan needs, the first.

    Raises:
        Refused: invalid, fewer than the plan needs.
    """
    taken = tasks_of(transaction.connection)
    name = next(name for k in range(1, len(taken) + 2) if (name := f"Blind A/B {k}") not in taken)
    task = Task(name=name, mode="pair", random_share=1.0, held_out=0.0)
    id = add_task(transaction, task)
    most = plan.votes + math.ceil(plan.votes / SPARE)
    added = Added()
    for ranking in rankings:
        if len(added.ids) < most:
            order = [0, 1] if secrets.randbits(1) else [1, 0]  # no figure of the task says which side wins
            add_item(transaction, id, task, ranking.only(order), added)
    if len(added.ids) < plan.votes:
        raise Refused(
            "invalid",
            f"{plan.votes} votes are planned, and {len(added.ids)} pairs can be asked",
            remedy="plan fewer, or evaluate both on more prompts",
        )
    transaction.append(new_id(), "task", {"blind": asdict(plan)}, task=id)
    return id, name, added


def plan_of(connection: Connection, task: str) -> Plan | None:
    """The plan of a blind comparison; None for any other task."""
    events = select(schema.event.c.payload).where(schema.event.c.task == task, schema.event.c.kind == "task")
    for payload in connection.execute(events.order_by(schema.event.c.seq)).scalars():
        if "blind" in (said := json.loads(payload)):
            first, second = said["blind"]["sides"]
            return Plan((first, second), said["blind"]["votes"])
    return None


def counted(connection: Connection, task: str, plan: Plan) -> list[Said]:
    """The votes that count, the first that were planned."""
    votes = [said for said in votes_of(connection, task) if said.why in BY_CHANCE]
    return sorted(votes, key=lambda said: said.seq)[: plan.votes]


def check_open(connection: Connection, task: str) -> None:
    """Raises DataError for a task of which nobody may be told who wrote what yet: a blind comparison whose
    planned votes are not there.
    """
    plan = plan_of(connection, task)
    if plan is not None and (there := len(counted(connection, task, plan))) < plan.votes:
        raise DataError(
            f"{there} of {plan.votes} votes of a blind comparison are there, and its names wait for all",
            where=task_of(connection, task)[0].name,
            remedy="the rest of the votes",
        )


def figures(votes: Sequence[Said], plan: Plan) -> dict[str, Any]:
    """What votes on pairs say of the second side against the first.

    Returns:
        won: votes for the first and for the second; ties. S: rate, how often the second is preferred, a tie
            being half; and from a logistic model of it (log-odds = a + b place + c length, place 1 where the
            second is seen first, else -1, length in doublings): equal, the rate by a alone; first_seen, of
            equals the rate of the answer that is seen first; longer, of equals that of one twice as long.
            Coefficients have a normal prior of standard deviation `PRIOR`; their intervals are those of the
            normal distribution at the maximum (Laplace's approximation).
    """
    seconds = [plan.second(said.asked) for said in votes]
    signs = [
        sign if second else -sign
        for said, second in zip(votes, seconds, strict=True)
        for _, _, sign in said.pairs()
    ]
    preferred = [(1 + sign) / 2 for sign in signs]
    places = [
        1.0 if said.given["order"][0] == second else -1.0 for said, second in zip(votes, seconds, strict=True)
    ]
    lengths = [_doublings(said.asked, second) for said, second in zip(votes, seconds, strict=True)]
    columns = [[1.0] * len(votes), places, lengths]
    equal, first_seen, longer = _fitted(np.array(columns).T, np.array(preferred))
    return {
        "won": [signs.count(-1), signs.count(1)],
        "ties": signs.count(0),
        "rate": win_rate(preferred, [0.5] * len(votes), prompts=[said.item for said in votes]),
        "equal": equal,
        "first_seen": first_seen,
        "longer": longer,
    }


def _doublings(asked: Ranking, second: int) -> float:
    """By how many doublings the second side's answer is longer, in words."""
    words = [max(1, len(completion.text.split())) for completion in asked.completions]
    return math.log2(words[second] / words[1 - second])


def _fitted(x_NK: np.ndarray, y_N: np.ndarray) -> list[dict[str, Any]]:
    """S of the rate that each of K coefficients of a logistic model of y stands for; intervals by Laplace."""
    beta_K = logistic(x_NK, y_N, prior=PRIOR)
    curvature_KK, _ = curvature_and_slope(x_NK, y_N, beta_K, prior=PRIOR)
    half_K = Z * np.sqrt(np.diag(np.linalg.inv(curvature_KK)))
    low, mean, high = map(sigmoid, (beta_K - half_K, beta_K, beta_K + half_K))
    return [
        {"mean": float(mean[k]), "ci": [float(low[k]), float(high[k])], "n": len(y_N)}
        for k in range(len(beta_K))
    ]


def choose(
    transaction: Transaction, person: str, task: str, ranking: Ranking, *, strength: int, order: Sequence[int]
) -> int:
    """A choice between two answers that somebody saw elsewhere, as a vote of a task of pairs; the number of
    its event.

    Args:
        strength: below 0 for the first answer of the ranking. order: the places as they were seen.

    Raises:
        Refused: not_found, closed or of another mode, answers that cannot be compared.
    """
    settings, state = task_of(transaction.connection, task)
    if settings.mode != "pair" or state != "open" or plan_of(transaction.connection, task):
        raise Refused(
            "invalid", "the task takes no choice: it is closed, or does not ask which of two is better"
        )
    added = Added()
    found = add_item(transaction, task, settings, ranking, added)
    if found is None:
        raise Refused("invalid", f"the choice is no vote: {', '.join(added.left_out)}")
    given = {"order": list(order), "both_bad": False, "strength": strength, "flags": [], "note": ""}
    payload = {"given": given | {"ms": 0, "guideline": 0}, "why": "random", "late": 0}
    made = transaction.append(new_id(), "vote", payload, actor=person, task=task, item=found[0])
    fold.apply(transaction.connection, made)
    return made["seq"]
