"""The endpoint client against servers that mean harm: every one ends in an answer or in one clear error,
within its time and in bounded memory.
"""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from alignlab import cli
from alignlab.errors import ModelError, ResourceError, UserError
from alignlab.records import Prompt
from alignlab.sampling import Sampling, endpoint, requests
from alignlab.sampling.endpoint import EndpointSampler
from alignlab.settings import EndpointSettings

from ..serving import Reply, Server, chat_answer

KEY = "sk-" + "0123456789" * 3
Behavior = Callable[[socket.socket, "Raw"], None]
GOOD = json.dumps(chat_answer("fine")).encode()


class Raw:
    """A server of bytes: what it does once it has the request is `behavior`. `given` counts what the client
    took of it.
    """

    def __init__(self, behavior: Behavior) -> None:
        self.behavior, self.given, self.over = behavior, 0, threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.name = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1#teacher"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            self.behavior(connection, self)

    def give(self, connection: socket.socket, data: bytes) -> None:
        connection.sendall(data)
        self.given += len(data)


@contextmanager
def raw(behavior: Behavior) -> Iterator[Raw]:
    server = Raw(behavior)
    try:
        yield server
    finally:
        server.over.set()
        server.socket.close()


def whole(body: bytes, status: str = "200 OK", *headers: str) -> Behavior:
    head = (
        "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]).encode() + b"\r\n\r\n"
    )
    return lambda connection, server: server.give(connection, head + body)


def bytes_(data: bytes) -> Behavior:
    return lambda connection, server: server.give(connection, data)


def forever(head: bytes, again: bytes, pause: float = 0.0) -> Behavior:
    def behave(connection: socket.socket, server: Raw) -> None:
        server.give(connection, head)
        while not server.over.wait(pause) and server.given < 10**9:
            server.give(connection, again)

    return behave


