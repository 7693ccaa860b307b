"""A small server on the loopback that speaks OpenAI's API, or misbehaves as it is told."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


def chat_answer(*texts: str | None, finish: str | None = "stop", tokens: int | None = 10) -> Body:
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        for i, text in enumerate(texts)
    ]
    return {"object": "chat.completion", "choices": choices} | (
        {"usage": {"total_tokens": tokens}} if tokens is not None else {}
    )


def text_answer(*texts: str, finish: str = "stop") -> Body:
    return {
        "choices": [{"index": i, "text": text, "finish_reason": finish} for i, text in enumerate(texts)],
        "usage": {"total_tokens": 7},
    }


class Reply:
    """One answer of the server: a status and a body, or a way to go wrong."""

    def __init__(
        self,
        body: Body | bytes | str = b"",
        status: int = 200,
        *,
        headers: dict[str, str] | None = None,
        cut: bool = False,
        slow: float = 0.0,
        drip: bool = False,
    ) -> None:
        self.body = (
            body
            if isinstance(body, bytes)
            else body.encode()
            if isinstance(body, str)
            else json.dumps(body).encode()
        )
        self.status, self.headers, self.cut, self.slow, self.drip = status, headers or {}, cut, slow, drip


class Server:
    """Answers by `answer(number, path, body)`, number from 0 in the order of arrival; `requests` keeps (path,
    body, headers).
    """

    def __init__(self, answer: Callable[[int, str, Body], Reply | Body]) -> None:
        self.answer, self.requests, self.most_at_once = answer, [], 0
        self._now, self._lock, self._closing = 0, threading.Lock(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    number = len(outer.requests)
                    outer.requests.append((self.path, body, dict(self.headers)))
                    outer._now += 1
                    outer.most_at_once = max(outer.most_at_once, outer._now)
                try:
                    found = outer.answer(number, self.path, body)
                finally:
                    with outer._lock:  # before the client has its answer, and may ask the next
                        outer._now -= 1
                with suppress(BrokenPipeError, ConnectionResetError):  # the client went away
                    self._reply(found if isinstance(found, Reply) else Reply(found))

            def _reply(self, reply: Reply) -> None:
                outer._closing.wait(reply.slow)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if reply.cut:
                    self.wfile.write(reply.body[: len(reply.body) // 2])
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif reply.drip:
                    for i in range(len(reply.body)):
                        self.wfile.write(reply.body[i : i + 1])
                        if outer._closing.wait(0.05):
                            return
                else:
                    self.wfile.write(reply.body)

            def log_message(self, *_: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def name(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1#teacher"

    def __enter__(self) -> Server:
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._closing.set()
        self.http.shutdown()
        self.http.server_close()


def echo(_: int, path: str, body: Body) -> Body:
    """Answers every prompt with its own words, n times."""
    n = body.get("n", 1)
    if path.endswith("/chat/completions"):
        return chat_answer(*(f"I say {body['messages'][-1]['content']} {i}" for i in range(n)))
    return text_answer(*(f" and {body['prompt']} {i}" for i in range(n)))


def slowly(seconds: float) -> Callable[[int, str, Body], Body]:
    def answer(number: int, path: str, body: Body) -> Body:
        time.sleep(seconds)
        return echo(number, path, body)

    return answer
