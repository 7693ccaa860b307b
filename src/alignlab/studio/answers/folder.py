"""Pages in the folder, the studio itself, and what is told as it happens."""

from __future__ import annotations

import html
import os
import re
import time
from pathlib import PurePosixPath

from starlette.responses import Response, StreamingResponse

from ... import __version__
from .. import events, openapi, schema
from ..desk import Visit, reference
from ..guard import SANDBOX
from ..inside import text
from ..problems import Refused
from ..scan import id_of
from ..shelf import Seen

MOST_PAGE = 2**26  # bytes of a page
HEAD = 4096  # bytes in which its title is looked for


def pages(visit: Visit, asked: schema.Nothing) -> schema.Pages:
    """Reports and other pages that lie in the folder, the newest first."""
    seen = visit.desk.shelf.look()
    rows = [row for path in seen.found.pages if (row := _page(visit, seen, path)) is not None]
    return schema.Pages(rows=sorted(rows, key=lambda row: (-row.changed, row.path)))


def _page(visit: Visit, seen: Seen, path: str) -> schema.PageRow | None:
    """None: it is gone, or cannot be read."""
    try:
        with visit.desk.inside.binary(path) as file:
            at, head = os.fstat(file.fileno()), file.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return None
    title = re.search(r"<title>([^<]{1,300})</title>", head)
    parent = str(PurePosixPath(path).parent)
    run = next((run for run, found in seen.heads.items() if found.folder == parent), None)
    return schema.PageRow(
        id=id_of(path),
        title=html.unescape(title[1]).strip() if title else text(PurePosixPath(path).name, 300),
        path=text(path),
        run=reference(seen, run) if run is not None else None,
        bytes=at.st_size,
        changed=at.st_mtime,
    )


def page(visit: Visit, asked: schema.PageAsked) -> Response:
    """One of them: it runs nothing, loads nothing and is of no origin."""
    path = next((path for path in visit.desk.shelf.look().found.pages if id_of(path) == asked.id), None)
    try:
        if path is None:
            raise Refused(404, "there is no such page any more")
        with visit.desk.inside.binary(path) as file:
            body = file.read(MOST_PAGE + 1)
    except OSError:
        raise Refused(404, "there is no such page any more") from None
    if len(body) > MOST_PAGE:
        raise Refused(413, f"the page is longer than {MOST_PAGE:,} bytes", remedy="open it from the disk")
    return Response(body, headers={"Content-Security-Policy": SANDBOX}, media_type="text/html")


def health(visit: Visit, asked: schema.Nothing) -> schema.Health:
    """How the studio itself is."""
    desk, seen = visit.desk, visit.desk.shelf.look()
    try:
        at = os.statvfs(desk.inside.root)
        free = at.f_bavail * at.f_frsize
    except OSError:
        free = None
    return schema.Health(
        version=__version__,
        boot=desk.boot,
        seconds=time.monotonic() - desk.since,
        folder=text(str(desk.inside.root)),
        there=free is not None,
        runs=len(seen.own),
        running=sum(head.status == "running" for head in seen.heads.values()),
        watched=len(desk.watch),
        disk_free=free,
    )


def described(visit: Visit, asked: schema.Nothing) -> Response:
    """This document."""
    return Response(openapi.text(visit.rows), media_type="application/json")


async def told(visit: Visit, asked: schema.EventsAsked) -> Response:
    """What has grown, as it grows."""
    topics = events.topics_of(asked.topics, visit.desk.shelf.look().find, visit.desk.task)
    lines = await visit.desk.hub.stream(topics, visit.last)
    return StreamingResponse(lines, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
