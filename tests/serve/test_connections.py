"""Clients that keep a connection and do nothing with it, and clients that send what is no HTTP: others are
answered all the same.
"""

from __future__ import annotations

import http.client
import json
import logging
import socket
import time
from collections.abc import Iterator

import pytest

from alignlab.models.policy import Policy
from alignlab.serve import connections

from .conftest import Running

BODY = json.dumps({"model": "tiny", "prompt": "x", "max_tokens": 4}).encode()
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(scope="module")
def hasty(policy: Policy) -> Iterator[Running]:
    """A server whose patience is a fraction of a second."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HEAD_SECONDS": 0.3, "TAKE_SECONDS": 0.5, "TICK": 0.05}.items():
            patch.setattr(connections, name, value)
        patch.setattr(connections.Connection, "most", 20)
        server = Running(policy, max_new_tokens=300)
        server.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, 4096
        )  # of the connections it accepts: they hold little
        yield server
        server.close()


def connected(running: Running, data: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", running.port), timeout=30)
    client.sendall(data)
    return client


def rest(client: socket.socket) -> bytes:
    """All that comes until the server closes; a guard of half a minute."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    client.close()
    return b"".join(parts)


def until(true: object) -> None:
    deadline = time.monotonic() + 30
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"P",
        b"POST /v1/completions HTTP/1.1\r\nHost: local",
        HEAD,
        WHOLE,
        WHOLE + HEAD,
        WHOLE + WHOLE,
        b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx",
        b"GET /health HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=[
        "silence",
        "a letter",
        "half a line",
        "half a head",
        "idle afterwards",
        "half a head afterwards",
        "two at once",
        "empty lines",
        "no body",
        "no chunk",
    ],
)
def test_a_connection_on_which_nothing_comes_is_closed(hasty: Running, data: bytes) -> None:
    answered = rest(connected(hasty, data))
    assert answered.count(b"HTTP/1.1 200") == data.count(BODY) + data.count(
        b"GET /health HTTP/1.1\r\nHost: localhost"
    )


def test_a_head_that_drips_is_cut_off(hasty: Running) -> None:
    client = connected(hasty, HEAD)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        for _ in range(3000):
            client.sendall(b"x")
            time.sleep(0.01)
    client.close()


def test_the_time_for_a_head_begins_anew_with_each_request(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "TICK", 0.02)
    client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    begun = []
    for _ in range(3):
        client.request("GET", "/health")
        assert client.getresponse().read()
        [connection] = running.uvicorn.server_state.connections
        until(
            lambda connection=connection: (
                connection._seen is connection.cycle and connection._since not in begun
            )
        )
        begun.append(connection._since)
    client.close()
    assert begun == sorted(set(begun))


def test_silent_connections_are_bounded_and_nobody_waits_for_them(hasty: Running) -> None:
    silent = [connected(hasty) for _ in range(100)]
    assert len(hasty.uvicorn.server_state.connections) <= 21 and hasty.complete("x", max_tokens=2)[0] == 200
    assert all(rest(client) == b"" for client in silent)
    until(lambda: not hasty.uvicorn.server_state.connections)


def test_readers_who_do_not_read_are_cut_off_and_starve_nobody(hasty: Running) -> None:
    """Their answers, with many log-probabilities, are larger than what the sockets between hold."""

    def ask(stream: bool) -> bytes:
        body = json.dumps(
            {
                "model": "tiny",
                "prompt": "x",
                "n": 8,
                "max_tokens": 80,
                "logprobs": 20,
                "seed": 1,
                "stream": stream,
            }
        ).encode()
        return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def small() -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(("127.0.0.1", hasty.port))
        return client

    lazy = [small() for _ in range(6)]
    for i, client in enumerate(lazy):
        client.sendall(ask(stream=bool(i % 2)))
    until(lambda: hasty.server.active == 6)
    assert hasty.complete("x", max_tokens=2)[0] == 200, "while they are being answered"
    until(lambda: hasty.server.active == 0 and not hasty.engine.sampler.busy)
    until(lambda: not hasty.uvicorn.server_state.connections)
    assert hasty.complete("x", max_tokens=2)[0] == 200
    assert all(len(answered := rest(client)) < 300_000 and b"[DONE]" not in answered for client in lazy)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"x" * 100_000,
        b"GET /" + b"x" * 100_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        HEAD + b"X: \0\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        WHOLE[:-1] + b"\xff",
        WHOLE + b"\0\0\0",
        b"GET http://[ HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET /%ff%00%0d%0a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_what_is_no_http_ends_its_connection_and_nothing_else(
    hasty: Running, data: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        answered = rest(connected(hasty, data))
        assert b"HTTP/1.1 500" not in answered and hasty.complete("x", max_tokens=1)[0] == 200
    assert (
        not [record for record in caplog.records if record.levelno >= logging.ERROR]
        and "Traceback" not in capfd.readouterr().err
    )
