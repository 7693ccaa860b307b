"""What stands before every address: whose name was called, whose page asks, what a body may be, and what a
browser is told of every answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..serve.access import Access
from ..serve.refusal import Refusal
from .problems import Refused, refused

MOST_BODY = 64_000  # bytes
FILE = "application/octet-stream"
MOST = {"application/json": MOST_BODY, FILE: 64 * 2**20}
"""What a body may be, and how long: kinds that no form of another page can send."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types svelte-trusted-html",
    )
)
SANDBOX = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Of pages that lie in the folder: they run nothing, load nothing, and are of no origin."""
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ONCE = ("host", "origin", "sec-fetch-site", "content-type", "content-length", "cookie")
"""Headers that a browser sends once: two of them are two readers' chance to read different ones."""


class Exactly(Access):
    """Called by one of these authorities (name and port), asked by a page of that very origin or by a person:
    another port of this machine is another server, which may hold anything.

    A link on another page may lead to one of ours, as a whole: there is nothing in it until it has asked.

    Args:
        says_origin: whoever changes something has to say of which page: browsers do, and to addresses of a
            local network they say nothing else of it.
    """

    names_are = "ask it by the address that it printed"
    pages_are = "only its own pages may"

    def __init__(
        self, authorities: Iterable[str], *, scheme: str = "http", says_origin: bool = False
    ) -> None:
        super().__init__()
        self.authorities = frozenset(authorities)
        self.scheme, self.says_origin = scheme, says_origin

    def is_called(self, hosts: Sequence[str]) -> bool:
        return len(hosts) == 1 and hosts[0].lower() in self.authorities

    def is_foreign(self, origins: Sequence[str], sites: Sequence[str], host: str) -> bool:
        ours = f"{self.scheme}://{host.lower()}"
        return any(origin != ours for origin in origins) or any(
            site not in ("same-origin", "none") for site in sites
        )


class Guard:
    """Lets a request through to `app`, or answers in its place; every answer gets its headers here."""

    def __init__(self, app: ASGIApp, access: Exactly) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", POLICY)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        if follows_a_link(scope, headers):
            headers = Headers(raw=[(name, value) for name, value in headers.raw if name != b"sec-fetch-site"])
        try:
            check(scope["method"], headers, self.access)
        except Refusal as refusal:
            await refused(refusal)(scope, receive, guarded)
        else:
            await self.app(scope, receive, guarded)


def follows_a_link(scope: Scope, headers: Headers) -> bool:
    """Whether a browser goes to a screen as a whole, in a frame of nobody's."""
    told = [headers.getlist(name) for name in ("sec-fetch-mode", "sec-fetch-dest")]
    screen = not scope["path"].startswith(("/api/", "/static/"))
    return scope["method"] == "GET" and screen and told == [["navigate"], ["document"]]


def check(method: str, headers: Headers, access: Exactly) -> None:
    """Raises Refusal: 400 a header twice, 421, 403, 413 a body that is too long, 415 one that is no JSON."""
    access.check(headers)
    if twice := [name for name in ONCE if len(headers.getlist(name)) > 1]:
        raise Refused(400, f"the header {twice[0]} stands there twice")
    if method in ("GET", "HEAD"):
        return
    if access.says_origin and "origin" not in headers:
        raise Refused(403, "no page says that it asks this; " + access.pages_are, code="foreign_origin")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in MOST:
        raise Refused(415, "a body is sent as application/json, a file as application/octet-stream")
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > MOST[kind]:
        raise Refused(413, f"a body of this kind has {MOST[kind]:,} bytes at most")
