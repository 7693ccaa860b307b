"""Who asks."""

from __future__ import annotations

import hmac

from starlette.responses import Response

from ... import __version__
from ...votes.people import close_session
from .. import schema
from ..desk import Visit
from ..inside import text
from ..problems import Refused, in_json
from ..sessions import HOURS


def me(visit: Visit, asked: schema.Nothing) -> schema.Me:
    """Who holds the cookie. An annotator is told of no folder."""
    return _me(visit, visit.role)


def begin(visit: Visit, asked: schema.SignIn) -> Response:
    """A link's token for a cookie, once."""
    cookie = visit.desk.sessions.exchange(asked.token)
    answer = in_json(_me(visit, "instructor"))
    answer.set_cookie(visit.desk.cookie, cookie, max_age=HOURS * 3600, httponly=True, samesite="strict")
    return answer


def end(visit: Visit, asked: schema.Nothing) -> Response:
    """The session ends."""
    visit.desk.sessions.end(visit.cookie)
    if visit.role == "annotator":
        visit.desk.store.do(close_session, visit.cookie)
    answer = in_json(schema.Nothing())
    answer.delete_cookie(visit.door.cookie, httponly=True, samesite="strict")
    return answer


def link(visit: Visit, asked: schema.LinkKey) -> schema.Link:
    """Another link, for whoever can read the folder's key file."""
    key = visit.desk.link_key
    if not key or not hmac.compare_digest(asked.key.encode("utf-8", "replace"), key.encode()):
        raise Refused(401, "this is not the key of this studio", remedy="`alignlab studio link FOLDER`")
    return schema.Link(url=visit.desk.url(visit.desk.sessions.link()))


def _me(visit: Visit, role: schema.Role) -> schema.Me:
    folder = text(str(visit.desk.inside.root)) if role == "instructor" else ""
    return schema.Me(role=role, folder=folder, version=__version__, boot=visit.desk.boot)
