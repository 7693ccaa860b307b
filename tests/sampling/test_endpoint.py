"""The endpoint sampler against a server on the loopback that answers, stalls, cuts, refuses and talks
rubbish.
"""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from alignlab.errors import ConfigError, ModelError, ResourceError, UserError
from alignlab.records import Message, Prompt
from alignlab.run import RunDir
from alignlab.sampling import Sampling
from alignlab.sampling.address import Address, is_endpoint
from alignlab.sampling.endpoint import EndpointSampler
from alignlab.settings import EndpointSettings

from ..serving import Reply, Server, chat_answer, echo, slowly, text_answer

PROMPTS = [Prompt.user(f"question {i}") for i in range(6)]
PATIENT = EndpointSettings(retries=3, concurrency=2, timeout=20)


def sampler(server: Server, settings: EndpointSettings = PATIENT, **more: Any) -> EndpointSampler:
    return EndpointSampler(server.name, settings, pause=0.01, **more)


def texts(groups: Any) -> list[list[str]]:
    return [[c.text for c in group] for group in groups]


def test_prompts_go_as_messages_and_come_back_in_order():
    asked = Prompt(
        (
            Message("system", "be brief"),
            Message("user", "hello"),
            Message("assistant", "hi"),
            Message("user", "and?"),
        )
    )
    with Server(echo) as server:
        found = sampler(server, stop=("\n\n",)).sample(
            [*PROMPTS, asked], Sampling(n=2, max_new_tokens=9, temperature=0.5, top_p=0.9), seed=3
        )
    assert texts(found) == [[f"I say question {i} {k}" for k in range(2)] for i in range(6)] + [
        ["I say and? 0", "I say and? 1"]
    ]
    assert (
        found[6][0].prompt is asked
        and found[6][0].finished
        and found[6][0].source == server.name
        and found[6][0].ids == ()
    )
    path, body, headers = next(r for r in server.requests if len(r[1]["messages"]) == 4)
    assert path == "/v1/chat/completions" and "Authorization" not in headers
    assert body["messages"] == [m.to_json() for m in asked.messages]
    assert (
        body["model"],
        body["n"],
        body["max_tokens"],
        body["temperature"],
        body["top_p"],
        body["stop"],
    ) == ("teacher", 2, 9, 0.5, 0.9, ["\n\n"])
    assert len({r[1]["seed"] for r in server.requests}) == 7 and all(
        0 <= r[1]["seed"] < 2**31 for r in server.requests
    )


def test_text_and_token_ids_are_continued_and_a_cut_one_is_not_finished():
    with Server(
        lambda number, path, body: text_answer(
            " more", finish="length" if isinstance(body["prompt"], list) else "stop"
        )
    ) as server:
        (plain,), (ids,) = sampler(server).sample(["Once upon", [1, 2, 3]], Sampling(temperature=0.0))
    assert {r[0] for r in server.requests} == {"/v1/completions"} and all(
        "seed" not in r[1] for r in server.requests
    )
    assert (plain.text, plain.finished, ids.text, ids.finished) == (" more", True, " more", False)


def test_a_server_that_knows_no_n_is_asked_for_the_rest():
    with Server(lambda number, path, body: chat_answer(f"answer {body['seed']}")) as server:
        (found,) = sampler(server).sample(PROMPTS[:1], Sampling(n=3))
    assert len(server.requests) == 3 and len({c.text for c in found}) == 3  # each with a seed of its own


def test_no_more_at_a_time_than_is_allowed():
    with Server(slowly(0.05)) as server:
        sampler(server).sample(PROMPTS)
    assert 1 <= server.most_at_once <= 2


@pytest.mark.parametrize(
    "failure",
    [
        Reply("slow down", 429, headers={"Retry-After": "0"}),
        Reply("oh no", 500),
        Reply("<html>busy</html>", 503),
        Reply(chat_answer("half"), cut=True),
        Reply("<html>Welcome</html>"),
        Reply({"choices": []}),
        Reply("[1, 2"),
        Reply(b"\xff\xfe\x00"),
        Reply({"error": {"message": "not yet"}}),
    ],
    ids=["429", "500", "503", "cut", "html", "empty", "half json", "bytes", "error"],
)
def test_a_failure_that_passes_is_not_seen(failure: Reply):
    with Server(lambda number, path, body: failure if number < 2 else echo(number, path, body)) as server:
        found = sampler(server).sample(PROMPTS[:1])
    assert texts(found) == [["I say question 0 0"]] and len(server.requests) == 3


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        ("<html><body>nginx</body></html>", "not JSON"),
        ([], "no choices"),
        ({"choices": "none"}, "no choices"),
        ({"choices": []}, "no choices"),
        ("null", "no choices"),
        ({"choices": [7]}, "without text"),
        ({"choices": [{"message": "text"}]}, "without text"),
        ({"choices": [{"message": {"content": [3]}}]}, "without text"),
        ({"choices": [{"text": 3}]}, "without text"),
        ({"choices": [{"message": {}}]}, "without text"),
        ("[" * 100_000, "not JSON"),
        ("", "not JSON"),
    ],
)
def test_rubbish_is_one_clear_error_after_the_retries(document: Any, hint: str):
    with Server(lambda *_: Reply(document)) as server, pytest.raises(ModelError, match=hint) as error:
        sampler(server).sample(PROMPTS[:1])
    assert (
        len(server.requests) == 4
        and "4 times" in error.value.what
        and "\n" not in error.value.what
        and error.value.where == server.name
    )


