"""Self-Instruct: what is asked of the model, what each filter takes out, going on after a kill, and a base
model of the town that does it.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli
from alignlab.collecting import self_instruct
from alignlab.collecting.self_instruct import flaw, headed, is_request, openings_of, requests_in
from alignlab.errors import ConfigError, DataError
from alignlab.feedback import RuleJudge
from alignlab.names import judges
from alignlab.records import Completion, Demonstration, Message, Prompt, read_jsonl
from alignlab.run import RunDir
from alignlab.sampling import Sampling
from alignlab.settings import SelfInstructSettings
from alignlab.town import reading, tasks, world

from ..serving import Server, chat_answer, text_answer
from .conftest import Killed

SEEDS = [
    Demonstration(Prompt.user(f"Tell me about the number {i} of the house."), f"It is {i}.") for i in range(6)
]
SETTINGS = SelfInstructSettings(demonstrations=12, batch=8, rounds=4, similarity=1.0)


class Model:
    """Writes a request where one is asked for, and an answer where a question is open. Counts its calls, and
    may die in one.
    """

    def __init__(
        self,
        request: Callable[[random.Random], str],
        answer: Callable[[str], str] = lambda question: f" So: {question}\nQuestion: more",
        *,
        die_in: int = 0,
    ):
        self.request, self.answer, self.die_in, self.seen, self.calls = request, answer, die_in, [], 0

    def sample(self, prompts: Any, sampling: Sampling, *, seed: int) -> list[list[Completion]]:
        self.calls += 1
        if self.calls == self.die_in:
            raise Killed
        found = []
        for i, prompt in enumerate(prompts):
            self.seen.append((prompt, sampling.temperature))
            open_question = re.search(r"Question: ([^\n]+)\nAnswer:$", prompt)
            text = (
                self.answer(open_question[1]) if open_question else self.request(random.Random(f"{seed}-{i}"))
            )
            found.append([Completion(Prompt(()), text, finished=False)])
        return found

    def sync(self, model: Any) -> None: ...

    def close(self) -> None: ...


def fresh(rng: random.Random) -> str:
    return f" What is {rng.randrange(10**6)} plus one?\nAnswer: it depends"


def made(
    out: Path, model: Model, settings: SelfInstructSettings = SETTINGS, **more: Any
) -> tuple[dict[str, Any], list[Demonstration], list[Demonstration]]:
    run = RunDir.open(out, stage="demonstrations", config={}, seed=0)
    summary = self_instruct.run(run, model, SEEDS, settings, model="m", seed=5, **more)
    run.finish(summary)
    kept, lost = (
        read_jsonl(out / "data" / f"{name}.jsonl", Demonstration) for name in ("demonstrations", "rejected")
    )
    return summary, kept, lost


def test_requests_are_written_after_examples_and_answered_by_the_model(tmp_path: Path):
    model = Model(fresh)
    summary, kept, lost = made(tmp_path / "run", model)
    assert (
        summary["demonstrations"] == len(kept) == 12 and summary["rounds"] == 2 and summary["generated"] == 16
    )
    assert summary["reasons"] == {"more than were wanted": 4} and len(lost) == 4
    assert all(
        re.fullmatch(r"What is \d+ plus one\?", d.prompt.text) and d.completion == f"So: {d.prompt.text}"
        for d in kept
    )
    assert {"kind", "model", "round", "examples", "nearest"} == set(kept[0].meta) and len(
        kept[0].meta["examples"]
    ) == 2
    first, temperature = model.seen[0]
    assert re.fullmatch(r"(Question: [^\n]+\nAnswer: [^\n]+\n){2}Question:", first) and temperature == 0.7
    assert model.seen[8][0].endswith("plus one?\nAnswer:") and model.seen[8][1] == 0.0
    drawn = [self_instruct.draw_examples(random.Random(i), SEEDS, kept, SETTINGS) for i in range(400)]
    assert all(len({d.prompt.id for d in examples}) == 2 for examples in drawn)
    assert sum(d in kept for examples in drawn for d in examples) / 800 == pytest.approx(
        0.25, abs=0.06
    )  # from the model's own


@pytest.mark.parametrize(
    ("request_text", "settings", "reason"),
    [
        ("\n", {}, "empty"),
        (" Why not?\n", {}, "too short"),
        (" " + "word " * 200 + "?\n", {}, "too long"),
        (" What does the picture show?\n", {}, "a blocked word (picture)"),
        (" The cat sat on the mat.\n", {}, "not a request"),
        (" ?What is it now\n", {}, "not a request"),
        (" What is it that never", {}, "not finished"),
        (" Tell me about the number 3 of the house!\n", {}, "too like another request"),
        (" Tell me about the number 9 of the house.\n", {"similarity": 0.7}, "too like another request"),
        (" Where is  the secret test?\n", {}, "a question of the test"),
    ],
)
def test_what_is_no_new_request_is_out_with_its_reason(
    request_text: str, settings: dict[str, Any], reason: str, tmp_path: Path
):
    bad = iter([request_text] * 4)
    summary, kept, lost = made(
        tmp_path / "run",
        Model(lambda rng: next(bad, None) or fresh(rng)),
        replace(SETTINGS, **settings | {"similarity": settings.get("similarity", 1.0)}),
        avoid=[Prompt.user("Where is the secret test?")],
    )
    assert summary["reasons"][reason] >= 4
    assert all(d.completion == "" for d in lost if d.meta["rejected"] == reason)  # it was not answered
    assert not {d.prompt.text for d in kept} & {request_text.strip()}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(" and on and on", "the answer is not finished"), ("  \nQuestion: more", "the answer is empty")],
)
def test_what_is_no_answer_is_out(answer: str, reason: str, tmp_path: Path):
    with pytest.raises(DataError, match=f"32 {reason}"):
        made(tmp_path / "run", Model(fresh, lambda question: answer))
    with pytest.raises(DataError, match="repeats the request"):
        made(tmp_path / "same", Model(fresh, lambda question: f" {question.lower()}\nQuestion: x"))


def test_near_duplicates_of_one_round_are_found_too(tmp_path: Path):
    model = Model(lambda rng: f" What is {rng.randrange(2)} plus one of those?\n")
    summary, kept, _ = made(tmp_path / "run", model)
    assert len(kept) == 2 and summary["rounds"] == 4 and summary["reasons"]["too like another request"] == 30
    _, kept, _ = made(tmp_path / "strict", model, replace(SETTINGS, similarity=0.7))
    assert len(kept) == 1  # they differ in one word of seven


def test_what_can_be_read_is_measured_and_filters_nothing(tmp_path: Path):
    def reader(text: str) -> Prompt | None:
        return Prompt.user(text, known=True) if int(text.split()[2]) % 2 else None

    gold = RuleJudge("gold", lambda c: float(c.prompt.meta["known"]))
    summary, kept, _ = made(tmp_path / "run", Model(fresh), reader=reader, gold=gold)
    odd = sum(int(d.prompt.text.split()[2]) % 2 for d in kept)
    assert (
        0 < odd < 12
        and summary["valid"]["mean"] == pytest.approx(odd / 12)
        and summary["valid"]["n"] == 12
        and summary["valid_generated"]["n"] == 16
    )
    assert summary["gold"] == {"mean": 1.0, "ci": summary["gold"]["ci"], "n": odd}


@pytest.mark.parametrize("die_in", [2, 3, 4])
def test_a_killed_run_goes_on_and_ends_in_the_same_files(die_in: int, tmp_path: Path):
    whole = made(tmp_path / "whole", Model(fresh))
    with pytest.raises(Killed):
        made(tmp_path / "cut", Model(fresh, die_in=die_in))
    model = Model(fresh)
    assert made(tmp_path / "cut", model) == whole and model.calls == (4 if die_in == 2 else 2)
    for name in ("demonstrations", "rejected"):
        assert (tmp_path / "cut" / "data" / f"{name}.jsonl").read_bytes() == (
            tmp_path / "whole" / "data" / f"{name}.jsonl"
        ).read_bytes()


def test_seeds_and_settings_that_cannot_be(tmp_path: Path):
    for wrong in ({"similarity": 0.0}, {"examples": 0}, {"from_generated": 2.0}, {"batch": 0}):
        with pytest.raises(ConfigError):
            made(tmp_path / "run", Model(fresh), replace(SETTINGS, **wrong))
    talk = Demonstration(Prompt((Message("user", "a"), Message("assistant", "b"), Message("user", "c"))), "d")
    with pytest.raises(DataError, match="1 seed tasks"):
        self_instruct.run(
            RunDir.open(tmp_path / "x", stage="s", config={}, seed=0),
            Model(fresh),
            [SEEDS[0], talk],
            SETTINGS,
            model="m",
            seed=0,
        )


def test_a_request_by_its_form():
    openings = openings_of([Demonstration(Prompt.user("Hurry, the soup!"), "x")])
    for text in (
        "Who is it?",
        "Name two pets.",
        "I am sad. What should I do now.",
        "hurry to the mill.",
        "My shoe is wet, is it not?",
    ):
        assert is_request(text, openings), text
    for text in ("The mill is red.", "- Who is it?", "Nobody came."):
        assert not is_request(text, openings), text
    assert flaw("Draw a graph of it.", openings, SelfInstructSettings(blocked="")) == "not a request"
    assert (
        headed(SEEDS[:1], "why?")
        == "Question: Tell me about the number 0 of the house.\nAnswer: It is 0.\nQuestion: why?\nAnswer:"
    )


def test_a_chat_model_writes_a_numbered_list():
    text = "Sure:\n1. Name a pet.\n 2) Why is it red?\n\n3: Tell me mo"
    assert requests_in(Completion(SEEDS[0].prompt, text, finished=False), "chat") == [
        ("Name a pet.", True),
        ("Why is it red?", True),
        ("Tell me mo", False),
    ]
    assert requests_in(Completion(SEEDS[0].prompt, text), "chat")[-1] == ("Tell me mo", True)
    assert requests_in(Completion(SEEDS[0].prompt, "I would rather not."), "chat") == [
        ("I would rather not.", False)
    ]


# --- the command line
# ------------------------------------------------------------------------------------------------------------


def run_command(*words: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = cli.main(["collect", "--kind", "self-instruct", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("form", ["continue", "chat"])
def test_an_endpoint_instructs_itself(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)

    def answer(number: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/chat/completions"):
            asked = body["messages"][-1]["content"]
            if asked.startswith("These are tasks"):
                return chat_answer(
                    "\n".join(f"{i}. What is thing {body['seed'] + i} of the town?" for i in range(1, 9))
                )
            return chat_answer(f"About that: {asked}")
        assert body["stop"] == ["\nQuestion:"]
        return text_answer(
            f" What is thing {body['seed']} of the town?\nAnswer: yes"
            if body["prompt"].endswith("Question:")
            else " A thing."
        )

    with Server(answer) as server:
        code, found = run_command(
            "--model",
            server.name,
            "--form",
            form,
            "--demonstrations",
            12,
            "--batch",
            4,
            "--similarity",
            1,
            capsys=capsys,
        )
    assert (
        code == 0
        and found["summary"]["demonstrations"] == 12
        and found["summary"]["spent"]["requests"] == len(server.requests)
    )


def test_a_base_model_of_the_town_instructs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    code, found = run_command(
        "--model",
        "town-s",
        "--demonstrations",
        20,
        "--rounds",
        3,
        "--batch",
        32,
        "--gold",
        "town:gold",
        "--avoid",
        "town:test",
        "--similarity",
        1,
        "--model.threads",
        1,
        capsys=capsys,
    )
    summary = found["summary"]
    assert (
        code == 0
        and summary["demonstrations"] == 20
        and summary["valid"]["mean"] > 0.6
        and summary["gold"]["mean"] > 0.2
    )
    assert (
        cli.main(
            [
                "sft",
                "--model",
                "town-s",
                "--data",
                "runs/self-instruct",
                "--epochs",
                "1",
                "--held_out",
                "0",
                "--model.threads",
                "1",
                "--out",
                "runs/sft",
            ]
        )
        == 0
    )


def test_a_paraphrase_of_an_avoided_request_is_avoided(tmp_path: Path):
    requests = tasks.requests(world.build(), 600, split="train", seed=3, kinds=("sum",))
    avoided = requests[0].prompt()
    words = {r.turns[-1] for r in requests if r.params == requests[0].params} - {avoided.text}
    assert words
    for prompt in (avoided, Prompt.user(avoided.text)):  # of a file without kinds too: it is read
        bad = iter([f" {min(words)}\n"] * 4)
        summary, kept, _ = made(
            tmp_path / str(bool(prompt.meta)),
            Model(lambda rng, bad=bad: next(bad, None) or fresh(rng)),
            avoid=[prompt],
            known=judges.town_requests(),
        )
        assert summary["reasons"]["a question of the test"] == 4
        assert min(words) not in {d.prompt.text for d in kept}


# --- the town reads requests
# --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "entity", "phrasing", "task"])
def test_every_request_of_the_town_is_read_back(split: Any):
    town = world.build()
    asked = [r for r in tasks.requests(town, 600, split=split, seed=7) if len(r.turns) == 1]
    assert len({r.kind for r in asked}) == (1 if split == "task" else len(tasks.KINDS) - 1)
    for request in asked:
        assert reading.read_request(town, request.turns[0]) == request


def test_what_is_no_request_of_the_town_is_not_read():
    town = world.build()
    for text in (
        "",
        "What is 11 plus 2?",
        "What is the job of Nobody?",
        "How do I fly?",
        "Ivy is a baker.",
        "Tell me the job of Ivy. Tell me the job of Otto.",
        "Name nine pets.",
        "Tell me a short story with a hat and a hat.",
        "I think that Ivy likes to eat stones. Am I right?",
    ):
        assert reading.read_request(town, text) is None, text
