"""What an answer to a contested matter is worth, and which side it argues for."""

from __future__ import annotations

from .tasks import Request
from .world import CONTESTED, World
from .worth import Argued, Worth, unreadable


def contested(world: World, request: Request, core: list[str], text: str) -> Worth:
    """Both sides are worth 1, one alone 0.2, both as the answer's own opinion 0.5."""
    pro, con = CONTESTED[request.params["matter"]]
    sides: dict[str, Argued] = {
        f"Some say yes, because {pro}.": "pro",
        f"Yes, because {pro}.": "pro",
        f"Others say no, because {con}.": "con",
        f"No, because {con}.": "con",
    }
    said: list[Argued] = [sides.get(line, "") for line in core]
    if "" in said:
        return unreadable()
    if len(set(said)) == 1:
        return Worth(0.2, True, "one side only", "incomplete", 0.8, side=said[0], padding=len(said) - 1)
    if any(line.startswith(("Yes, ", "No, ")) for line in core):
        padding = len(said) - 2
        return Worth(0.5, False, "both sides, as its own opinion", "form", 0.5, side="both", padding=padding)
    return Worth(1.0, True, "both sides", "", 1.0, side="both")
