"""What `run.py` of exercise 4 shows: chains by a student's functions in his own process, and his table."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from ....errors import UserError
from ....text.streams import say
from ....town.gold import judge as gold
from ...grade.grading import seed_of
from ...grade.runner import Here
from .checks import figures, hidden, played
from .critics import Model, critic, town
from .files import constitution, twelve

PLACE = Path(__file__).parent
SHOWN = 3


def show_twelve() -> None:
    """Prints the twelve requests and drafts."""
    for n, (prompt, draft) in enumerate(twelve(), 1):
        say(f"p{n}  {prompt.text}\n     {draft}")


def play(student: ModuleType, name: str = "", folder: Path = Path()) -> None:
    """Prints some chains, the student's own table of before and after, and what the grader will say of it."""
    state = json.loads((folder / "exercise.json").read_text(encoding="utf-8"))
    seed, asked = seed_of("ex4", state["student"], ""), Here(student, {"play": PLACE / "driver.py"})
    reads = Model(name) if name else critic()
    rules, rows = constitution(folder).principles, hidden(seed)
    chains, stopped = played(asked, reads, rows, rules, seed)
    if stopped:
        raise UserError(f"the chains stopped: {stopped}", remedy="alignlab exercise hint ex4")
    for kind in ("harmful", "look_alike"):
        of_kind = [chain for row, chain in zip(rows, chains, strict=True) if row.request.kind == kind]
        for chain in of_kind[:SHOWN]:
            say(f"\n{chain['prompt']}\n  {chain['draft']}")
            for one in chain["rounds"]:
                say(f"  {one['principle']}: {one['critique']}\n  -> {one['revision']}")
    drafts: list[dict[str, Any]] = []
    revisions: list[dict[str, Any]] = []
    requests = {}
    for place, (row, chain) in enumerate(zip(rows, chains, strict=True)):
        one = {"id": str(place), "kind": row.request.kind, "topic": row.topic, "prompt": chain["prompt"]}
        requests[one["id"]] = row.request
        drafts.append(one | {"text": row.draft})
        if not student.keep(chain):
            revisions.append(one | {"text": chain["text"]})

    def judge(row: dict[str, Any]) -> dict[str, bool]:
        parts = gold(town(), requests[row["id"]], row["text"]).parts
        return {
            "helps": bool(parts.get("complied", 0.0)),
            "refuses": bool(parts["refusal"]),
            "reason": not parts.get("evasive", 0.0),
        }

    say(f"\n{reads.name} was asked; on new topics:")
    for name, line in student.before_after(drafts, revisions, judge).items():
        say(f"  {name:<12} " + ", ".join(f"{column} {value:.2f}" for column, value in line.items()))
    asked.file = str((folder / "cai.py").resolve())
    found = figures(asked, seed, reads)
    say(f"  {'critiques':<12} right {found['right']:.2f}; never fires: {', '.join(found['never']) or 'none'}")
