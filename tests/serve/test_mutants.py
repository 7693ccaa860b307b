"""Requests with something changed in them: each is answered or refused for what is wrong with it, and none is
a fault of the server's.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from copy import deepcopy
from typing import Any

import pytest

from alignlab.records import Prompt
from alignlab.serve.protocol import read_ask, read_json, read_model
from alignlab.serve.refusal import Refusal

from .conftest import Running

CHAT: dict[str, Any] = {
    "model": "tiny",
    "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "Bob"},
        {"role": "assistant", "content": None, "refusal": "No.", "tool_calls": None},
        {"role": "developer", "content": "x"},
        {"role": "user", "content": "hello"},
    ],
    "n": 2,
    "max_tokens": 3,
    "max_completion_tokens": 3,
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 3,
    "stop": ["\n\n"],
    "stream": False,
    "stream_options": {"include_usage": True},
    "logprobs": True,
    "top_logprobs": 2,
    "frequency_penalty": 0,
    "logit_bias": {},
    "user": "me",
    "metadata": {"a": "b"},
    "tools": [],
    "tool_choice": "none",
    "response_format": {"type": "text"},
}
TEXT: dict[str, Any] = {
    "model": "tiny",
    "prompt": ["a", "b"],
    "n": 2,
    "max_tokens": 3,
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 3,
    "stop": "\n\n",
    "stream": False,
    "logprobs": 2,
    "echo": True,
    "best_of": 1,
    "suffix": None,
}
DEEP = json.loads("[" * 300 + "]" * 300)
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    -(10**400),
    0.5,
    -0.0,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x",
    "a" * 3000,
    "\ud800",
    "\0",
    "\u202e\x1b[31m",
    "<end>",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    {"type": "text"},
    {"type": "text", "text": 3},
    {"type": "image_url", "image_url": {"url": "http://x"}},
    {"role": "user"},
    DEEP,
    {"a": DEEP},
    [10**400],
    [[3]],
    [[-1]],
    [3, 4],
    [3, 10**30],
    "system",
    "assistant",
    "tool",
    "function",
    "Human",
    "tiny+self-reminder",
    "tiny+" * 300,
    ["x"] * 30,
    "1",
    "true",
    [1.5],
    ["a", 3],
]
FIELDS = [
    "model",
    "messages",
    "prompt",
    "n",
    "max_tokens",
    "seed",
    "stop",
    "logprobs",
    "echo",
    "stream",
    "role",
    "content",
    "refusal",
    "name",
    "tool_calls",
    "function_call",
    "audio",
    "type",
    "text",
    "suffix",
    "modalities",
    "\ud800",
    "x\r\ny",
]


def mutated(rng: random.Random, chat: bool) -> bytes:
    row = json.loads(json.dumps(CHAT if chat else TEXT))
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        place = row
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = (
                rng.choice(keys)
                if keys and rng.random() < 0.85
                else rng.choice(FIELDS)
                if isinstance(place, dict)
                else None
            )
            if key is None:
                place.append(deepcopy(rng.choice(ODD)))
            elif isinstance(place, dict) and key not in place:
                place[key] = deepcopy(rng.choice(ODD))
            elif isinstance(place[key], dict | list) and place[key] and rng.random() < 0.6:
                place = place[key]
                continue
            elif rng.random() < 0.1:
                del place[key]
            else:
                place[key] = deepcopy(rng.choice(ODD))
            break
    body = json.dumps(row).encode()
    if rng.random() < 0.1:
        broken = bytearray(body)
        broken[rng.randrange(len(broken))] = rng.randrange(256)
        return bytes(broken)
    return body


def test_every_mutated_body_is_read_or_refused() -> None:
    rng, ends = random.Random(0), Counter()
    for i in range(6000):
        body = mutated(rng, chat := bool(i % 2))
        try:
            row = read_json(body)
            read_model(row)
            ask = read_ask(row, chat=chat)
            assert (
                ask.prompts
                and all(isinstance(prompt, Prompt) == chat for prompt in ask.prompts)
                and len(ask.ignored) <= 20
            )
            for prompt in ask.prompts:
                str(prompt.messages if isinstance(prompt, Prompt) else prompt).encode()
            ends["read"] += 1
        except Refusal as refusal:
            assert refusal.status in (400, 404) and 10 < len(refusal.message) < 700
            json.dumps(refusal.to_json(), ensure_ascii=False).encode("utf-8", "replace")
            ends["refused"] += 1
    assert min(ends.values()) > 600, ends


def campaign(running: Running, count: int, seed: int) -> Counter[int]:
    rng, ends = random.Random(seed), Counter[int]()
    headers = {
        "x_alignlab_defence": ["self-reminder", "nobody", "++,,", "\xff"],
        "content_type": ["application/json; charset=utf-8", "text/plain", "", "application/json" * 100],
        "authorization": ["Bearer x", "\xff", ""],
        "expect": ["100-continue", "x"],
        "accept_encoding": ["gzip"],
        "connection": ["close", "keep-alive, x"],
    }
    paths = ["/v1/chat/completions", "/v1/completions"]
    for _ in range(count):
        path = rng.choice(paths)
        method = (
            "POST"
            if rng.random() < 0.95
            else rng.choice(["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
        )
        more = {name: rng.choice(values) for name, values in headers.items() if rng.random() < 0.05}
        body = mutated(rng, path == paths[0])
        if rng.random() < 0.03:
            path = rng.choice(
                [
                    "/",
                    "/v1",
                    "/v1/models/%00%ff",
                    "/v1/models/tiny+x",
                    "//v1/models",
                    "/v1/completions/",
                    "/v1/completions?x=%zz",
                    "/%2e%2e/%2e%2e/etc/passwd",
                ]
            )
        status, _, answer = running.raw(method, path, body, **({"content_type": "application/json"} | more))
        assert status < 500, (status, method, path, more, body[:3000], answer)
        ends[status] += 1
    return ends


def test_no_mutated_request_is_a_fault_of_the_servers(running: Running) -> None:
    ends = campaign(running, 150, 0)
    assert ends[200] > 20 and ends[400] > 40


@pytest.mark.campaign
def test_three_thousand_mutated_requests_are_no_fault_of_the_servers(running: Running) -> None:
    ends = campaign(running, 3000, 1)
    assert ends[200] > 400 and ends[400] > 800


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            "ab",
        ),
        ({"role": "human", "content": "a"}, "a"),
        ({"role": "User", "content": "a"}, "a"),
        (
            {
                "role": "user",
                "content": "a",
                "name": "Bob",
                "tool_calls": None,
                "audio": None,
                "refusal": None,
            },
            "a",
        ),
        (
            {
                "role": "assistant",
                "content": "a",
                "refusal": None,
                "tool_calls": [],
                "function_call": None,
                "annotations": [],
            },
            "a",
        ),
        ({"role": "assistant", "content": None, "refusal": "No."}, "No."),
        ({"role": "assistant", "refusal": "No."}, "No."),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, "No."),
        ({"role": "assistant", "content": "a", "reasoning_content": "Hm"}, "a"),
        ({"role": "developer", "content": "a"}, "a"),
    ],
)
def test_what_a_message_says(message: dict[str, Any], text: str) -> None:
    ask = read_ask({"model": "m", "messages": [message, {"role": "user", "content": "and?"}]}, chat=True)
    [prompt] = ask.prompts
    assert (
        isinstance(prompt, Prompt)
        and prompt.messages[0].content == text
        and prompt.messages[0].role in ("system", "user", "assistant")
    )
    assert set(ask.ignored) == {
        f"messages.{name}" for name in ("name", "reasoning_content") if message.get(name)
    }


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"role": "tool", "content": "a", "tool_call_id": "x"}, "not rendered"),
        ({"role": "function", "name": "f", "content": "a"}, "not rendered"),
        ({"role": "wizard", "content": "a"}, "roles:"),
        ({"role": ["user"], "content": "a"}, "a JSON list"),
        ({"content": "a"}, "role null"),
        ("user", "role null"),
        ({"role": "user"}, "content must be a text"),
        ({"role": "user", "content": None}, "content must be a text"),
        ({"role": "assistant", "content": "a", "tool_calls": [{"id": "x"}]}, "tool_calls is not supported"),
        ({"role": "assistant", "content": None, "function_call": {"name": "f"}}, "function_call is not"),
        ({"role": "assistant", "audio": {"id": "x"}}, "audio is not supported"),
        ({"role": "assistant", "content": "a", "refusal": True}, "refusal is true"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, '"image_url"'),
        ({"role": "user", "content": ["a"]}, 'part of it is "a"'),
        ({"role": "user", "content": [{"text": "a"}]}, "a JSON dict"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "must be a text"),
    ],
)
def test_what_cannot_be_rendered_is_refused_and_not_left_out(message: Any, says: str) -> None:
    with pytest.raises(Refusal) as refusal:
        read_ask({"model": "m", "messages": [message, {"role": "user", "content": "and?"}]}, chat=True)
    assert (
        refusal.value.status == 400
        and says in refusal.value.message
        and str(refusal.value.to_json()["error"]["param"]).startswith("messages[0].")
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"stop": "x" * 300}, "longer than 256"),
        ({"model": "m" * 1001}, "longer than 1000"),
        ({"temperature": 10**400}, "from 0 to 2"),
        ({"top_p": -(10**400)}, "at most 1"),
        ({"temperature": DEEP}, "a JSON list"),
        ({"seed": 10**400}, "whole number"),
        ({"max_tokens": 10**400}, "whole number"),
    ],
)
def test_values_beyond_all_bounds(row: dict[str, Any], says: str) -> None:
    whole = {"model": "m", "prompt": "x", **row}
    with pytest.raises(Refusal, match=says) as refusal:
        read_model(whole)
        read_ask(whole, chat=False)
    assert refusal.value.status == 400
