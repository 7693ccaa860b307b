"""A judge that is a function of the user's own: found without being run, given what it asks for, its errors
with their row, its code part of a run's key.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignlab import names
from alignlab.cli import main
from alignlab.errors import DataError, UserError
from alignlab.feedback.own import OwnJudge
from alignlab.names import known
from alignlab.plugins import parse
from alignlab.records import Completion, Message, Prompt

SOURCE = """
seen = []

def right(completion: str, answer: str) -> float:
    return float(answer in completion)

def short(completion):
    return -len(completion)

def everything(**row):
    seen.append(row)
    return len(row)

def with_default(prompt, completion, answer="x"):
    return len(prompt) + len(answer)

def fails(completion):
    raise KeyError("no such thing")

def words(completion):
    return "good"

def nothing(completion):
    return None

def endless(completion):
    return float("inf")

number = 3
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of the user's, in which the command is given."""
    name = f"mine_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / f"{name}.py"


def completion(text: str, **columns: object) -> Completion:
    return Completion(
        Prompt(
            (Message("system", "Be kind."), Message("user", "How many?")),
            {"columns": columns} if columns else {},
        ),
        text,
    )


def test_names_of_ours_are_none_of_a_users() -> None:
    assert parse("my.rewards:short") == parse("python:my.rewards:short") == ("my.rewards", "short")
    assert parse("python:reward:short") == ("reward", "short")
    for name in (
        "town:gold",
        "reward:runs/r",
        "reward:run",
        "ai:model",
        "gated:a,b",
        "constant",
        "runs/x",
        "ensemble:worst:a,b",
        "bot:clean",
        "canary:WORD",
        "strongreject:model",
    ):
        assert parse(name) is None


def test_a_function_gets_what_it_asks_for(mine: Path) -> None:
    assert [
        score.value
        for score in OwnJudge(f"{mine.stem}:right").score(
            [completion("It is 7.", answer="7"), completion("8", answer="7")]
        )
    ] == [1.0, 0.0]
    assert OwnJudge(f"python:{mine.stem}:short").score([completion("abc")])[0].value == -3
    assert (
        OwnJudge(f"{mine.stem}:with_default").score([completion("y"), completion("y", answer="abc")])[1].value
        == len("How many?") + 3
    )
    judge = OwnJudge(f"{mine.stem}:everything")
    judge.score([completion("y", answer="7", level=2)])
    [row] = judge.function.function.__globals__["seen"]
    assert row == {
        "prompt": "How many?",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "How many?"}],
        "completion": "y",
        "finished": True,
        "answer": "7",
        "level": 2,
    }


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("right", "asks for answer"),
        ("fails", "KeyError"),
        ("words", "'good'"),
        ("nothing", "None"),
        ("endless", "inf"),
    ],
)
def test_what_goes_wrong_in_it_names_the_row(mine: Path, function: str, says: str) -> None:
    with pytest.raises(DataError, match="How many") as error:
        OwnJudge(f"{mine.stem}:{function}").score([completion("x")])
    assert says in error.value.what and error.value.remedy
    if function == "fails":
        line = SOURCE[: SOURCE.index("raise KeyError")].count("\n") + 1
        assert f"{mine.name}:{line}" in error.value.what


@pytest.mark.parametrize("name", ["sys:exit", "os:nosuch", "no_such_module:short", "json.no_such:short"])
def test_a_module_that_is_not_there_is_said_before_anything_is_loaded(name: str) -> None:
    with pytest.raises(UserError, match="no module"):
        known.judge(name)


def test_a_function_that_is_not_there_and_a_module_that_breaks(mine: Path) -> None:
    for function in ("shrot", "number"):
        with pytest.raises(UserError, match="no function"):
            names.judges.judge(f"{mine.stem}:{function}").load()
    broken = mine.with_name(f"{mine.stem}_broken.py")
    broken.write_text("import nowhere_to_be_found\n")
    with pytest.raises(UserError, match="ModuleNotFoundError.*_broken.py:1"):
        names.judges.judge(f"{broken.stem}:x").load()


SMALL = ["--steps", "2", "--rollouts", "8", "--sampling.max-new-tokens", "6", "--seed", "3"]


@pytest.mark.parametrize(
    "command",
    [
        ["grpo", *SMALL],
        ["ppo", *SMALL, "--minibatch", "8", "--epochs", "1"],
        ["best-of-n", "--per_prompt", "2", "--sampling.max-new-tokens", "6"],
        ["eval", "--sampling.max-new-tokens", "6"],
    ],
)
def test_every_method_that_takes_a_judge_takes_it(
    mine: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    rows = [{"prompt": f"What is {n} plus 1?", "answer": str(n + 1)} for n in range(8)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [
        *command,
        "--model",
        "town",
        "--data",
        "sums.jsonl",
        "--judge",
        f"{mine.stem}:right",
        "--out",
        "run",
    ]
    assert main(given) == 0, capsys.readouterr().err
    if command[0] == "eval":
        assert f"{mine.stem}:right 0." in capsys.readouterr().out
    assert main(given) == 0
    mine.write_text(SOURCE.replace("float(answer in completion)", "2.0"))
    assert main(given) == 7  # another function makes another run
