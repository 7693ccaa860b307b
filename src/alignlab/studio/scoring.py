"""A reward model that answers over HTTP on the loopback, as the process of a model that writes does.

GET /v1/models/model      the card that the studio looks for
POST /v1/score            {messages, completion, finished} -> {score}, in deviations where it knows them
"""

from __future__ import annotations

import json
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NoReturn

from ..feedback import Judge
from ..records import Completion, Message, Prompt

HOST = "127.0.0.1"
MOST = 2**22  # bytes of what is asked


def scoring(judge: Judge, key: str) -> NoReturn:
    """Answer until the process ends, one after the other; the first line on stdout says at which port."""

    class Scores(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(lambda: {"alignlab": {"context": 0, "chats": True}})

        def do_POST(self) -> None:
            self._answer(self._score)

        def log_message(self, *_: Any) -> None:
            """Nothing: what is asked is nobody's business."""

        def _answer(self, answer: Any) -> None:
            given = self.headers.get("Authorization", "").encode("utf-8", "replace")
            status, row = 401, {"error": {"message": "another key is needed"}}
            if compare_digest(given, f"Bearer {key}".encode()):
                try:
                    status, row = 200, answer()
                except Exception as error:  # whatever it is, who asked is told
                    status, row = 500, {"error": {"message": f"{type(error).__name__}: {error}"[:500]}}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(row).encode())

        def _score(self) -> dict[str, float]:
            asked = json.loads(self.rfile.read(min(MOST, int(self.headers["Content-Length"]))))
            prompt = Prompt(tuple(Message(said["role"], said["content"]) for said in asked["messages"]))
            completion = Completion(prompt, asked["completion"], finished=asked["finished"])
            return {"score": judge.score([completion])[0].value}

    server = HTTPServer((HOST, 0), Scores)
    print(json.dumps({"port": server.server_port}), flush=True)
    server.serve_forever()
    raise SystemExit(0)
