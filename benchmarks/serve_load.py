#!/usr/bin/env python3
"""Many clients at once against `alignlab serve`: is every request answered, how long does it take, and does
memory stay where it is?

    python benchmarks/serve_load.py [MODEL] [--clients 64] [--seconds 120] [--max-tokens 32]

Starts the server on a free port of the loopback and asks it for so many seconds, each client one request
after the other over a connection of its own: chats, streamed chats, completions with log-probabilities and
echo, a chat behind a defence, requests that are wrong (they must get their 4xx), and one in fifty hangs up in
mid-stream. A request that got neither an answer nor a 4xx is lost. Prints one JSON document: requests by kind
and status, lost ones, seconds to the whole answer (median, 90th and 99th percentile), the server's resident
memory over time and its growth from a quarter of the time to the end.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

QUESTIONS = [
    "Who is the baker?",
    "When does the bakery open?",
    "Tell me about the mill.",
    "List three shops.",
    "Is the bridge old?",
    "How do I find the market?",
]


def request_of(rng: random.Random, model: str, most: int) -> tuple[str, str, dict[str, Any]]:
    """Kind, path and body of a request."""
    chat = {
        "model": model,
        "messages": [{"role": "user", "content": rng.choice(QUESTIONS)}],
        "max_tokens": rng.randrange(1, most + 1),
        "seed": rng.randrange(1000),
    }
    kind = rng.choices(
        ["chat", "stream", "hang up", "echo", "text", "defended", "wrong"], [40, 30, 2, 10, 8, 5, 5]
    )[0]
    if kind == "echo":
        ids = [[rng.randrange(6, 1000) for _ in range(rng.randrange(2, 60))] for _ in range(4)]
        return (
            kind,
            "/v1/completions",
            {"model": model, "prompt": ids, "max_tokens": 1, "logprobs": 1, "echo": True, "temperature": 0},
        )
    if kind == "text":
        return (
            kind,
            "/v1/completions",
            {"model": model, "prompt": "The baker", "n": 2, "max_tokens": most, "stop": ["."], "logprobs": 2},
        )
    if kind == "wrong":
        return (
            kind,
            "/v1/chat/completions",
            rng.choice(
                [{**chat, "temperature": "hot"}, {**chat, "messages": []}, {**chat, "model": "nobody"}]
            ),
        )
    if kind == "defended":
        return kind, "/v1/chat/completions", {**chat, "model": f"{model}+self-reminder"}
    return kind, "/v1/chat/completions", {**chat, "stream": kind in ("stream", "hang up")}


class Client(threading.Thread):
    """Asks until the time is over."""

    def __init__(self, number: int, port: int, until: float, model: str, most: int) -> None:
        super().__init__(daemon=True)
        self.rng, self.port, self.until, self.model, self.most = (
            random.Random(number),
            port,
            until,
            model,
            most,
        )
        self.seen: list[tuple[str, int, float, int]] = []  # kind, status, seconds, tokens
        self.lost: list[str] = []

    def run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        while time.monotonic() < self.until:
            kind, path, body = request_of(self.rng, self.model, self.most)
            start = time.monotonic()
            try:
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                if kind == "hang up":
                    answer.readline()
                    connection.close()
                    status, tokens = answer.status, 0
                else:
                    text, status = answer.read(), answer.status
                    tokens = (
                        0
                        if body.get("stream") or status != 200
                        else json.loads(text)["usage"]["completion_tokens"]
                    )
                    if body.get("stream") and status == 200 and not text.endswith(b"data: [DONE]\n\n"):
                        self.lost.append(f"{kind}: a stream without an end")
                if status >= 500:
                    self.lost.append(f"{kind}: status {status}")
                self.seen.append((kind, status, time.monotonic() - start, tokens))
                if status == 429:
                    time.sleep(float(answer.headers["Retry-After"]))
            except (OSError, HTTPException, ValueError) as error:
                self.lost.append(f"{kind}: {error!r}")
                connection.close()
        connection.close()


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="town")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--max-tokens", type=int, default=32)
    args = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-m", "alignlab.cli", "serve", f"served={args.model}", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        where = json.loads(server.stdout.readline())
        start = time.monotonic()
        clients = [
            Client(i, where["port"], start + args.seconds, "served", args.max_tokens)
            for i in range(args.clients)
        ]
        for client in clients:
            client.start()
        memory = []
        while any(client.is_alive() for client in clients):
            memory.append((round(time.monotonic() - start, 1), round(resident_mb(server.pid), 1)))
            time.sleep(max(0.5, args.seconds / 40))
        seconds = time.monotonic() - start
        connection = HTTPConnection("127.0.0.1", where["port"], timeout=30)
        connection.request("GET", "/health")
        health = json.loads(connection.getresponse().read())
        connection.close()
    finally:
        server.terminate()
        code = server.wait(30)
    seen = [row for client in clients for row in client.seen]
    lost = [what for client in clients for what in client.lost]
    print(
        json.dumps(
            {
                "model": args.model,
                "clients": args.clients,
                "seconds": round(seconds, 1),
                "requests": len(seen),
                "a_second": round(len(seen) / seconds, 1),
                "lost": len(lost),
                "lost_examples": lost[:3],
                "status": Counter(str(status) for _, status, _, _ in seen),
                "kinds": {
                    kind: summary([row for row in seen if row[0] == kind])
                    for kind in sorted({row[0] for row in seen})
                },
                "all": summary(seen),
                "tokens_counted_a_second": round(sum(tokens for *_, tokens in seen) / seconds, 1),
                "memory_mb": memory,
                "memory_growth": round(memory[-1][1] / memory[len(memory) // 4][1] - 1, 4),
                "still_active": health["active"],
                "exit_code": code,
            },
            indent=1,
        )
    )


def summary(rows: list[tuple[str, int, float, int]]) -> dict[str, Any]:
    times = sorted(seconds for _, _, seconds, _ in rows)
    return (
        {
            "n": len(rows),
            **{f"p{p}": round(times[min(len(times) - 1, len(times) * p // 100)], 3) for p in (50, 90, 99)},
            "slowest": round(times[-1], 3),
        }
        if rows
        else {"n": 0}
    )


if __name__ == "__main__":
    main()