def test_texts_that_no_file_could_hold_are_cleaned_and_silence_is_unfinished(tmp_path: Path):
    odd = (
        '{"choices": [{"message": {"content": "a\\ud800b\\u0000c"}, "finish_reason": "stop"}, {"message": '
        '{"content": null}, "finish_reason": "stop"}]}'
    )
    with Server(lambda *_: Reply(odd)) as server:
        ((first, second),) = sampler(server, cache=tmp_path / "c.jsonl").sample(PROMPTS[:1], Sampling(n=2))
    assert first.text == "a?bc" and first.finished and second.text == "" and not second.finished
    assert sampler(server, cache=tmp_path / "c.jsonl").sample(PROMPTS[:1], Sampling(n=2))[0][0].text == "a?bc"


@pytest.mark.parametrize(
    "reply",
    [Reply(chat_answer("too late"), slow=30), Reply(chat_answer("drop by drop" * 50), drip=True)],
    ids=["silent", "drip"],
)
def test_a_late_server_is_given_up(reply: Reply):
    with Server(lambda *_: reply) as server, pytest.raises(ResourceError, match="within 0.3 s, 2 times"):
        EndpointSampler(server.name, EndpointSettings(timeout=0.3, retries=1), pause=0.01).sample(PROMPTS[:1])


def test_nobody_there():
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ResourceError, match="Refused"):
            EndpointSampler(
                f"http://127.0.0.1:{taken.getsockname()[1]}/v1#m", EndpointSettings(retries=1), pause=0.01
            ).sample(PROMPTS[:1])


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (400, "refuses"),
        (401, "ALIGNLAB_API_KEY"),
        (403, "ALIGNLAB_API_KEY"),
        (404, "models"),
        (302, "refuses"),
    ],
)
def test_what_will_never_be_answered_is_asked_once(status: int, hint: str):
    refusal = Reply(
        {"error": {"message": "no such\nthing"}}, status, headers={"Location": "http://example.invalid/"}
    )
    with Server(lambda *_: refusal) as server, pytest.raises(UserError, match=hint) as error:
        sampler(server).sample(PROMPTS[:1])
    assert (
        len(server.requests) == 1
        and ("http://example.invalid/" if status == 302 else "no such thing") in error.value.what
    )


def test_the_key_goes_to_the_server_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALIGNLAB_API_KEY", "sk-very-secret")
    with Server(
        lambda number, path, body: (
            echo(number, path, body) if number == 0 else Reply("the key sk-very-secret is not known", 401)
        )
    ) as server:
        asking = sampler(server, cache=tmp_path / "c.jsonl")
        asking.sample(PROMPTS[:1])
        with pytest.raises(UserError, match="does not take the key") as error:
            asking.sample(PROMPTS[1:2])
    assert server.requests[0][2]["Authorization"] == "Bearer sk-very-secret"
    assert (
        "secret" not in str(error.value)
        and "[key]" in str(error.value)
        and "secret" not in (tmp_path / "c.jsonl").read_text()
    )
    monkeypatch.setenv("ALIGNLAB_API_KEY", "sk-very-secret\n")
    with pytest.raises(ConfigError) as error:
        sampler(server)
    assert "secret" not in str(error.value)


def test_the_same_is_not_paid_for_twice(tmp_path: Path):
    with Server(echo) as server:
        first = sampler(server, cache=tmp_path / "c.jsonl")
        found = first.sample(PROMPTS, seed=1)
        assert first.spent == {"requests": 6, "tokens": 60} and first.sample(PROMPTS, seed=1) == found
        again = sampler(server, cache=tmp_path / "c.jsonl")
        assert (
            again.sample(PROMPTS, seed=1) == found
            and again.spent == first.spent
            and len(server.requests) == 6
        )
        again.sample(PROMPTS[:2], seed=2)  # another seed, other questions
        assert len(server.requests) == 8


