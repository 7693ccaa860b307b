"""Who holds a cookie. A link's token is good for one exchange; of tokens and cookies digests are kept, in
memory alone.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from .problems import Refused
from .schema import Role

HOURS = 12  # of a session
MOST = 64  # sessions, and links that nobody has used
RETURN = "`alignlab studio link` prints another"


class Sessions:
    """Tokens of links, and the sessions they were exchanged for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._links: dict[str, bool] = {}  # digest of a token to whether it was used
        self._sessions: dict[str, tuple[Role, float]] = {}  # digest of a cookie to role and end

    def link(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._links[_digest(token)] = False
            _newest(self._links)
        return token

    def exchange(self, token: str) -> str:
        """The cookie's value for a token. Raises Refused: 401 no token of ours, 409 one that was used."""
        with self._lock:
            used = self._links.get(_digest(token))
            if used is None:
                raise Refused(401, "this link is none of this studio's", remedy=RETURN)
            if used:
                raise Refused(409, "this link was used", remedy=RETURN)
            self._links[_digest(token)] = True
            cookie = secrets.token_urlsafe(32)
            self._sessions[_digest(cookie)] = "instructor", self._clock() + HOURS * 3600
            _newest(self._sessions)
        return cookie

    def role_of(self, cookie: str) -> Role:
        """What the holder of a cookie may do: "anyone" for a cookie that is none, or not any more."""
        with self._lock:
            role, end = self._sessions.get(_digest(cookie), ("anyone", 0.0))
        return role if self._clock() < end else "anyone"

    def end(self, cookie: str) -> None:
        with self._lock:
            self._sessions.pop(_digest(cookie), None)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _newest(kept: dict[str, Any]) -> None:
    while len(kept) > MOST:
        del kept[next(iter(kept))]