def message(text: str) -> bytes:
    return json.dumps(chat_answer(text)).encode()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS: dict[str, Behavior] = {
    "a drip of a body": forever(OK + b"Content-Length: 100000\r\n\r\n", b" ", 0.02),
    "a drip of a head": forever(OK, b"x", 0.02),
    "a drip of chunks": forever(CHUNKED, b"1\r\n \r\n", 0.02),
    "silence": forever(b"", b"", 5.0),
    "100 Continue without end": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
    "trailers without end": forever(CHUNKED + b"0\r\n", b"a: b\r\n", 0.001),
}
HUGE: dict[str, Behavior] = {
    "a body without length": forever(OK + b"\r\n", b" " * 65536),
    "a length of 10^30": forever(OK + b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n", b" " * 65536),
    "chunks": forever(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "a chunk of negative size": forever(CHUNKED + b"-1\r\n", b" " * 65536),
    "a chunk of 2^200": forever(CHUNKED + b"f" * 50 + b"\r\n", b" " * 65536),
    "a head of one line": forever(OK + b"X: ", b"x" * 65536),
    "a head of many lines": forever(OK, b"X: " + b"x" * 60000 + b"\r\n"),
    "no head at all": forever(b"", b"x" * 65536),
    "10 MB of head": bytes_(
        OK + b"".join(b"X-%d: " % i + b"x" * 1000 + b"\r\n" for i in range(10_000)) + b"\r\n"
    ),
    "an error of a gigabyte": forever(b"HTTP/1.1 500 Oh\r\n\r\n", b"x" * 65536),
}
RUBBISH: dict[str, Behavior] = {
    "HTTP/0.9": bytes_(GOOD),
    "no HTTP": bytes_(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "nothing": bytes_(b""),
    "half a head": bytes_(b"HTTP/1.1 200"),
    "HTTP/9.9": bytes_(b"HTTP/9.9 200 OK\r\n\r\n" + GOOD),
    "a status of words": bytes_(b"HTTP/1.1 fine OK\r\n\r\n"),
    "a status of 10^9": bytes_(b"HTTP/1.1 1000000000 OK\r\n\r\n"),
    "closing in mid-body": bytes_(OK + b"Content-Length: 900\r\n\r\n" + GOOD),
    "half a chunk": bytes_(CHUNKED + b"ff\r\nabc"),
    "no size of a chunk": bytes_(CHUNKED + b"zz\r\nabc\r\n"),
    "a gzip bomb": whole(gzip.compress(b" " * 10**7), "200 OK", "Content-Encoding: gzip"),
    "html": whole(b"<html>Welcome</html>", "200 OK", "Content-Type: text/html"),
    "202": whole(GOOD, "202 Accepted"),
    "204": bytes_(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "103": bytes_(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "broken JSON": whole(GOOD[:-3]),
    "deep JSON": whole(b"[" * 10**6),
    "deep in a choice": whole(b'{"choices": [' + b"[" * 900 + b"]" * 900 + b"]}"),
    "a deep error": whole(b'{"error": {"message": ' + b"[" * 900 + b"]" * 900 + b"}}", "500 Oh"),
    "a number of 5000 digits": whole(b'{"choices": [{"message": {"content": ' + b"9" * 5000 + b"}}]}"),
    "latin-1": whole(b'{"choices": [{"message": {"content": "\xe9"}}]}'),
    "null bytes": whole(b"\0" * 1000),
    "busy till 10^400": whole(b"busy", "503 Busy", "Retry-After: " + "9" * 400),
    "busy till 1e9": whole(b"busy", "429 Busy", "Retry-After: 1e9"),
    "busy till yesterday": whole(b"busy", "429 Busy", "Retry-After: -86400"),
    "busy till a date": whole(b"busy", "503 Busy", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"),
    "busy till superscript": whole(b"busy", "503 Busy", "Retry-After: \u00b2"),
    "elsewhere": whole(b"", "302 Found", "Location: http://example.invalid/"),
    "elsewhere for good": whole(b"", "308 Permanent Redirect", "Location: file:///etc/passwd"),
    "here again": whole(b"", "307 Here", "Location: /v1/chat/completions"),
    "the key in an error": whole(json.dumps({"error": {"message": "x" * 110 + KEY}}).encode(), "400 No"),
    "the key in rubbish": whole(b"x" * 100 + KEY.encode()),
    "the key in a status line": bytes_(b"HTTP/1.1 " + KEY.encode() + b"\r\n\r\n"),
    "the key in a redirect": whole(b"", "301 There", f"Location: http://example.invalid/?key={KEY}"),
    "control characters": whole(b"\x1b[2J\x1b]0;title\x07\xe2\x80\xae", "418 Teapot"),
}


def ask(server: Any, **settings: Any) -> Any:
    return EndpointSampler(
        server.name, EndpointSettings(**({"retries": 0, "timeout": 20.0} | settings)), pause=0.01
    ).sample([Prompt.user("hello")])


def refused(server: Any, **settings: Any) -> UserError:
    with pytest.raises(UserError) as error:
        ask(server, **settings)
    said = str(error.value)
    assert KEY[:10] not in said and "Traceback" not in said and len(said) < 1000
    assert said.isprintable() or all(line.isprintable() for line in said.split("\n")), (
        "nothing in it moves the cursor"
    )
    return error.value


@pytest.fixture(autouse=True)
def a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGNLAB_API_KEY", KEY)


@pytest.mark.parametrize("behavior", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_that_never_ends_is_given_up(behavior: Behavior) -> None:
    with raw(behavior) as server:
        assert isinstance(refused(server, timeout=0.4), ResourceError)


@pytest.mark.parametrize("behavior", HUGE.values(), ids=HUGE)
def test_an_answer_without_bounds_is_not_read_to_its_end(behavior: Behavior) -> None:
    with raw(behavior) as server:
        refused(server)
        assert server.given < requests.MOST_BYTES + 20_000_000, "the sockets hold some of it"


@pytest.mark.parametrize("behavior", RUBBISH.values(), ids=RUBBISH)
def test_rubbish_is_one_clear_error(behavior: Behavior) -> None:
    with raw(behavior) as server:
        refused(server)


def test_a_server_that_asks_for_an_age_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    with Server(
        lambda number, *_: (
            Reply("busy", 429, headers={"Retry-After": ["9" * 400, "-1", "1e9", "soon"][number]})
            if number < 4
            else chat_answer("fine")
        )
    ) as server:
        sampler = EndpointSampler(server.name, EndpointSettings(retries=4), pause=0.01)
        monkeypatch.setattr(sampler._leaving, "wait", waited.append)
        assert sampler.sample([Prompt.user("hello")])[0][0].text == "fine"
    assert waited[0] == endpoint.LONGEST_PAUSE and all(seconds < 1 for seconds in waited[1:])


@pytest.mark.parametrize("status", [400, 403, 200])
def test_a_filter_of_the_provider_is_a_refusal_and_paid_for_once(tmp_path: Any, status: int) -> None:
    """Azure: status 400, and no answer at all (others: 403, or 200 with an error in it). Every completion
    that was asked for is refused.
    """
    error = {
        "error": {
            "code": "content_filter",
            "status": 400,
            "message": "The response was filtered",
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
        }
    }
    cache = tmp_path / "answers.jsonl"
    with Server(lambda *_: Reply(error, status)) as server:
        for _ in range(2):
            sampler = EndpointSampler(server.name, cache=cache)
            [found] = sampler.sample([Prompt.user("hello")], Sampling(n=3))
            assert [(c.text, c.finished, c.blocked) for c in found] == [
                ("I cannot help with that.", True, "content_filter")
            ] * 3
        assert len(server.requests) == 1
    with Server(
        lambda *_: Reply({"error": {"code": "context_length_exceeded", "message": "too long"}}, 400)
    ) as server:
        assert "too long" in str(refused(server))


def test_answers_that_were_kept_before_filters_were_known_are_read(tmp_path: Any) -> None:
    cache = tmp_path / "answers.jsonl"
    with Server(lambda *_: chat_answer("fine")) as server:
        EndpointSampler(server.name, cache=cache).sample([Prompt.user("hello")])
        row = json.loads(cache.read_text())
        cache.write_text(json.dumps(row | {"choices": [choice[:2] for choice in row["choices"]]}) + "\n")
        assert (
            EndpointSampler(server.name, cache=cache).sample([Prompt.user("hello")])[0][0].text == "fine"
            and len(server.requests) == 1
        )


def test_more_choices_than_asked_are_dropped_and_fewer_are_asked_for_again() -> None:
    with Server(lambda *_: chat_answer(*(f"answer {i}" for i in range(1000)))) as server:
        sampler = EndpointSampler(server.name)
        assert [len(row) for row in sampler.sample([Prompt.user("hello")], Sampling(n=2))] == [2] and [
            len(answer["choices"]) for answer in sampler._answers.values()
        ] == [2]


def mutated(rng: random.Random) -> bytes:
    """A good answer with one of its values replaced, or with bytes changed."""
    odd: list[Any] = [
        None,
        True,
        -1,
        10**30,
        1e308,
        float("nan"),
        "",
        "x",
        "\ud800",
        [],
        {},
        [[]],
        {"text": None},
        "stop",
        ["a"],
        -(10**400),
    ]
    entry = {
        "token": "A",
        "logprob": -0.5,
        "bytes": [65],
        "top_logprobs": [{"token": "A", "logprob": -0.5, "bytes": [65]}],
    }
    document: Any = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "fine", "refusal": None},
                "finish_reason": "stop",
                "logprobs": {"content": [entry], "refusal": None},
            }
        ],
    }
    for _ in range(rng.randint(1, 3)):
        place = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
                place = place[key]
                continue
            place[key] = rng.choice(odd)
            break
    body = bytearray(json.dumps(document).encode())
    for _ in range(rng.choice([0, 0, 0, 1, 5])):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return bytes(body)


def mutants(count: int, seed: int) -> dict[str, int]:
    """How mutated answers ended; anything but an answer or an error of ours is raised."""
    ends = {"answer": 0, "error": 0}
    rng = random.Random(seed)
    with Server(lambda *_: Reply(mutated(rng))) as server:
        sampler = EndpointSampler(server.name, EndpointSettings(retries=0))
        for i in range(count):
            try:
                sampler.sample([Prompt.user(f"hello {i}")]) if i % 2 else sampler.choice_logprobs(
                    [Prompt.user(f"hello {i}")], ["A", "B"]
                )
                ends["answer"] += 1
            except (ModelError, ResourceError):
                ends["error"] += 1
    return ends


def test_mutated_answers_are_answers_or_errors() -> None:
    ends = mutants(120, 0)
    assert min(ends.values()) > 10


@pytest.mark.campaign
def test_thousands_of_mutated_answers_are_answers_or_errors() -> None:
    ends = mutants(4000, 1)
    assert min(ends.values()) > 400


def test_a_command_ends_in_exit_8_and_not_in_a_traceback(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        "--attacks",
        "none",
        "--goals",
        "2",
        "--twins",
        "0",
        "--harmless",
        "",
        "--judge",
        "refusal",
        "--endpoint.retries",
        "0",
        "--endpoint.timeout",
        "0.5",
    ]
    with raw(ENDLESS["a drip of a body"]) as server:
        assert cli.main(["redteam", server.name, *asked, "--out", str(tmp_path / "run")]) == 8
    said = capsys.readouterr().err
    assert "does not answer" in said and "Traceback" not in said
