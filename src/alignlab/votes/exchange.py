"""Votes into files that others read, and files of others into a task.

Formats are those of `data.layouts`; `records` holds everything, and comes back byte for byte. `votes` is a
table of one row a vote. Beside each file lies a card (FILE.card.json): what was counted, how far people
agree, the guidelines they read, the head of the history, and the file's SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from sqlalchemy import Connection, select

from ..data.read import load_records
from ..data.write import WRITERS, write
from ..errors import DataError, UserError
from ..records import Ranking
from ..run import check_file, whole_file, write_document
from . import figures, fold, schema
from .blind import check_open
from .chain import sha256
from .decisions import decided
from .errors import Refused
from .figures import Said
from .items import Added, add_item
from .people import known_as
from .rankings import Merge, records_of
from .tasks import MODES, Mode, Task, add_task, guidelines_of, task_named, task_of, tasks_of
from .voting import BEST, STRONGEST
from .writer import Transaction, head_of

MOST_BYTES = 64 * 2**20
"""Of a file that is read."""
NOBODY = "nobody"
"""Whoever ranked in a file that does not say."""


def write_votes(
    connection: Connection,
    task: str,
    out: Path,
    *,
    format: str = "records",
    merge: str = "none",
    group: str = "",
    overwrite: bool = False,
) -> dict[str, Any]:
    """The votes of a task into a file, with its card.

    Args:
        task: its name.

    Raises:
        UserError: no such format, merge or ending, or the file is there. DataError: no such task, nothing to
            write, a blind comparison that is not over. ResourceError: no room.
    """
    if merge not in get_args(Merge):
        raise UserError(f"there is no merge {merge!r:.40}", remedy=f"one of: {', '.join(get_args(Merge))}")
    id = task_named(connection, task)
    check_open(connection, id)
    votes = figures.votes_of(connection, id, group=group)
    card_file = out.with_name(f"{out.name}.card.json")
    check_file(card_file, ours=lambda _: overwrite)
    if format == "votes":
        said = _write_table(votes, out, overwrite=overwrite)
    else:
        made = records_of(votes, merge, decided(connection, id))  # type: ignore[arg-type]
        if not made.rankings:
            raise DataError("there is no vote to write", where=task, remedy="alignlab studio, and vote")
        report = write(made.rankings, out, format=format, overwrite=overwrite)
        said = report.to_json() | {"votes_left_out": made.left_out}
    card = {
        "schema": 1,
        "task": task,
        "format": format,
        "merge": merge,
        "group": group,
        "votes": len(votes),
        "counts": said,
        "agreement": figures.agreement(votes),
        "guidelines": guidelines_of(connection, id),
        "head": str(head_of(connection)),
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }
    write_document(card_file, card)
    return {"file": str(out), "card": card, "text": f"{out}: {len(votes)} votes as {format}\n{card_file}"}


def _write_table(votes: Sequence[Said], out: Path, *, overwrite: bool) -> dict[str, Any]:
    if out.suffix not in WRITERS:
        raise UserError(
            f"cannot write a file ending in {out.suffix or 'nothing'}", remedy=f"{', '.join(WRITERS)}"
        )
    check_file(out, ours=lambda _: overwrite)
    if not votes:
        raise DataError("there is no vote to write", where=str(out), remedy="alignlab studio, and vote")
    with whole_file(out) as staging, open(staging, "wb") as file:
        WRITERS[out.suffix]([_flat(said) for said in votes], file)
    return {"read": len(votes), "written": len(votes)}


def _flat(said: Said) -> dict[str, Any]:
    """One vote as a row of a table, its answers in the order of the item."""
    given = said.given
    return {
        "vote": said.id,
        "item": said.item,
        "prompt": said.asked.prompt.text,
        "annotator": said.annotator,
        "why": said.why,
        "side": said.side,
        "late": said.late,
        "ranks": _listed(said.ranks),
        "strength": given.get("strength"),
        "rating": _listed(given.get("rating", [])),
        "text": given.get("text"),
        "both_bad": given["both_bad"],
        "flags": " ".join(given["flags"]),
        "seen": _listed(given["order"]),
        "sure": given.get("sure"),
        "note": given["note"],
        "ms": given["ms"],
        "guideline": given["guideline"],
    }


def _listed(values: Sequence[int | None]) -> str:
    return " ".join("-" if value is None else str(value) for value in values)


# --- in


def read_rankings(file: Path) -> tuple[list[Ranking], str]:
    """The rankings of a file in any format that `data` reads, or of a run, held-out ones included; and what
    became of the rows.

    Raises:
        DataError: the file is larger than 64 MB, broken, or holds none.
    """
    if file.is_file() and (size := file.stat().st_size) > MOST_BYTES:
        raise DataError(
            f"the file has {size / 2**20:,.0f} MB, and {MOST_BYTES // 2**20} are read at once",
            where=str(file),
            remedy="split it: an item that a task has already is passed over",
        )
    held_out = file / "data" / "rankings_test.jsonl"
    splits = ["train"]
    if held_out.is_file() and held_out.stat().st_size:
        splits.append("test")
    loaded = [load_records(file, "ranking", split=split) for split in splits]
    reports = "\n".join(str(part.report) for part in loaded)
    return [ranking for part in loaded for ranking in part.records], reports


@dataclass
class Taken:
    """What became of a file: its items, and the votes that were new."""

    task: str
    added: Added = field(default_factory=Added)
    votes: int = 0

    def add(self, more: Taken) -> None:
        """What became of another part of the same file."""
        self.added.ids += more.added.ids
        self.added.leaks += more.added.leaks
        for why, count in more.added.left_out.items():
            self.added.left_out[why] = self.added.left_out.get(why, 0) + count
        self.votes += more.votes

    def to_json(self) -> dict[str, Any]:
        left_out, leaks = self.added.left_out, self.added.leaks
        return {"task": self.task, "items": len(self.added.ids), "votes": self.votes} | {
            "left_out": left_out,
            "leaks": [list(leak) for leak in leaks],
        }

    def __str__(self) -> str:
        text = f"{len(self.added.ids)} items, {self.votes} votes"
        if self.added.left_out:
            text += "; left out: " + ", ".join(f"{n} ({why})" for why, n in self.added.left_out.items())
        if self.added.leaks:
            text += f"; {len(self.added.leaks)} answers say who wrote them"
        return text


def take_in(
    transaction: Transaction,
    name: str,
    rankings: Sequence[Ranking],
    *,
    mode: str = "ranking",
    votes: bool = False,
    gold: bool = False,
) -> Taken:
    """Rankings as items of a task, which is made if there is none of the name; with `votes` also as votes of
    their annotators, each once however often it is taken in.

    Raises:
        Refused: a mode that there is not, votes that are no votes of the task's mode.
    """
    if mode not in MODES:
        raise Refused("invalid", f"there is no mode {mode!r:.40}", remedy=", ".join(MODES))
    if votes and gold:
        raise Refused("invalid", "the rankings of a file are votes, or the truth, and not both")
    id = tasks_of(transaction.connection).get(name)
    if id is None:
        kind: Mode = mode  # type: ignore[assignment]
        id = add_task(transaction, Task(name=name, mode=kind))
    settings, _ = task_of(transaction.connection, id)
    taken = Taken(name)
    for ranking in rankings:
        found = add_item(transaction, id, settings, ranking, taken.added, gold=gold)
        if votes and found:
            taken.votes += _vote(transaction, settings, id, *found)
    return taken


def _vote(transaction: Transaction, settings: Task, task: str, item: str, ranking: Ranking) -> bool:
    """A ranking of an item as the vote of its annotator; whether it was new."""
    person = known_as(transaction, ranking.annotator or NOBODY)
    given = _given(ranking, settings.mode)
    id = "import-" + sha256(item, person, given)[:32]
    if transaction.execute(select(schema.event.c.seq).where(schema.event.c.id == id)).first():
        return False
    payload = {"given": given, "why": "random", "late": 0}
    made = transaction.append(id, "vote", payload, actor=person, task=task, item=item)
    fold.apply(transaction.connection, made)
    return True


def _given(ranking: Ranking, mode: Mode) -> dict[str, Any]:
    """What a ranking's annotator has said, as a vote of this mode."""
    meta = ranking.meta
    given: dict[str, Any] = {"order": list(range(len(ranking.ranks))), "both_bad": bool(meta.get("both_bad"))}
    unsafe = [place for place, safe in enumerate(meta.get("safe", ())) if safe is False]
    given |= {"flags": [f"unsafe:{place}" for place in unsafe], "note": "", "ms": 0, "guideline": 0}
    if mode == "ranking":
        return given | {"ranks": list(ranking.ranks)}
    if mode == "rating" and _ratings(meta.get("scores")):
        return given | {"rating": list(meta["scores"])}
    if mode in ("pair", "harm"):
        first, second = meta.get("safer", ranking.ranks)[::-1] if mode == "harm" else ranking.ranks
        strength = meta.get("margin", 1)
        if strength not in range(1, STRONGEST + 1):
            strength = 1
        given["strength"] = int(strength) * ((first > second) - (first < second))
        return given | ({"harm": True} if mode == "harm" else {})
    raise Refused(
        "invalid", f"a ranking of a file is no vote of mode {mode}", remedy="import it without --votes"
    )


def _ratings(scores: Any) -> bool:
    return isinstance(scores, list) and all(isinstance(x, int) and 1 <= x <= BEST for x in scores)