def test_a_line_that_was_cut_off_is_asked_for_again(tmp_path: Path):
    cache = tmp_path / "c.jsonl"
    with Server(echo) as server:
        found = sampler(server, cache=cache).sample(PROMPTS)
        whole = cache.read_bytes()
        cache.write_bytes(whole[:-20])
        assert sampler(server, cache=cache).sample(PROMPTS) == found and len(server.requests) == 7
    assert len([json.loads(line) for line in cache.read_text().splitlines()]) == 6


@pytest.mark.parametrize(
    ("budget", "most"),
    [
        (EndpointSettings(max_requests=4, concurrency=1), 4),
        (EndpointSettings(max_tokens=35, concurrency=1), 4),
    ],
)
def test_a_spent_budget_stops_and_keeps_what_came(budget: EndpointSettings, most: int, tmp_path: Path):
    with Server(echo) as server:
        with pytest.raises(ResourceError, match="budget is spent: 4") as error:
            sampler(server, budget, cache=tmp_path / "c.jsonl").sample(PROMPTS)
        assert error.value.exit_code == 8 and len(server.requests) == most
        with pytest.raises(
            ResourceError, match="budget is spent"
        ):  # it is the budget of the run, not of the process
            sampler(server, budget, cache=tmp_path / "c.jsonl").sample(PROMPTS)
        assert len(server.requests) == most
        found = sampler(server, cache=tmp_path / "c.jsonl").sample(PROMPTS)
        assert len(server.requests) == 6 and len(texts(found)) == 6


def test_tokens_are_guessed_where_the_server_counts_none():
    for usage in (None, "many", {"total_tokens": -3}, {"total_tokens": True}):
        with Server(lambda *_, usage=usage: chat_answer("x" * 400, tokens=None) | {"usage": usage}) as server:
            asking = sampler(server)
            asking.sample(PROMPTS[:1])
        assert 100 < asking.spent["tokens"] < 200


def test_one_error_stops_the_others_and_keeps_what_came(tmp_path: Path):
    gate = threading.Event()

    def answer(number: int, path: str, body: Any) -> Any:
        if body["messages"][0]["content"] == "question 1":
            return Reply("no", 400)
        gate.wait(5)
        return echo(number, path, body)

    with Server(answer) as server:
        threading.Timer(0.2, gate.set).start()
        with pytest.raises(UserError, match="refuses"):
            sampler(server, cache=tmp_path / "c.jsonl").sample(PROMPTS)
        assert len(server.requests) < len(PROMPTS)  # those that waited were not sent
        assert (
            len((tmp_path / "c.jsonl").read_text().splitlines()) == len(server.requests) - 1
        )  # the one under way was kept


def test_addresses():
    assert Address.parse("https://host#org/model:7b") == Address(True, "host", None, "/v1", "org/model:7b")
    assert Address.parse("http://[::1]:8000/api/v1/#m").url == "http://[::1]:8000/api/v1"
    assert is_endpoint("http://x/v1#m") and not is_endpoint("httpx/model") and not is_endpoint("town")
    for name in (
        "http://host/v1",
        "http://#m",
        "http://host:port/v1#m",
        "http://host/v1?key=1#m",
        "http://host/a b#m",
    ):
        with pytest.raises(UserError, match="address"):
            Address.parse(name)
    with pytest.raises(UserError) as error:
        Address.parse("http://me:hunter2@host/v1#m")
    assert "hunter2" not in str(error.value)


def test_what_cannot_be_asked_is_refused():
    for settings in (
        EndpointSettings(timeout=0),
        EndpointSettings(retries=-1),
        EndpointSettings(concurrency=0),
        EndpointSettings(max_tokens=-1),
    ):
        with pytest.raises(ConfigError):
            EndpointSampler("http://localhost/v1#m", settings)
    asking = EndpointSampler("http://localhost/v1#m")
    for options in ({"n": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"max_new_tokens": 0}):
        with pytest.raises(ConfigError):
            asking.sample(PROMPTS, Sampling(**options))
    with pytest.raises(UserError, match="trained"):
        asking.sync(None)
    assert asking.sample([]) == []


def test_how_an_endpoint_is_asked_is_no_part_of_a_run(tmp_path: Path):
    def key(name: str, endpoint: dict[str, Any]) -> str:
        return RunDir.open(
            tmp_path / name, stage="collect", config={"settings": {"n": 1, "endpoint": endpoint}}, seed=0
        ).key

    assert key("a", {"max_tokens": 10}) == key("b", {"max_tokens": 0, "timeout": 5})
