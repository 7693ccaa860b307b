"""What somebody is told in the place of an answer: what is wrong, where it was seen, and what mends it."""

from __future__ import annotations

from starlette.responses import Response

from ..serve.refusal import Refusal
from . import schema

CODES = {
    400: "malformed",
    401: "sign_in",
    403: "not_yours",
    404: "not_found",
    405: "no_such_method",
    408: "too_slow",
    409: "stale",
    413: "too_long",
    415: "not_json",
    421: "host",
    422: "invalid",
    429: "slow_down",
    500: "bug",
    503: "unavailable",
}


class Refused(Refusal):
    """A refusal in the words of a `UserError`; `field` of what was asked, where it is one; `code` where the
    status alone does not say it; `now` what a text is that was changed meanwhile.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        where: str = "",
        remedy: str = "",
        field: str | None = None,
        retry_after: int = 0,
        code: str | None = None,
        now: str | None = None,
    ) -> None:
        super().__init__(status, what, code=code, param=field, retry_after=retry_after)
        self.where, self.remedy, self.now = where, remedy, now


def refused(refusal: Refusal) -> Response:
    """The answer that says so."""
    where, remedy, now = "", "", None
    if isinstance(refusal, Refused):
        where, remedy, now = refusal.where, refusal.remedy, refusal.now
    body = schema.ErrorBody(
        code=refusal.code or CODES[refusal.status],
        what=refusal.message,
        where=where,
        remedy=remedy,
        field=refusal.param,
        now=now,
    )
    headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else None
    return in_json(schema.Problem(error=body), refusal.status, headers)


def in_json(part: schema.Part, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A part as an answer; numbers that are not finite are null."""
    body = part.model_dump_json().encode()
    return Response(body, status, headers, media_type="application/json")
