"""What goes out of the store of votes, and what comes in: runs, files, copies, and whether it is whole."""

from __future__ import annotations

import hashlib
import re
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import func, select
from starlette.responses import Response

from ...errors import ResourceError, UserError
from ...settings import VotesSettings
from ...stages.votes import vote_rankings
from ...votes import chain, exchange, tasks
from ...votes import errors as votes
from ...votes import schema as tables
from ...votes.store import audit as audit_of
from .. import schema
from ..desk import Visit
from ..guard import FILE
from ..inside import text
from ..problems import Refused
from ..scan import id_of
from .tasks import AT_ONCE, leaks_of, reading

SNAPSHOTS = "studio/snapshots"
BACKUPS = "studio/backups"
_naming = threading.Lock()  # of snapshots and backups, which are numbered


def snapshot(visit: Visit, asked: schema.SnapshotAsked) -> schema.Snapshot:
    """The votes of a task as a run of `collect`, as `alignlab collect --kind votes` makes it; what is held
    out is the task's.
    """
    root = visit.desk.inside.root
    with reading(visit.desk) as connection:
        name = tasks.task_of(connection, asked.id)[0].name
    with _naming, plainly():
        path = _free(root, f"{SNAPSHOTS}/{plain(name)}", "")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        made = vote_rankings(
            task=name,
            folder=str(root),
            out=root / path,
            seed=asked.seed,
            resume=False,
            settings=VotesSettings(merge=asked.merge, group=asked.group),
        )
        data = (root / path / "data" / "rankings.jsonl").read_bytes()
    visit.desk.shelf.look(fresh=0)
    return schema.Snapshot(
        run=id_of(path),
        path=text(str(root / path)),
        said=text(made["text"]),
        sha256=hashlib.sha256(data).hexdigest(),
        head=made["summary"]["head"],
        commands=commands(visit, path),
    )


def commands(visit: Visit, path: str) -> list[str]:
    """What goes on from a snapshot, for the newest supervised model of the folder."""
    root, seen = visit.desk.inside.root, visit.desk.shelf.look()
    start = next((head.path for head in seen.newest if (head.stage, head.status) == ("sft", "done")), None)
    model = shlex.quote(str(root / start)) if start else "town"
    data, last = shlex.quote(str(root / path)), path.rpartition("/")[2]
    return [
        f"alignlab {stage} --model {model} --data {data} --out {shlex.quote(str(root / f'{stage}-{last}'))}"
        for stage in ("reward", "dpo", "kto")
    ]


def plain(name: str) -> str:
    """A task's name as a file's."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "task"


def _free(root: Path, path: str, ending: str) -> str:
    """The path with a number that none has yet, not even half made."""
    taken = (f"{path}-{n}" for n in count(1))
    return next(
        one + ending
        for one in taken
        if not (root / f"{one}{ending}").exists() and not (root / f"{one}{ending}.partial").exists()
    )


@contextmanager
def plainly(hidden: Path | None = None) -> Iterator[None]:
    """What the house refuses about what was asked is 422, and not that the studio is at fault. The path of a
    file that nobody knows of is left out.
    """

    def said(words: str) -> str:
        return words.replace(str(hidden), "the file") if hidden else words

    try:
        yield
    except (votes.Refused, votes.NotSaved, ResourceError):
        raise
    except UserError as error:
        raise Refused(422, said(error.what), where=said(error.where), remedy=said(error.remedy)) from None


def exported(visit: Visit, asked: schema.ExportAsked) -> Response:
    """The votes of a task as a file in a format, or the card that belongs to it."""
    with reading(visit.desk) as connection, TemporaryDirectory() as folder:
        name = tasks.task_of(connection, asked.id)[0].name
        out = Path(folder) / f"{plain(name)}-{plain(asked.format)}.{asked.ending}"
        with plainly(out):
            exchange.write_votes(
                connection, name, out, format=asked.format, merge=asked.merge, group=asked.group
            )
        if asked.part == "card":
            out = out.with_name(f"{out.name}.card.json")
        body = out.read_bytes()
    told = {"Content-Disposition": f'attachment; filename="{out.name}"'}
    return Response(body, headers=told, media_type=FILE)


def imported(visit: Visit, asked: schema.ImportAsked) -> schema.Imported:
    """Items of a file for a task, with the votes that are in it where that is asked for; what the task has
    already is passed over, so that the same file may be sent again.
    """
    store, file = visit.desk.store, visit.file
    with reading(visit.desk) as connection:
        name = tasks.task_of(connection, asked.id)[0].name
    with plainly(file):
        if not file.stat().st_size:
            raise Refused(422, "the file is empty")
        rankings, said = exchange.read_rankings(file)
        whole = exchange.Taken(name)
        for place in range(0, len(rankings), AT_ONCE):
            some = rankings[place : place + AT_ONCE]
            whole.add(store.do(exchange.take_in, name, some, votes=asked.votes, gold=asked.gold))
    return schema.Imported(
        items=len(whole.added.ids),
        votes=whole.votes,
        left_out=whole.added.left_out,
        leaks=leaks_of(whole.added),
        said=text(said.replace(str(file), "the file"), schema.CUT),
    )


def backup(visit: Visit, asked: schema.Nothing) -> schema.Backup:
    """A whole copy of the store, checked, below the folder."""
    root, day = visit.desk.inside.root, time.strftime("%Y-%m-%d")
    with reading(visit.desk):
        pass
    with _naming, plainly():
        (root / BACKUPS).mkdir(parents=True, exist_ok=True)
        path = _free(root, f"{BACKUPS}/votes-{day}", ".db")
        verdict = visit.desk.store.backup(root / path)
        with open(root / path, "rb") as copied:
            digest = hashlib.file_digest(copied, "sha256").hexdigest()
    return schema.Backup(file=path, sha256=digest, events=verdict.events, head=str(verdict.head))


def audit(visit: Visit, asked: schema.Nothing) -> schema.Audit:
    """Whether the history of the votes is whole."""
    if not visit.desk.has_store:
        head = str(chain.Head())
        return schema.Audit(events=0, votes=0, erased=0, head=head, whole=True, first_bad=None, what="")
    with reading(visit.desk) as connection:
        verdict = audit_of(connection)
        counted = connection.execute(select(func.count()).select_from(tables.vote)).scalar_one()
    return schema.Audit(
        events=verdict.events,
        votes=counted,
        erased=verdict.erased,
        head=str(verdict.head),
        whole=verdict.whole,
        first_bad=verdict.first_bad,
        what=text(verdict.what),
    )
