"""Dossiers: four statements about somebody, each of which can be looked up by itself."""

from __future__ import annotations

from . import language as say
from .tasks import Request
from .world import World
from .worth import Worth, holds, unreadable

STATEMENTS = 4


def clauses(world: World, person: str, lines: list[str]) -> list[tuple[say.Fact, bool]] | None:
    """What sentences state of a person, in order, and whether it holds; None if one of them says anything
    else.
    """
    facts = say.read_facts(lines)
    if facts is None or any(fact.subject != person for fact in facts):
        return None
    return [(fact, holds(world, fact)) for fact in facts]


def dossier(world: World, request: Request, core: list[str], text: str) -> Worth:
    """The share of the four that is there and right; half of that where more were given. What is said again
    is padding.
    """
    read = clauses(world, request.params["subject"], core)
    if read is None:
        return unreadable()
    different = dict(read)
    given, right = len(different), sum(different.values())
    content, looks, cause = right / STATEMENTS, given / STATEMENTS, "incomplete"
    if given > STATEMENTS:
        content, looks, cause = 0.5 * right / given, 0.5, "form"
    if right < given:
        cause = "wrong"
    elif given == STATEMENTS:
        cause = ""
    return Worth(
        content,
        given <= STATEMENTS,
        f"{right} of {given} statements right",
        cause,
        looks,
        padding=len(read) - given,
        parts={"clauses": float(given), "right_clauses": float(right)},
    )
