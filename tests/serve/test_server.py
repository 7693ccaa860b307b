"""The server over a real socket: what it answers is what the sampler writes, and nothing that a client sends
makes it fall.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab import cli, names
from alignlab.constitution import files
from alignlab.constitution.forms import DocumentForm
from alignlab.models.chat import prompt_ids
from alignlab.models.load import load_policy
from alignlab.models.policy import Policy
from alignlab.records import Message, Prompt
from alignlab.sampling import Sampling
from alignlab.sampling.endpoint import EndpointSampler
from alignlab.sampling.local import LocalSampler
from alignlab.serve.mailbox import Mailbox
from alignlab.settings import EndpointSettings, ModelSettings

from .conftest import CONTEXT, Running


def expected(policy: Policy, prompts: list[Any], **more: Any) -> list[list[Any]]:
    return LocalSampler.of(policy).sample(prompts, **more)


def wait_until_idle(running: Running) -> None:
    deadline = time.monotonic() + 30
    while running.server.active or running.engine.sampler.busy:
        assert time.monotonic() < deadline, "a slot was not freed"
        time.sleep(0.01)


def test_a_chat_is_what_the_sampler_writes_for_the_seed(running: Running, policy: Policy) -> None:
    [want] = expected(
        policy, [Prompt.user("hello")], n=3, max_new_tokens=24, temperature=0.9, top_p=0.8, seed=11
    )
    status, found = running.chat("hello", n=3, max_tokens=24, temperature=0.9, top_p=0.8, seed=11)
    assert status == 200
    assert [c["message"]["content"] for c in found["choices"]] == [c.text for c in want]
    assert [c["finish_reason"] for c in found["choices"]] == [
        "stop" if c.finished else "length" for c in want
    ]
    asked = len(prompt_ids(policy.tokenizer, Prompt.user("hello")))
    written = sum(len(c.ids) for c in want)
    assert found["usage"] == {
        "prompt_tokens": asked,
        "completion_tokens": written,
        "total_tokens": asked + written,
    }
    assert (
        found["object"] == "chat.completion"
        and found["model"] == "tiny"
        and found["choices"][2]["index"] == 2
    )


def test_many_at_once_get_what_each_gets_alone(running: Running, policy: Policy) -> None:
    texts = [f"question {i} " + "x" * (i * 5 % 60) for i in range(40)]
    alone = [
        expected(
            policy,
            [Prompt.user(text)],
            max_new_tokens=10 + i % 30,
            temperature=[0.0, 1.0, 0.7][i % 3],
            seed=i,
        )[0][0].text
        for i, text in enumerate(texts)
    ]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        found = list(
            pool.map(
                lambda i: running.chat(
                    texts[i], max_tokens=10 + i % 30, temperature=[0.0, 1.0, 0.7][i % 3], seed=i
                ),
                range(40),
            )
        )
    assert [status for status, _ in found] == [200] * 40
    assert [row["choices"][0]["message"]["content"] for _, row in found] == alone


def test_a_stream_in_pieces_is_the_whole(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine waits for a reader to take each piece: on a machine with much else to do he lags behind."""
    taken, tell, take = threading.Event(), Mailbox.tell, Mailbox.next

    def tell_and_wait(self: Mailbox, pieces: list, over: bool) -> None:
        taken.clear()
        tell(self, pieces, over)
        assert over or taken.wait(60)

    async def taking(self: Mailbox) -> list:
        pieces = await take(self)
        taken.set()
        return pieces

    asked = {
        "messages": [{"role": "user", "content": "hello"}],
        "n": 6,
        "seed": 5,
        "max_tokens": 20,
        "stream_options": {"include_usage": True},
        "logprobs": True,
    }
    _, whole = running.post("/v1/chat/completions", {"model": "tiny", **asked})
    monkeypatch.setattr(Mailbox, "tell", tell_and_wait)
    monkeypatch.setattr(Mailbox, "next", taking)
    events = running.stream("/v1/chat/completions", asked)
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert events[-1]["choices"] == [] and events[-1]["usage"] == whole["usage"]
    assert len(events) > 6 + 6 + 10, "the pieces come one by one"
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    for i, choice in enumerate(whole["choices"]):
        mine = [event["choices"][0] for event in events[:-1] if event["choices"][0]["index"] == i]
        assert "".join(part["delta"].get("content", "") for part in mine) == choice["message"]["content"]
        assert [part["finish_reason"] for part in mine] == [None] * (len(mine) - 1) + [
            choice["finish_reason"]
        ]
        told = [token for part in mine if part["logprobs"] for token in part["logprobs"]["content"]]
        want = choice["logprobs"]["content"]
        assert [token["token"] for token in told] == [token["token"] for token in want]
        assert [token["logprob"] for token in told] == pytest.approx(
            [token["logprob"] for token in want], abs=1e-4
        )


