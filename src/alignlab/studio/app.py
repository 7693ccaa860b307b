"""The table as an application: who asks is looked at first, then what is asked, and then it is answered."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from ..errors import UserError
from ..serve.refusal import Refusal
from ..text.escapes import one_line
from ..votes import errors as votes
from . import schema
from .desk import Desk, Visit
from .endpoint import Door, Endpoint
from .guard import FILE, MOST, MOST_BODY, Exactly, Guard
from .jobs.catalogue import KINDS
from .jobs.runner import Jobs
from .log import Asked, Logged
from .problems import CODES, Refused, in_json, refused
from .table import CLASS, CLASS_SCREENS, SCREENS, TABLE

STATIC = Path(__file__).with_name("static")
BODY_SECONDS = 10.0  # in which a body must come
FILE_SECONDS = 120.0  # in which a file must
STATUS = {
    "not_found": 404,
    "not_yours": 403,
    "name_taken": 409,
    "stale": 409,
    "other_payload": 409,
    "invalid": 422,
    "not_saved": 503,
}
"""What the store refuses, as a status."""
RANKS: Sequence[schema.Role] = ("anyone", "annotator", "instructor")
"""Roles, each with all that those before it may."""


def application(desk: Desk, rows: Sequence[Endpoint] = TABLE) -> ASGIApp:
    """The application of one desk, for whoever sits at this machine."""
    if desk.jobs is None:
        desk.jobs = Jobs(desk, KINDS, on=desk.starts_jobs)
    return _application(desk, desk.door, rows, {path: "index.html" for path in SCREENS})


def class_application(desk: Desk, rows: Sequence[Endpoint] = CLASS) -> ASGIApp:
    """The application of the class that is held at a desk, for others of the network: rows for annotators,
    and by which they become some, are all there is in it.
    """
    assert desk.classroom, "a class is held here"
    return _application(desk, desk.classroom.door, rows, {path: "join.html" for path in CLASS_SCREENS})


def _application(desk: Desk, door: Door, rows: Sequence[Endpoint], screens: Mapping[str, str]) -> ASGIApp:
    routes: list[BaseRoute] = [
        Route(row.path, _endpoint(desk, door, row, rows), methods=[row.method]) for row in rows
    ]
    routes += [Route(path, _screen(file), methods=["GET"]) for path, file in screens.items()]
    if STATIC.is_dir():
        routes.append(Mount("/static", StaticFiles(directory=STATIC)))
    handlers = {Refusal: _refused, HTTPException: _no_route}
    inner = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
    guarded = Guard(inner, Exactly(door.authorities, scheme=door.scheme, says_origin=door.shared))
    return Logged(guarded, desk.classroom.log) if desk.classroom else guarded


def _endpoint(
    desk: Desk, door: Door, row: Endpoint, rows: Sequence[Endpoint]
) -> Callable[[Request], Awaitable[Response]]:
    name = f"{row.method} {row.path}"
    limits = [limit for limit in row.limits if door.shared or limit.wrong]

    async def answer(request: Request) -> Response:
        cookie = request.cookies.get(door.cookie, "")
        role, who = await run_in_threadpool(desk.who, cookie, door)
        known = getattr(request.state, "asked", Asked())
        known.route, known.role, known.person = name, role, who
        may(role, row.role, door)
        last, match = (request.headers.get(name, "") for name in ("last-event-id", "if-match"))
        visit = Visit(desk, door, role, cookie, rows, last, match)
        asked = await _asked(row, request)
        address = request.client.host if request.client else ""
        desk.limits.take(name, limits, who, address)
        if desk.classroom:
            if role == "annotator":
                desk.classroom.see(who)
            if row.method != "GET":
                desk.classroom.log.begin(name, role, who)
        try:
            async with AsyncExitStack() as held:
                if row.takes == "file":
                    folder = Path(held.enter_context(TemporaryDirectory(prefix="alignlab-")))
                    ending = getattr(asked, "ending", "")
                    visit = replace(visit, file=await _received(request, folder / f"sent.{ending}"))
                return await _answered(row, visit, asked)
        except Refusal as refusal:
            if refusal.status == 401:
                desk.limits.wrong(name, limits, who, address)
            raise

    return answer


async def _answered(row: Endpoint, visit: Visit, asked: schema.Part) -> Response:
    """What the row's function says, or what it refuses in the words of the studio."""
    try:
        if inspect.iscoroutinefunction(row.handler):
            found = await row.handler(visit, asked)
        else:
            found = await run_in_threadpool(row.handler, visit, asked)
        return found if isinstance(found, Response) else in_json(found)
    except Refusal:
        raise
    except (votes.Refused, votes.NotSaved) as error:
        if visit.desk.classroom and isinstance(error, votes.NotSaved):
            visit.desk.classroom.not_saved(error)
        status, code = STATUS[error.code], error.code
        raise Refused(status, error.what, where=error.where, remedy=error.remedy, code=code) from None
    except UserError as error:
        raise Refused(503, error.what, where=error.where, remedy=error.remedy) from None
    except Exception:
        raise _bug(row) from None


