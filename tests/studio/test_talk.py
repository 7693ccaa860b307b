"""Talking to models: who there is, what a question is answered with, and what becomes of the processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alignlab.run import derive_seed
from alignlab.studio.models import BASES
from alignlab.studio.scan import id_of
from alignlab.studio.speakers import Speaker
from alignlab.studio.talk import Written
from alignlab.votes.figures import votes_of
from alignlab.votes.tasks import Task, add_task

from .conftest import HOST, Studio, write_run

FAKE = Path(__file__).with_name("fake_child.py")
BASE = [id_of(f"//{name}") for name in BASES]
QUESTION = "Who is the keeper of the bakery?"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


@pytest.fixture
def talking(studio: Studio, log: Path) -> Iterator[Callable[[str], Studio]]:
    """A studio whose models are fakes, and behave in some way."""

    def made(way: str) -> Studio:
        studio.desk.speakers.command = lambda model: [sys.executable, str(FAKE), str(log), way]
        return studio

    yield made
    studio.desk.close()


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def until(holds: Callable[[], Any]) -> Any:
    """What holds, as soon as it does."""
    for _ in range(3000):
        if found := holds():
            return found
        time.sleep(0.01)
    raise AssertionError("it never held")


def said(content: str, *more: str) -> list[dict[str, str]]:
    return [
        {"role": "assistant" if place % 2 else "user", "content": text}
        for place, text in enumerate((content, *more))
    ]


def post(studio: Studio, target: str, body: Any, *, chunks: int = 10**9) -> Any:
    headers = [("Host", HOST), ("Cookie", studio.cookie), ("Content-Type", "application/json")]
    return studio.raw("POST", target, headers, json.dumps(body).encode(), lines=chunks)


def ask(studio: Studio, body: dict[str, Any], **how: Any) -> Any:
    """The answer once the models are loaded."""

    def answered() -> Any:
        answer = post(studio, "/api/talk", body, **how)
        loading = answer.status == 503 and answer.json["error"]["code"] == "model_loading"
        return None if loading else answer

    return until(answered)


def events(answer: Any) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    return [json.loads(line.removeprefix("data: ")) for line in answer.body.decode().split("\n\n") if line]


def of(kind: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in found if event["event"] == kind]


def one(content: str = "hello", **more: Any) -> dict[str, Any]:
    return {"models": BASE[:1], "messages": [said(content)], **more}


def two(content: str = "hello", **more: Any) -> dict[str, Any]:
    return {"models": BASE[:2], "messages": [said(content), said(content)], **more}


# --- who there is to talk to


def checkpoint(run: Path, kind: str = "LlamaForCausalLM") -> Path:
    folder = run / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": [kind]}))
    (folder / "model.safetensors").write_bytes(b"x" * 1000)
    return folder


def test_models_are_those_of_finished_runs_and_the_base_models_and_no_path_is_told(folder: Path) -> None:
    for name, kind in (("sft", "LlamaForCausalLM"), ("ppo", "LlamaForSequenceClassification")):
        checkpoint(folder / "demo" / name, kind)
    checkpoint(write_run(folder / "demo" / "dpo.partial", "dpo", status="running"))
    linked = checkpoint(write_run(folder / "demo" / "linked", "sft"))
    (linked / "model.safetensors").unlink()
    (linked / "model.safetensors").symlink_to(folder / "demo" / "sft" / "checkpoint" / "model.safetensors")
    elsewhere = write_run(folder / "demo" / "elsewhere", "sft")
    (elsewhere / "checkpoint").symlink_to(folder / "demo" / "sft" / "checkpoint")
    answer = Studio(folder).get("/api/models")
    rows = {row["name"]: row for row in answer["rows"]}
    assert list(rows) == ["sft", *BASES]
    sft = rows["sft"]
    assert (sft["id"], sft["stage"], sft["bytes"], sft["base"]) == (id_of("demo/sft"), "sft", 1000, False)
    assert all(not row["loaded"] and row["memory"] is None for row in rows.values())
    assert rows["town-m"]["base"] and rows["town-m"]["bytes"] > 10**6
    assert str(folder) not in json.dumps(answer) and answer["tasks"] == []


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "models"),
        (one() | {"models": ["demo/sft"]}, 422, "models.0"),
        (one() | {"models": ["0" * 12]}, 404, None),
        (one() | {"models": [id_of("demo/ppo")]}, 422, None),
        (one() | {"models": BASE[:3]}, 422, "models"),
        (two() | {"models": BASE[:1] * 2}, 422, "messages"),
        (two() | {"messages": [said("x")]}, 422, "messages"),
        (one() | {"messages": [said("x", "y")]}, 422, "messages"),
        (one() | {"messages": [said(" ")]}, 422, "messages"),
        (one() | {"messages": [[{"role": "system", "content": "x"}]]}, 422, "messages.0.0.role"),
        (one("x" * 8001), 422, "messages.0.0.content"),
        (one() | {"messages": [said(*["x"] * 83)]}, 422, "messages.0"),
        (one(temperature=3), 422, "temperature"),
        (one(seed=-1), 422, "seed"),
        (one(blind=True), 422, "blind"),
        (one(defences=["nothing"]), 422, "defences"),
        (one(url="http://127.0.0.1/v1"), 422, "url"),
        (one(reward=id_of("demo/sft")), 422, "reward"),
    ],
)
def test_what_cannot_be_asked_starts_nothing(
    talking: Callable[[str], Studio], log: Path, body: Any, status: int, field: str | None
) -> None:
    answer = post(talking("well"), "/api/talk", body)
    assert answer.status == status and answer.json["error"]["field"] == field, answer.body
    assert lines(log) == []


# --- a question


def test_an_answer_comes_in_pieces_with_its_tokens_and_a_verdict(
    talking: Callable[[str], Studio], log: Path
) -> None:
    studio = talking("well")
    found = events(ask(studio, one(QUESTION, seed=7, n=2, temperature=0.5)))
    assert found[0] == {
        "event": "begin",
        "names": ["town-s"],
        "drawn": None,
        "command": "alignlab chat --model town-s --seed 7 --sampling.temperature 0.5",
    }
    pieces = of("piece", found)
    text = f"you asked: {QUESTION}"
    assert "".join(piece["text"] for piece in pieces) == text
    tokens = [token for piece in pieces for token in piece["tokens"]]
    assert "".join(token["text"] for token in tokens) == text
    assert tokens[-1]["name"] == "<|end|>" and tokens[-1]["text"] == ""
    assert tokens[0]["top"] == [{"text": "you", "logprob": -0.5}, {"text": "other", "logprob": -2.0}]
    assert [verdict["gold"] for verdict in of("verdict", found)] == [0.0]
    assert found[-1] == {"event": "end", "side": 0, "finished": True}
    (asked,) = [json.loads(line.removeprefix("asked ")) for line in lines(log) if line.startswith("asked")]
    assert asked["seed"] == derive_seed(7, "chat", 2) and asked["max_tokens"] == 96
    assert studio.get("/api/models")["rows"][0]["loaded"]


@pytest.mark.parametrize("way", ["well", "dies"])
def test_a_reward_model_scores_each_answer_and_keeps_none_back(
    talking: Callable[[str], Studio], log: Path, folder: Path, way: str
) -> None:
    scores = checkpoint(write_run(folder / "demo" / "reward", "reward"), "LlamaForSequenceClassification")
    studio = talking("well")
    command = [sys.executable, str(FAKE), str(log), way]
    studio.desk.scorers.command = lambda model: [*command, str(model.folder)]
    assert [row["name"] for row in studio.get("/api/models")["rewards"]] == ["reward"]
    found = events(ask(studio, one("What do you like?", reward=id_of("demo/reward"))))
    (verdict,) = of("verdict", found)
    told = (1.25, "") if way == "well" else (None, "the head is gone")
    assert (verdict["gold"], verdict["score"], verdict["unscored"]) == (None, *told)
    assert found[-1]["event"] == "end" and f"--reward {scores.parent} " in found[0]["command"]
    asked = [json.loads(line.removeprefix("asked ")) for line in lines(log) if '"completion"' in line]
    assert asked[0]["completion"] == "you asked: What do you like?" and asked[0]["finished"]
    if way == "well":
        blind = events(ask(studio, two("x", blind=True, reward=id_of("demo/reward"))))
        assert of("verdict", blind) == [], "a score would say who is who"
        choice = {"drawn": blind[0]["drawn"], "choice": "tie"}
        assert [one["score"] for one in post(studio, "/api/talk/choice", choice).json["verdicts"]] == [
            1.25
        ] * 2


def test_tokens_may_come_before_their_text_and_share_a_character() -> None:
    def row(raw: bytes, name: str = "") -> dict[str, Any]:
        return {"token": name or raw.decode(), "bytes": list(raw), "logprob": -1.0, "top_logprobs": []}

    written, euro = Written(), "\u20ac".encode()
    early = written.take(
        {"delta": {"content": "a"}, "logprobs": {"content": [row(b"a"), row(b" b"), row(euro[:1], "bytes")]}}
    )
    assert [token.text for token in early.tokens] == ["a"]
    late = written.take({"delta": {"content": " b\u20ac"}, "logprobs": {"content": [row(euro[1:], "bytes")]}})
    assert [token.text for token in late.tokens] == [" b", "", "\u20ac"]
    end = {"delta": {}, "finish_reason": "stop", "logprobs": {"content": [row(b"<end>")]}}
    assert [(token.text, token.name) for token in written.take(end).tokens] == [("", "<end>")]


def test_two_models_answer_side_by_side_each_in_its_own_conversation(
    talking: Callable[[str], Studio], log: Path
) -> None:
    body = two() | {"messages": [said("a", "left", "b"), said("a", "right", "b")]}
    found = events(ask(talking("well"), body))
    for side in (0, 1):
        text = "".join(piece["text"] for piece in of("piece", found) if piece["side"] == side)
        assert text == "you asked: b"
    assert {end["side"] for end in of("end", found)} == {0, 1}
    asked = [json.loads(line.removeprefix("asked ")) for line in lines(log) if line.startswith("asked")]
    assert sorted(row["messages"][1]["content"] for row in asked) == ["left", "right"]
    assert found[0]["command"].startswith("alignlab chat --model town-s --beside town-m ")


def test_turns_that_do_not_fit_are_forgotten_and_it_says_so(talking: Callable[[str], Studio]) -> None:
    studio = talking("well")
    found = events(ask(studio, one() | {"messages": [said("x" * 500, "y" * 400, "z", "w", "hello")]}))
    assert of("forgot", found) == [{"event": "forgot", "side": 0, "turns": 1}]
    found = events(ask(studio, one("x" * 1000)))
    assert "too long" in of("failed", found)[0]["what"]


def test_defences_go_by_name_and_have_no_log_probabilities(
    talking: Callable[[str], Studio], log: Path
) -> None:
    found = events(ask(talking("well"), one(defences=["self-reminder"])))
    asked = json.loads(lines(log)[-2].removeprefix("asked "))
    assert asked["model"] == "model+self-reminder" and "logprobs" not in asked
    assert found[0]["command"] == ""


def test_hanging_up_stops_what_is_being_written(talking: Callable[[str], Studio], log: Path) -> None:
    studio = talking("slow")
    answer = ask(studio, two(), chunks=6)
    assert answer.status == 200 and of("end", events(answer)) == []
    until(lambda: lines(log).count("hung up") == 2)
    assert studio.desk.talks == 0


def test_so_many_questions_are_answered_at_once_and_no_more(talking: Callable[[str], Studio]) -> None:
    studio = talking("well")
    studio.desk.talks = 4
    answer = post(studio, "/api/talk", one())
    assert answer.status == 429 and answer.headers["retry-after"] == "2"


# --- the processes


def test_a_model_that_is_being_loaded_says_for_how_long(talking: Callable[[str], Studio], log: Path) -> None:
    studio = talking("loading")
    for _ in range(2):
        answer = post(studio, "/api/talk", one())
        assert answer.status == 503 and answer.headers["retry-after"] == "1"
        assert answer.json["error"]["code"] == "model_loading"
        assert re.fullmatch(r"town-s is being loaded, \d+ s so far", answer.json["error"]["what"])
    log.with_suffix(".go").touch()
    assert of("end", events(ask(studio, one())))
    assert len([line for line in lines(log) if line.startswith("started")]) == 1


@pytest.mark.parametrize(
    ("way", "words"), [("broken", "the weights are not whole"), ("silent", "ended before it answered")]
)
def test_a_model_that_cannot_be_loaded_says_why_and_is_tried_again(
    talking: Callable[[str], Studio], log: Path, way: str, words: str
) -> None:
    studio = talking(way)
    for times in (1, 2):
        answer = ask(studio, one())
        assert answer.status == 503 and answer.json["error"]["code"] == "model_failed"
        assert words in answer.json["error"]["what"]
        assert len(lines(log)) == times


def test_a_process_that_dies_in_an_answer_says_so_and_the_next_question_starts_another(
    talking: Callable[[str], Studio],
) -> None:
    found = events(ask(talking("dies"), one()))
    (failed,) = of("failed", found)
    assert "ended in the middle" in failed["what"] and "next question" in failed["remedy"]
    assert of("end", found) == []
    until(lambda: of("end", events(ask(talking("well"), one()))))


def test_two_models_are_loaded_at_most_and_the_one_asked_longest_ago_makes_room(
    talking: Callable[[str], Studio],
) -> None:
    studio = talking("well")

    def loaded() -> list[str]:
        return [row["name"] for row in studio.get("/api/models")["rows"] if row["loaded"]]

    for name, there in (("s", ["s"]), ("m", ["s", "m"]), ("s", ["s", "m"]), ("l", ["s", "l"])):
        ask(studio, one() | {"models": [id_of(f"//town-{name}")]})
        assert loaded() == [f"town-{each}" for each in there]
    if sys.platform == "linux":
        memory = [row["memory"] for row in studio.get("/api/models")["rows"] if row["loaded"]]
        assert all(held > 10**6 for held in memory)
    held: list[Speaker] = list(studio.desk.speakers._speakers.values())
    studio.desk.close()
    assert not any(speaker.lives for speaker in held)
    assert post(studio, "/api/talk", one()).status == 503


# --- blind


def test_a_blind_talk_names_nobody_before_the_choice(talking: Callable[[str], Studio]) -> None:
    studio = talking("well")
    orders = set()
    for _ in range(30):
        answer = ask(studio, two(QUESTION, blind=True))
        body = answer.body.decode()
        assert "town-" not in body and not any(id in body for id in BASE) and "verdict" not in body
        begin = events(answer)[0]
        again = events(ask(studio, two(QUESTION, blind=True, drawn=begin["drawn"])))[0]
        assert again["drawn"] == begin["drawn"]
        choice = {"drawn": begin["drawn"], "choice": "left"}
        told = post(studio, "/api/talk/choice", choice)
        assert sorted(told.json["names"]) == ["town-m", "town-s"] and not told.json["voted"]
        assert len(told.json["verdicts"]) == 2
        assert post(studio, "/api/talk/choice", choice).status == 404
        assert ask(studio, two(QUESTION, blind=True, drawn=begin["drawn"])).status == 409
        orders.add(tuple(told.json["names"]))
        if len(orders) == 2:
            break
    assert len(orders) == 2
    assert not (studio.desk.inside.root / "studio").exists(), "nothing is kept"


def test_a_blind_choice_is_a_vote_where_a_task_is_chosen(talking: Callable[[str], Studio], log: Path) -> None:
    studio = talking("well")
    pair = studio.desk.store.do(add_task, Task(name="pairs", mode="pair"))
    ranking = studio.desk.store.do(add_task, Task(name="rankings", mode="ranking"))
    assert studio.get("/api/models")["tasks"] == [{"id": pair, "name": "pairs"}]

    def choose(task: str, **body: Any) -> Any:
        begin = events(ask(studio, two(blind=True, **body)))[0]
        return post(studio, "/api/talk/choice", {"drawn": begin["drawn"], "choice": "right", "task": task})

    same = choose(pair)
    assert same.status == 422 and "differ" in same.json["error"]["what"], "both fakes say the same"
    assert choose(ranking).status == 422 and choose("f" * 24).status == 404
    other = choose(pair, messages=[said("a", "x", "b"), said("a", "y", "b")])
    assert other.status == 409
    begin = events(ask(studio, two(blind=True)))[0]
    blind = studio.desk.blinds.find(begin["drawn"])
    blind.said[1] += "!"
    told = post(studio, "/api/talk/choice", {"drawn": begin["drawn"], "choice": "right", "task": pair})
    assert told.status == 200 and told.json["voted"]
    with studio.desk.store.reading() as connection:
        (vote,) = votes_of(connection, pair)
    assert vote.ranks == [2, 1] and vote.given["order"] == [0, 1]
    assert [c.source for c in vote.asked.completions] == told.json["names"]


def test_a_choice_waits_for_both_answers(talking: Callable[[str], Studio]) -> None:
    studio = talking("slow")
    begin = events(ask(studio, two(blind=True), chunks=6))[0]
    answer = post(studio, "/api/talk/choice", {"drawn": begin["drawn"], "choice": "tie"})
    assert answer.status == 409


# --- a stored answer by token


def test_a_stored_answer_is_read_by_the_runs_own_model_and_beside_it_by_another(
    talking: Callable[[str], Studio], folder: Path, log: Path
) -> None:
    checkpoint(folder / "demo" / "ppo")
    studio, run = talking("well"), id_of("demo/ppo")

    def wanted(body: dict[str, Any], run: str = run) -> Any:
        def answered() -> Any:
            answer = post(studio, f"/api/runs/{run}/tokens", body)
            return None if b"model_loading" in answer.body else answer

        return until(answered)

    alone = wanted({"row": 5})
    assert alone.status == 200
    assert alone.json == {
        "step": 1,
        "place": 1,
        "pieces": ["answer", "1", "of", "1"],
        "logprob": [-0.5] * 4,
        "ref": [],
        "advantage": [],
        "value": [],
    }
    asked = json.loads(lines(log)[-1].removeprefix("asked "))
    assert asked["echo"] and asked["max_tokens"] == 0
    assert [message["role"] for message in asked["messages"]] == ["user", "assistant"]
    assert wanted({"row": 5, "against": BASE[0]}).json["ref"] == [-0.5] * 4
    assert wanted({"row": 5, "against": run}).status == 422
    assert wanted({"row": 99}).status == 404
    assert wanted({"row": 5, "id": run}).status == 422
    assert wanted({"row": 0}, run=id_of("demo/sft")).status == 404
    assert wanted({"row": 0}, run=id_of("demo/eval-ppo")).status == 422, "a sample without a question"


# --- the real thing


def test_the_process_of_a_model_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """Also when that is killed: nobody is told, and the process sees that its parent is another."""
    code = (
        "import os, subprocess, sys, time, threading\n"
        "from alignlab.studio import child, parent as watched\n"
        "child.serve = lambda **_: time.sleep(60)\n"
        "watched.LOOK = 0.05\n"
        "parent = os.getpid()\n"
        "if pid := os.fork():\n"
        "    print(pid, flush=True)\n"
        "    time.sleep(60)\n"
        "child.main('x', parent)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()

    def gone() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        return state == "Z"

    if sys.platform == "linux":
        until(gone)
    parent.stdout.close()


@pytest.mark.campaign
def test_it_answers_as_alignlab_chat_does(studio: Studio) -> None:
    """The town's base model, greedy and sampled: the command of the answer gives the same texts."""
    second = "And of the mill?"
    try:
        for temperature in (0.0, 1.0):
            turns, told, command = said(QUESTION), list[str](), ""
            for n in range(2):
                body = {"models": [id_of("//town-m")], "messages": [turns], "seed": 7, "n": n}
                found = events(ask(studio, {**body, "temperature": temperature}))
                told.append("".join(piece["text"] for piece in of("piece", found)))
                turns, command = said(QUESTION, told[0], second), found[0]["command"]
            run = subprocess.run(
                [sys.executable, "-m", "alignlab.cli", *command.split()[1:]],
                input=f"{QUESTION}\n{second}\n",
                capture_output=True,
                text=True,
                check=True,
            )
            assert run.stdout.splitlines() == [text.strip() for text in told]
    finally:
        studio.desk.close()
