"""Speaks as `alignlab serve` does for the studio, without a model: python fake_child.py LOG WAY.

LOG gets a line for everything that happens. WAY: "well"; "slow" answers a token at a time until it is hung up
on; "dies" in the middle of an answer; "broken" says what keeps it from loading; "silent" ends without a word;
"loading" loads until LOG.go is there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOG, WAY = Path(sys.argv[1]), sys.argv[2]
KEY = os.environ["ALIGNLAB_STUDIO_KEY"]
CONTEXT = 1000


def note(text: str) -> None:
    with LOG.open("a") as file:
        file.write(text + "\n")


def token(text: str) -> dict[str, Any]:
    raw = list(text.encode())
    other = {"token": "other", "logprob": -2.0, "bytes": list(b"other")}
    return {
        "token": text,
        "logprob": -0.5,
        "bytes": raw,
        "top_logprobs": [{"token": text, "logprob": -0.5}, other],
    }


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        assert self.headers["authorization"] == f"Bearer {KEY}"
        self.say({"id": "model", "alignlab": {"context": CONTEXT, "chats": True}})

    def do_POST(self) -> None:
        assert self.headers["authorization"] == f"Bearer {KEY}"
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        note(f"asked {json.dumps(asked)}")
        if self.path == "/v1/score":
            wrong = {"error": {"message": "the head is gone"}}
            self.say(*((wrong, 500) if WAY == "dies" else ({"score": 1.25}, 200)))
            return
        question = asked["messages"][-1]["content"]
        if asked.get("echo"):
            content = [token(word) for word in question.split(" ")]
            self.say({"choices": [{"message": {"content": question}, "logprobs": {"content": content}}]})
        elif not asked.get("stream"):
            tokens = sum(len(message["content"]) for message in asked["messages"])
            if tokens > CONTEXT:
                error = {"message": "too long", "code": "context_length_exceeded"}
                self.say({"error": error}, 400)
            else:
                self.say({"usage": {"prompt_tokens": tokens}})
        else:
            self.stream(f"you asked: {question}")

    def say(self, row: dict[str, Any], status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(row).encode())

    def stream(self, answer: str) -> None:
        self.send_response(200)
        self.end_headers()
        words = [word if place == 0 else f" {word}" for place, word in enumerate(answer.split(" "))]
        try:
            for place, word in enumerate(words if WAY != "slow" else ["la "] * 10_000):
                self.event({"delta": {"content": word}, "logprobs": {"content": [token(word)]}})
                if WAY == "dies" and place == 1:
                    os._exit(1)
                time.sleep(0.01 if WAY == "slow" else 0)
            self.event({"delta": {}, "logprobs": {"content": [token("<|end|>")]}, "finish_reason": "stop"})
            self.wfile.write(b"data: [DONE]\n\n")
            note("whole")
        except OSError:
            note("hung up")

    def event(self, choice: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps({"choices": [{"index": 0, **choice}]}).encode() + b"\n\n")
        self.wfile.flush()


note(f"started {os.getpid()}")
if WAY == "broken":
    print(json.dumps({"what": "the weights are not whole", "remedy": "copy them again"}), flush=True)
elif WAY != "silent":
    while WAY == "loading" and not LOG.with_suffix(".go").exists():
        time.sleep(0.01)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(json.dumps({"port": server.server_port}), flush=True)
    server.serve_forever()