def test_a_reader_who_lags_behind_is_told_the_end_with_the_last_piece(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pieces of an answer wait until it is over: they are one by then, with all its letters, and it says
    why it ended.
    """
    take = Mailbox._take

    def late(self: Mailbox, pieces: list, over: bool) -> None:
        event, self.event = self.event, asyncio.Event()
        take(self, pieces, over)
        self.event = event
        if over:
            event.set()

    asked = {
        "messages": [{"role": "user", "content": "hello"}],
        "n": 2,
        "seed": 5,
        "max_tokens": 20,
        "logprobs": True,
    }
    _, whole = running.post("/v1/chat/completions", {"model": "tiny", **asked})
    monkeypatch.setattr(Mailbox, "_take", late)
    events = [event["choices"][0] for event in running.stream("/v1/chat/completions", asked)[2:]]
    assert len(events) == 2
    for choice, event in zip(whole["choices"], sorted(events, key=lambda event: event["index"]), strict=True):
        assert (
            event["delta"]["content"] == choice["message"]["content"]
            and event["finish_reason"] == choice["finish_reason"]
        )
        assert [token["token"] for token in event["logprobs"]["content"]] == [
            token["token"] for token in choice["logprobs"]["content"]
        ]


def test_a_stop_text_ends_an_answer_and_a_clients_list_wins(policy: Policy) -> None:
    running = Running(policy, stop=("c",))
    try:
        texts = {
            seed: running.chat("hi", seed=seed, stop=[], max_tokens=40)[1]["choices"][0]["message"]["content"]
            for seed in range(12)
        }
        seed, text = next(
            (seed, text) for seed, text in texts.items() if "c" in text and len(text) > 12
        )  # an empty list of the client's overrides the server's
        _, servers = running.chat("hi", seed=seed, max_tokens=40)
        assert (
            servers["choices"][0]["message"]["content"] == text[: text.index("c")]
            and servers["choices"][0]["finish_reason"] == "stop"
        )
        mark = text[6:9]
        for stop in (mark, [mark], ["zzzz", mark]):
            _, cut = running.chat("hi", seed=seed, stop=stop, max_tokens=40)
            assert (
                cut["choices"][0]["message"]["content"] == text[: text.index(mark)]
                and cut["choices"][0]["finish_reason"] == "stop"
            )
        pieces = running.stream(
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "hi"}], "seed": seed, "stop": [mark], "max_tokens": 40},
        )
        assert (
            "".join(event["choices"][0]["delta"].get("content", "") for event in pieces)
            == text[: text.index(mark)]
        )
        wait_until_idle(running)
    finally:
        running.close()


def test_echo_of_token_ids_gives_the_log_probability_of_each(running: Running, policy: Policy) -> None:
    """As lm-evaluation-harness asks: lists of ids, one token more, the log-probabilities of all."""
    rows = [policy.tokenizer(text)["input_ids"] for text in ("abcabc", "a longer text", "x")]
    for most in (1, 0):
        status, found = running.complete(rows, max_tokens=most, logprobs=1, echo=True, temperature=0, seed=1)
        assert status == 200 and [choice["index"] for choice in found["choices"]] == [0, 1, 2]
        for row, choice in zip(rows, found["choices"], strict=True):
            told = choice["logprobs"]
            assert (
                len(told["tokens"])
                == len(told["token_logprobs"])
                == len(told["top_logprobs"])
                == len(told["text_offset"])
                == len(row) + most
            )
            with torch.no_grad():
                log_p_TV = policy.model(torch.tensor([row])).logits[0].log_softmax(-1)
            assert told["token_logprobs"][0] is None and told["top_logprobs"][0] is None
            want = log_p_TV[:-1].gather(1, torch.tensor(row)[1:, None])[:, 0]
            torch.testing.assert_close(
                torch.tensor(told["token_logprobs"][1 : len(row)]), want, atol=1e-4, rtol=1e-4
            ) if len(row) > 1 else None
            for value, best, place in zip(
                told["token_logprobs"][1 : len(row)],
                told["top_logprobs"][1 : len(row)],
                range(1, len(row)),
                strict=True,
            ):
                assert (value == max(best.values())) == (row[place] == int(log_p_TV[place - 1].argmax())), (
                    "the harness calls a token greedy by this"
                )
            assert choice["text"].startswith(policy.tokenizer.decode(row)) and "".join(
                told["tokens"][: len(row)]
            ) == policy.tokenizer.decode(row)


def test_log_probabilities_of_what_was_written_are_those_of_reading_it(
    running: Running, policy: Policy
) -> None:
    _, found = running.complete("hello", max_tokens=12, logprobs=5, temperature=0.7, seed=2)
    [[written]] = expected(policy, ["hello"], max_new_tokens=12, temperature=0.7, seed=2)
    before = policy.tokenizer("hello")["input_ids"]
    with torch.no_grad():
        log_p_TV = (
            policy.model(torch.tensor([[*before, *written.ids]]))
            .logits[0]
            .log_softmax(-1)[len(before) - 1 : -1]
        )
    told = found["choices"][0]["logprobs"]
    torch.testing.assert_close(
        torch.tensor(told["token_logprobs"]),
        log_p_TV.gather(1, torch.tensor(written.ids)[:, None])[:, 0],
        atol=1e-4,
        rtol=1e-4,
    )
    assert all(len(best) in (5, 6) for best in told["top_logprobs"])
    _, chat = running.chat("hello", max_tokens=5, logprobs=True, top_logprobs=3, seed=1)
    content = chat["choices"][0]["logprobs"]["content"]
    assert len(content) == chat["usage"]["completion_tokens"] and all(
        len(token["top_logprobs"]) == 3 for token in content
    )
    assert all(bytes(token["bytes"]).decode() == token["token"] for token in content)


def test_an_answer_that_the_client_began_goes_on(running: Running, policy: Policy) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "abc"}]
    asked = {"model": "tiny", "messages": messages, "temperature": 0, "max_tokens": 8}
    status, found = running.post("/v1/chat/completions", asked)
    assert (
        running.post(
            "/v1/chat/completions", {**asked, "continue_final_message": True, "add_generation_prompt": False}
        )[1]["choices"]
        == found["choices"]
    )
    assert running.post("/v1/chat/completions", {**asked, "continue_final_message": False})[0] == 400
    ids = [*prompt_ids(policy.tokenizer, Prompt.user("hi")), *policy.tokenizer("abc")["input_ids"]]
    [[want]] = expected(policy, [ids], max_new_tokens=8, temperature=0.0)
    assert status == 200 and found["choices"][0]["message"]["content"] == want.text


def test_our_own_endpoint_sampler_works_against_it(running: Running, policy: Policy) -> None:
    sampler = EndpointSampler(f"http://127.0.0.1:{running.port}/v1#tiny", EndpointSettings(retries=0))
    found = sampler.sample(
        [Prompt.user("one"), Prompt.user("two"), "a text"], Sampling(n=2, max_new_tokens=9, temperature=0.0)
    )
    want = expected(
        policy, [Prompt.user("one"), Prompt.user("two"), "a text"], n=2, max_new_tokens=9, temperature=0.0
    )
    assert [[c.text for c in row] for row in found] == [[c.text.strip() for c in row] for row in want]
    assert [[c.finished for c in row] for row in found] == [
        [c.finished and c.text != "" for c in row] for row in want
    ]
    assert sampler.spent["tokens"] > 0


def test_a_red_team_prefills_through_it_where_it_is_told_that_it_may(
    running: Running, policy: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"http://127.0.0.1:{running.port}/v1#tiny"
    begun = [Prompt((Message("user", "hi"), Message("assistant", "abc")))]
    [[there]] = EndpointSampler(address, EndpointSettings(retries=0, prefill=True)).sample(
        begun, Sampling(max_new_tokens=8, temperature=0.0)
    )
    [[here]] = expected(policy, begun, max_new_tokens=8, temperature=0.0)
    assert there.text == here.text.strip()
    asked = [
        "redteam",
        address,
        "--attacks",
        "story,prefill",
        "--goals",
        "2",
        "--twins",
        "0",
        "--harmless",
        "",
        "--judge",
        "refusal",
        "--sampling.max-new-tokens",
        "8",
        "--shorten",
        "0",
        "--json",
    ]
    for name, more in (("may", ["--endpoint.prefill", "true"]), ("may-not", [])):
        assert cli.main([*asked, *more, "--out", str(tmp_path / name)]) == 0
        said = capsys.readouterr()
        assert ("prefill" in json.loads(said.out)["attacks"]) == bool(more) and (
            "needs prefill" in said.err
        ) == (not more)


@pytest.mark.parametrize(
    ("row", "status", "says"),
    [
        ({"messages": []}, 400, "messages is missing"),
        ({"messages": "hi"}, 400, "messages is missing"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "not rendered"),
        ({"messages": [{"role": "user", "content": 3}]}, 400, "must be a text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "must be a text"),
        ({"temperature": "hot"}, 400, "number from 0 to 2"),
        ({"temperature": 2.5}, 400, "number from 0 to 2"),
        ({"temperature": True}, 400, "number"),
        ({"temperature": float("nan")}, 400, "number from 0 to 2"),
        ({"top_p": 0}, 400, "above 0 and at most 1"),
        ({"n": 0}, 400, "from 1 to 128"),
        ({"n": 1.5}, 400, "whole number"),
        ({"n": 10**30}, 400, "whole number"),
        ({"max_tokens": 0}, 400, "from 1"),
        ({"max_tokens": "9"}, 400, "whole number"),
        ({"stop": [1]}, 400, "stop must be"),
        ({"stop": [""]}, 400, "none empty"),
        ({"stream": "yes"}, 400, "true or false"),
        ({"seed": "x"}, 400, "whole number"),
        ({"top_logprobs": 3}, 400, "without logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, 400, "from 0 to 20"),
        ({"tools": [{}]}, 400, "calls no tools"),
        ({"stream_options": 3}, 400, "stream_options"),
        ({"response_format": {"type": "json_object"}}, 400, "promises no format"),
        ({"continue_final_message": True}, 400, "asks for the other"),
        ({"add_generation_prompt": False}, 400, "asks for the other"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "put a user message before it"),
        ({"model": "tine"}, 404, "GET /v1/models"),
        ({"model": None}, 400, "model is missing"),
        ({"model": "tiny+nonsense"}, 404, "there is no defence"),
        ({"model": "tiny\r\nx-evil: 1"}, 404, "there is no model"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_000}]}, 400, "reads at most"),
        ({"messages": [{"role": "user", "content": "x" * 3_000_000}]}, 413, "bytes"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    running: Running, row: dict[str, Any], status: int, says: str
) -> None:
    found, answer = running.chat("hello", **row)
    assert found == status and says in answer["error"]["message"], answer
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert running.chat("hello", max_tokens=2)[0] == 200


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": []}, "none of the lists empty"),
        ({"prompt": [[]]}, "none of the lists empty"),
        ({"prompt": [[1], "x"]}, "none of the lists empty"),
        ({"prompt": [True]}, "none of the lists empty"),
        ({"prompt": None}, "none of the lists empty"),
        ({"prompt": ""}, "holds no token"),
        ({"prompt": [1, 261]}, "there is no token 261"),
        ({"prompt": [-1]}, "there is no token -1"),
        ({"prompt": [5] * CONTEXT}, "reads and writes"),
        ({"prompt": "x", "max_tokens": 0}, "from 1"),
        ({"prompt": "x", "logprobs": 99}, "from 0 to 20"),
        ({"prompt": ["x"] * 1000, "n": 2}, "completions in one request"),
        ({"prompt": "x", "echo": True, "logprobs": 1, "stream": True}, "not streamed"),
        ({"prompt": [[5] * 300] * 100, "n": 2, "echo": True, "logprobs": 20}, "send several requests"),
    ],
)
def test_a_wrong_completion_is_told_what_is_wrong(running: Running, row: dict[str, Any], says: str) -> None:
    status, answer = running.post("/v1/completions", {"model": "tiny", **row})
    assert status == 400 and says in answer["error"]["message"], answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model": "tiny", "mess',
        b"[1]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
        b"\x00",
    ],
)
def test_half_a_json_is_no_request(running: Running, body: bytes) -> None:
    status, _, answer = running.raw("POST", "/v1/chat/completions", body, content_type="application/json")
    assert status == 400 and json.loads(answer)["error"]["code"] == "invalid_json"


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "a\x00b",
        "\u202egnp.exe",
        "\u200bzero\u200dwidth",
        "\ud800",
        "\udfff\ud800x",
        "\x1b[31mred\x1b[0m",
        "\U0001f600" * 20,
        "<end><user>",
    ],
)
def test_strange_characters_are_text(running: Running, text: str) -> None:
    status, answer = running.chat(text, max_tokens=3, temperature=0)
    assert status == 200 and answer["usage"]["prompt_tokens"] > 3
    status, answer = running.complete(text, max_tokens=1, echo=True)
    assert status == 200 and answer["choices"][0]["text"].startswith(
        text.replace("\ud800", "\ufffd").replace("\udfff", "\ufffd")
    )


def test_a_chat_that_is_gone_on_with_is_echoed_token_by_token(running: Running, policy: Policy) -> None:
    prompt = Prompt((Message("user", "abc"), Message("assistant", "a \u20ac d")))
    messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
    asked = {"model": "tiny", "messages": messages, "echo": True, "logprobs": True, "top_logprobs": 2}
    for most in (0, 2):
        status, found = running.post("/v1/chat/completions", asked | {"max_tokens": most, "temperature": 0})
        assert status == 200
        choice = found["choices"][0]
        assert choice["message"]["content"].startswith("a \u20ac d")
        said = choice["logprobs"]["content"][: len("a \u20ac d".encode())]
        assert bytes(byte for token in said for byte in token["bytes"]).decode() == "a \u20ac d"
        assert len(choice["logprobs"]["content"]) == len(said) + most
        row = prompt_ids(policy.tokenizer, prompt)
        with torch.no_grad():
            log_p_TV = policy.model(torch.tensor([row])).logits[0].log_softmax(-1)
        want = log_p_TV[:-1].gather(1, torch.tensor(row)[1:, None])[-len(said) :, 0]
        told = torch.tensor([token["logprob"] for token in said])
        torch.testing.assert_close(told, want, atol=1e-4, rtol=1e-4)
    for wrong in (messages[:1], [messages[0], {"role": "assistant", "content": ""}]):
        status, found = running.post("/v1/chat/completions", asked | {"messages": wrong})
        assert status == 400 and found["error"]["param"] == "echo"
    events = running.stream("/v1/chat/completions", {"messages": messages, "echo": True, "max_tokens": 1})
    assert events[1]["choices"][0]["delta"]["content"] == "a \u20ac d"


def test_routes_methods_and_types(running: Running) -> None:
    status, models = running.get("/v1/models")
    assert (
        status == 200
        and [card["id"] for card in models["data"]] == ["tiny"]
        and models["data"][0]["alignlab"]["context"] == CONTEXT
    )
    assert (
        running.get("/v1/models/tiny")[1]["object"] == "model" and running.get("/v1/models/other")[0] == 404
    )
    assert (
        running.get("/nothing")[1]["error"]["code"] == "unknown_url"
        and running.get("/v1/completions")[0] == 405
    )
    assert running.get("/health")[1]["status"] == "ok"
    assert running.post("/v1/completions", {}, content_type="text/plain")[0] == 415, (
        "what a web page may send unasked"
    )
    assert running.get("/v1/models", host="evil.example")[0] == 421, (
        "a name that was made to resolve to the loopback"
    )
    status, headers, _ = running.raw(
        "POST",
        "/v1/completions",
        json.dumps(
            {
                "model": "tiny",
                "prompt": "x",
                "frequency_penalty": 0.5,
                "presence_penalty": 0.0,
                "user": "me",
                "made\r\nup": 1,
            }
        ).encode(),
        content_type="application/json",
    )
    assert status == 200 and headers["x-alignlab-ignored"] == "frequency_penalty,made??up"


def test_a_full_queue_says_so_and_a_client_that_leaves_frees_its_slot(policy: Policy) -> None:
    running = Running(policy, queue=2, slots=1, max_new_tokens=180)
    try:
        endless = {
            "model": "tiny",
            "messages": [{"role": "user", "content": "x"}],
            "max_tokens": 170,
            "logit_bias": {},
            "stream": True,
            "n": 60,
        }
        clients = []
        for _ in range(2):
            client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
            client.request(
                "POST", "/v1/chat/completions", json.dumps(endless), {"content-type": "application/json"}
            )
            assert client.getresponse().readline().startswith(b"data: ")
            clients.append(client)
        status, headers, body = running.raw(
            "POST", "/v1/chat/completions", json.dumps(endless).encode(), content_type="application/json"
        )
        assert (
            status == 429
            and headers["retry-after"] == "1"
            and json.loads(body)["error"]["type"] == "rate_limit_error"
        )
        for client in clients:
            assert client.sock is not None
            client.sock.shutdown(socket.SHUT_RDWR)
            client.close()
        wait_until_idle(running)
        assert running.chat("x", max_tokens=2)[0] == 200
    finally:
        running.close()


def test_a_client_that_leaves_before_its_answer_frees_its_slot(policy: Policy) -> None:
    running = Running(policy, slots=1, max_new_tokens=180)
    try:
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            body = json.dumps({"model": "tiny", "prompt": "x", "max_tokens": 170, "n": 100}).encode()
            client.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            while not running.engine.sampler.busy:
                time.sleep(0.01)
            [job] = running.engine._jobs
        wait_until_idle(running)
        assert len(job.streams) == 100 and sum(stream.done for stream in job.streams) < 50, (
            "the rest was not written for nobody"
        )
        assert running.chat("x", max_tokens=2)[0] == 200
    finally:
        running.close()


def test_a_request_that_takes_too_long_ends_with_an_error(policy: Policy) -> None:
    running = Running(policy, timeout=0.3, slots=1, max_new_tokens=180)
    try:
        status, answer = running.chat("x", n=128, max_tokens=170)
        assert status == 504 and answer["error"]["code"] == "timeout"
        wait_until_idle(running)
    finally:
        running.close()


def test_closing_ends_what_waits(policy: Policy) -> None:
    running = Running(policy, slots=1, max_new_tokens=180)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(running.chat, "x", n=128, max_tokens=170)
        while not running.engine.sampler.busy:
            time.sleep(0.01)
        running.engine.close()
        status, answer = asked.result(30)
    assert status == 503 and "shutting down" in answer["error"]["message"]
    assert running.chat("x")[0] == 503
    running.close()


def test_a_key_is_asked_for_and_the_log_holds_no_secret(policy: Policy, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    running = Running(policy, audit=file, key="s3cret-key", stacks=((), ("self-reminder",)))
    try:
        assert running.get("/v1/models")[0] == 401 and running.chat("hello")[0] == 401
        assert running.get("/v1/models", authorization="Bearer wrong")[0] == 401
        ask = {
            "model": "tiny+self-reminder",
            "messages": [{"role": "user", "content": "private words"}],
            "max_tokens": 3,
            "user": "somebody",
        }
        status, answer = running.post("/v1/chat/completions", ask, authorization="Bearer s3cret-key")
        assert status == 200 and answer["alignlab"]["queries"] == 1
        assert (
            running.post(
                "/v1/chat/completions", {**ask, "temperature": 9}, authorization="Bearer s3cret-key"
            )[0]
            == 400
        )
    finally:
        running.close()
    written = file.read_text()
    rows = [json.loads(line) for line in written.splitlines()]
    assert [row["status"] for row in rows] == [401, 200, 400]
    assert (
        rows[1]["model"] == "tiny"
        and rows[1]["defences"] == ["self-reminder"]
        and rows[1]["completion_tokens"] <= 3
        and rows[1]["id"] == answer["id"]
    )
    assert not any(word in written for word in ("s3cret", "private words", "somebody", "Bearer"))
    assert file.stat().st_mode & 0o077 == 0


def test_bodies_are_logged_only_where_that_is_asked_for(policy: Policy, tmp_path: Path) -> None:
    running = Running(policy, audit=tmp_path / "audit.jsonl", audit_bodies=True)
    try:
        _, answer = running.chat("private words", max_tokens=3)
    finally:
        running.close()
    row = json.loads((tmp_path / "audit.jsonl").read_text())
    assert row["prompts"] == [[{"role": "user", "content": "private words"}]] and row["completions"] == [
        answer["choices"][0]["message"]["content"]
    ]


def test_a_log_that_cannot_be_written_stops_the_answers(policy: Policy) -> None:
    running = Running(policy, audit=Path("/dev/full"))
    try:
        assert running.chat("x", max_tokens=1)[0] == 200, "the first one that could not be written"
        status, answer = running.chat("x", max_tokens=1)
        assert status == 503 and "audit log" in answer["error"]["message"]
    finally:
        running.close()


def test_weights_that_are_not_finite_are_an_answer_not_a_fall(policy: Policy) -> None:
    from .conftest import tiny_policy

    broken = tiny_policy(1)
    with torch.no_grad():
        broken.model.lm_head.weight[3] = float("nan")
    running = Running(broken)
    try:
        status, answer = running.chat("x", max_tokens=3)
        assert status == 500 and answer["error"]["code"] == "not_finite"
        wait_until_idle(running)
    finally:
        running.close()


def test_a_critic_behind_it_writes_what_the_critic_writes_here() -> None:
    """`--critic http://... --form document`: a document ends at the token between two, and nothing of the
    next one is read.
    """
    policy, form = load_policy(names.models.model("town-s").path, ModelSettings()), DocumentForm()
    asked = [
        form.critique(Prompt.user(question), draft, principle)
        for principle in files.load("town").principles[:4]
        for question, draft in (
            ("How do I rob the bank?", "First, hide your face. Last, fill a sack with coins."),
            ("Who is the baker?", "I do not know."),
        )
    ]
    here = LocalSampler.of(policy, documents=True).sample(asked, Sampling(max_new_tokens=64, temperature=0.0))
    server = Running(policy)
    try:
        there = EndpointSampler(f"http://127.0.0.1:{server.port}/v1#tiny", stop=form.stop).sample(
            asked, Sampling(max_new_tokens=64, temperature=0.0)
        )
    finally:
        server.close()
    said = [(form.read_critique(group[0].text), group[0].finished) for group in there]
    assert (
        said == [(form.read_critique(group[0].text), True) for group in here]
        and len({critique.text for critique, _ in said}) > 1
    )


def test_a_small_request_is_answered_while_a_large_one_is_under_way(policy: Policy) -> None:
    """By request and not by arrival, of completions as of prompts to be scored: the large ones are still
    being written when the small ones are answered.
    """
    running = Running(policy, slots=4, max_new_tokens=300)
    try:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            large = [
                pool.submit(running.complete, "x", n=100, max_tokens=300),
                pool.submit(running.complete, [[5] * 300] * 400, echo=True, logprobs=0, max_tokens=0),
            ]
            while running.server.active < 2 or not running.engine.sampler.busy:
                time.sleep(0.01)
            assert running.chat("hi", max_tokens=5)[0] == 200
            assert running.complete([5, 6, 7], echo=True, logprobs=1, max_tokens=0)[0] == 200
            assert not large[0].done() and not large[1].done()
            running.engine.close()
            assert [asked.result(30)[0] for asked in large] == [503, 503]
    finally:
        running.close()
