"""What constitutions did: walks, ablations, two versions beside each other."""

from __future__ import annotations

from .. import schema
from ..desk import Visit, reference
from ..heads import Head, as_table
from ..inside import text
from ..problems import Refused
from ..scan import below, id_of
from ..shelf import Seen
from ..walks import (
    CHAINS,
    MOST_WALKED,
    left_out,
    lines_of,
    row_of_run,
    row_of_walk,
    versions,
    walk_document,
    walked,
)

MOST_ROWS = 100  # of each list


def walks(visit: Visit, asked: schema.Nothing) -> schema.Walks:
    """Drafts criticised by a constitution, ablations, and two constitutions beside each other."""
    desk, seen = visit.desk, visit.desk.shelf.look()
    rows = [row_of_run(head) for head in seen.newest if head.stage == "revise" and head.status == "done"]
    for page in seen.found.pages:
        if (found := walk_document(desk.inside, page)) is not None:
            rows.append(row_of_walk(page, *found))
    return schema.Walks(
        rows=sorted(rows, key=lambda row: (-row.changed_at, row.name))[:MOST_ROWS],
        ablations=[
            schema.Ablation(
                run=reference(seen, head.path),
                digest=text(as_table(head.config.get("options")).get("constitution"), 100),
                principles=left_out(head),
            )
            for head in _done(seen, "ablate")
        ],
        versions=[versions(desk.inside, head, reference(seen, head.path)) for head in _done(seen, "diff")],
    )


def _done(seen: Seen, stage: str) -> list[Head]:
    return [head for head in seen.newest if head.stage == stage and head.status == "done"][:MOST_ROWS]


def walk(visit: Visit, asked: schema.WalkAsked) -> schema.Walk:
    """One of them: each prompt with its draft, critiques and revision."""
    desk, seen = visit.desk, visit.desk.shelf.look()
    page = next((page for page in seen.found.pages if id_of(page) == asked.id), None)
    found = walk_document(desk.inside, page) if page is not None else None
    if page is not None and found is not None:
        table = found[0].get("rows")
        rows = table if isinstance(table, list) else []
        return schema.Walk(**dict(row_of_walk(page, *found)), rows=walked(rows), of=len(rows))
    head = seen.heads.get(seen.ids.get(asked.id, ""))
    if head is None or head.stage != "revise":
        raise Refused(404, "there is no such walk any more", field="id")
    lines = lines_of(desk.inside, below(head.folder, CHAINS), MOST_WALKED)
    return schema.Walk(**dict(row_of_run(head)), rows=walked(lines.kept), of=lines.count)