def may(role: schema.Role, wanted: schema.Role, door: Door) -> None:
    """Raises Refused: 401 somebody who is not signed in, 403 somebody whose role is not enough."""
    if RANKS.index(role) >= RANKS.index(wanted):
        return
    if role == "anyone":
        remedy = "open the link that the studio printed; `alignlab studio link` prints another"
        if door.shared:
            remedy = "load the page again, and join with the code of the class"
        raise Refused(401, "sign in first", remedy=remedy)
    raise Refused(403, f"this is for the {wanted}")


async def _asked(row: Endpoint, request: Request) -> schema.Part:
    """What is asked, checked. Raises Refused: 400, 408, 413, 415, 422."""
    kind = request.headers.get("content-type", "").startswith(FILE)
    if request.method != "GET" and kind != (row.takes == "file"):
        raise Refused(415, f"this takes {'a file' if row.takes == 'file' else 'JSON'}")
    try:
        if row.by_query:
            query = request.query_params.multi_items()
            if len(dict(query)) < len(query) or set(dict(query)) & set(request.path_params):
                raise Refused(400, "a field of the query stands there twice")
            return row.asks.model_validate({**dict(query), **request.path_params})
        body = from_json(await asyncio.wait_for(_body(request), BODY_SECONDS) or b"{}", allow_inf_nan=False)
        if isinstance(body, dict):
            if set(body) & set(request.path_params):
                raise Refused(422, "a field of the body stands in the address")
            body |= request.path_params
        return row.asks.model_validate(body)
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise Refused(400, "the body did not come whole") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))[:100]
        raise Refused(422, first["msg"][:300], field=field or None) from None
    except ValueError as error:
        raise Refused(400, f"no JSON: {error}"[:300]) from None


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise Refused(413, f"a body has {MOST_BODY:,} bytes at most")
    return body


async def _received(request: Request, file: Path) -> Path:
    """The body, in a file. Raises Refused: 400, 408, 413, 503."""
    size = 0
    try:
        async with asyncio.timeout(FILE_SECONDS):
            with open(file, "wb") as kept:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > MOST[FILE]:
                        raise Refused(413, f"a file has {MOST[FILE]:,} bytes at most", remedy="split it")
                    kept.write(chunk)
    except TimeoutError:
        raise Refused(408, f"the file did not come within {FILE_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise Refused(400, "the file did not come whole") from None
    except OSError as error:
        raise Refused(503, f"the file was not kept: {error.strerror}", remedy="make room") from None
    return file


def _screen(file: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        page = STATIC / file
        if not page.exists():
            raise Refused(404, "the pages are not built", remedy="npm ci && npm run build, in web/")
        return FileResponse(page, headers={"Cache-Control": "no-cache"})

    return answer


async def _refused(_: Request, error: Refusal) -> Response:
    return refused(error)


async def _no_route(request: Request, error: HTTPException) -> Response:
    status = error.status_code if error.status_code in CODES else 404
    where = one_line(f"{request.method} {request.scope['path']}", 200)
    return refused(Refused(status, "there is nothing here", where=where))


def _bug(row: Endpoint) -> Refused:
    """Its trace is on the terminal, and a number to find it by in the answer."""
    name = secrets.token_hex(4)
    print(f"alignlab studio: bug {name} in {row.method} {row.path}", file=sys.stderr)
    print(one_line(traceback.format_exc()).replace("\\n", "\n"), file=sys.stderr, flush=True)
    return Refused(500, "a bug of ours", where=f"bug {name} on the terminal of the studio")
