"""One request to a server and its answer, or why there is none. Nothing that the server sends is trusted.

The standard library's `http.client` does the talking: one POST needs no client library, it follows no
redirect (a key goes to the host that was named and to no other), and httpx is no dependency of ours.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import suppress
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection

from ..errors import ConfigError, UserError
from ..settings import EndpointSettings
from ..text.escapes import one_line
from .address import Address
from .answers import filtered

MOST_BYTES = 8_000_000  # of one answer; as objects they may take thirty times as much
PATIENT = frozenset({408, 425, 429})  # asked again, as is every status from 500 up


class Refused(UserError):
    """A request that the server will not take as it is put."""


class Filtered(Exception):
    """A prompt that the provider's content filter stopped: he refused it."""


class TryAgain(Exception):
    """An attempt that failed and may succeed later. `rubbish`: the server answered, and not with a
    completion. `after`: seconds it asked for.
    """

    def __init__(self, what: str, *, rubbish: bool = False, after: float = 0.0) -> None:
        super().__init__(what)
        self.rubbish, self.after = rubbish, after


class Server:
    """Who is asked, and with which key. Raises ConfigError: a key that cannot be sent."""

    def __init__(self, address: Address, settings: EndpointSettings, name: str) -> None:
        self.address, self.settings, self.name = address, settings, name
        self._key = os.environ.get(settings.key_env, "") if settings.key_env else ""
        if any(not 32 < ord(c) < 127 for c in self._key):  # http.client would show it in its error
            raise ConfigError(
                f"the key in ${settings.key_env} holds characters that no header can carry",
                remedy="set it again, without spaces or line ends",
            )

    def post(self, path: str, data: bytes) -> bytes:
        """The body of a 200. Raises TryAgain, Filtered, or UserError for a request that the server will never
        take.
        """
        return self._asked(path, data)

    def get(self, path: str) -> bytes:
        """As `post`, without a body."""
        return self._asked(path, None)

    def _asked(self, path: str, data: bytes | None) -> bytes:
        status, headers, body = self._exchange(path, data)
        if len(body) > MOST_BYTES:
            raise TryAgain(f"more than {MOST_BYTES} bytes", rubbish=True)
        if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise TryAgain("packed (Content-Encoding), which was not asked for", rubbish=True)
        if status == 200:
            return body
        words = self.words(body)
        if status in PATIENT or status >= 500:
            raise TryAgain(f"status {status}, {words}", after=_seconds(headers.get("Retry-After", "")))
        if status < 300:
            raise TryAgain(f"status {status} in the place of 200, {words}", rubbish=True)
        if filtered(body):
            raise Filtered
        if status in (401, 403):
            raise self._no_entry(status, words)
        raise self._refusal(status, words, path, headers.get("Location", "nowhere"))

    def _exchange(self, path: str, data: bytes | None) -> tuple[int, Message, bytes]:
        """Status, headers and body of the answer, whole and in time. Raises TryAgain."""
        address, timeout = self.address, self.settings.timeout
        kind = HTTPSConnection if address.secure else HTTPConnection
        connection = kind(address.host, address.port, timeout=timeout)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        late = threading.Event()

        def cut(connected: socket.socket) -> None:
            """A socket's timeout is one for each read: a server that sends a byte a minute never meets it."""
            late.set()
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

        watch = None
        try:
            connection.connect()
            # the connection forgets its socket before the answer is read
            watch = threading.Timer(timeout, cut, [connection.sock])
            watch.daemon = True
            watch.start()
            method = "GET" if data is None else "POST"
            connection.request(method, address.path + path, body=data, headers=headers)
            response = connection.getresponse()
            body = _body_of(response)
            if late.is_set():
                raise TimeoutError
            return response.status, response.headers, body
        except (TimeoutError, OSError, HTTPException, ValueError, AttributeError) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise TryAgain(f"nothing whole within {timeout:g} s") from None
            if isinstance(error, AttributeError):  # only of a connection that was cut while it was read
                raise
            raise TryAgain(f"{type(error).__name__}: {self._hidden(str(error))}") from None
        finally:
            if watch:
                watch.cancel()
            connection.close()

    def _no_entry(self, status: int, words: str) -> UserError:
        what = (
            "the endpoint does not take the key" if self._key else "the endpoint lets nobody in without a key"
        )
        variable = self.settings.key_env or "that endpoint.key_env names"
        return UserError(
            f"{what} (status {status}, {words})",
            where=self.name,
            remedy=f"put the key into the environment variable {variable}",
        )

    def _refusal(self, status: int, words: str, path: str, location: str) -> Refused:
        remedy = "see what the server says of it"
        if status == 404:
            remedy = "check path and model; `curl URL/models` lists what the server has"
        elif status < 400:
            words = f"it sends on to {self.clean(location)}"
            remedy = (
                "no redirect is followed, for the key goes with it: name the address it sends on to, if you "
                "trust that"
            )
        return Refused(
            f"the endpoint refuses the request (status {status}, {words})",
            where=f"{self.address.url}{path}",
            remedy=remedy,
        )

    def words(self, body: bytes) -> str:
        """What a server says in words: the message of an OpenAI error, else the beginning of the body."""
        text = self._hidden(body.decode("utf-8", "replace"))
        with suppress(ValueError, RecursionError, KeyError, TypeError, AttributeError):
            error = json.loads(body)["error"]
            text = self._hidden(str(error["message"] if isinstance(error, dict) else error))
        return one_line(" ".join(text[:2000].split()), 120)

    def clean(self, text: str) -> str:
        """The text of a server for an error message: short, on one line, nothing in it that moves the cursor,
        without our key.
        """
        return one_line(self._hidden(text), 200)

    def _hidden(self, text: str) -> str:
        """The text of a server without our key, before any of it is cut off."""
        return text.replace(self._key, "[key]") if self._key else text


def _body_of(response: HTTPResponse) -> bytes:
    """The body, or one byte more than `MOST_BYTES` of it.

    In small reads: a whole one trusts the sizes of chunks, a negative one of which means everything that ever
    comes.

    Raises:
        HTTPException, OSError: it is cut.
    """
    parts, size = [], 0
    while size <= MOST_BYTES and (part := response.read1(65536)):
        parts.append(part)
        size += len(part)
    if size <= MOST_BYTES and response.length:
        raise ConnectionError("the connection was cut")
    return b"".join(parts)[: MOST_BYTES + 1]


def _seconds(after: str) -> float:
    """Seconds of a Retry-After header; 0 for a date, a negative or any other text."""
    return float(after) if after.isascii() and after.isdecimal() else 0.0
