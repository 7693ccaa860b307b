"""`alignlab studio audit | backup | export | import`: what is done to a store without its pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from ..errors import UserError
from ..run import check_file
from . import chain, exchange, schema
from .database import FILE, Database, url_of_store
from .store import Store, audit, backup_of, read_store, studio_folder


def audit_command(*, folder: str, head: str, rebuild: bool) -> dict[str, Any]:
    """Whether the history of the store is whole, and its votes what it says; exit code 5 if not."""
    at = studio_folder(Path(folder))
    known = chain.Head.parse(head) if head else None
    if rebuild:
        with Store.open(at) as store:
            store.rebuild()
    with read_store(at) as connection:
        verdict = audit(connection, known=known)
        votes = connection.execute(select(func.count()).select_from(schema.vote)).scalar_one()
    text = f"{verdict.events:,} events, {votes:,} votes, {verdict.erased} texts erased: "
    if verdict.whole:
        text += f"whole\nhead {verdict.head}"
    else:
        text += f"broken at event {verdict.first_bad}: {verdict.what}"
    return {
        "exit_code": 0 if verdict.whole else 5,
        "whole": verdict.whole,
        "events": verdict.events,
        "votes": votes,
        "erased": verdict.erased,
        "head": str(verdict.head),
        "first_bad": verdict.first_bad,
        "what": verdict.what,
        "text": text,
    }


def backup_command(*, folder: str, file: str) -> dict[str, Any]:
    """A whole copy of the store, checked; the store may be open elsewhere."""
    if not file:
        raise UserError("a backup needs a file", remedy="alignlab studio backup FILE.db")
    out = Path(file)
    check_file(out, option="name")
    database = Database(studio_folder(Path(folder)) / FILE, url_of_store())
    try:
        verdict = backup_of(database, out)
    finally:
        database.close()
    return {
        "file": str(out),
        "events": verdict.events,
        "head": str(verdict.head),
        "text": f"{out}: {verdict.events:,} events, whole\nhead {verdict.head}",
    }


def export_command(
    *, folder: str, task: str, format: str, out: str, merge: str, group: str, overwrite: bool
) -> dict[str, Any]:
    """A task's votes into a file that others read, with a card beside it."""
    if not task or not out:
        raise UserError(
            "export needs a task and a file", remedy="alignlab studio export --task T --out FILE.jsonl"
        )
    with read_store(studio_folder(Path(folder))) as connection:
        return exchange.write_votes(
            connection, task, Path(out), format=format, merge=merge, group=group, overwrite=overwrite
        )


def import_command(
    *, folder: str, file: str, task: str, mode: str, votes: bool, gold: bool
) -> dict[str, Any]:
    """Items of a file for a task, which is made if there is none of the name; with the votes that are
    in it.
    """
    if not task or not file:
        raise UserError("import needs a file and a task", remedy="alignlab studio import FILE --task T")
    rankings, said = exchange.read_rankings(Path(file))
    with Store.open(studio_folder(Path(folder))) as store:
        taken = store.do(exchange.take_in, task, rankings, mode=mode, votes=votes, gold=gold)
    return {**taken.to_json(), "text": f"{said}\n{taken}"}
