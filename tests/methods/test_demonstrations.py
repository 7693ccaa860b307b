"""Demonstrations from people, a crowd and a teacher: what is kept, what is rejected and why, and going on
after a kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli
from alignlab.collecting import crowd, distil, human
from alignlab.collecting.demonstrations import answered, settle
from alignlab.errors import ConfigError, DataError
from alignlab.feedback import RuleJudge
from alignlab.feedback.annotators import SimulatedAnnotator
from alignlab.feedback.writers import RecordedWriter, SimulatedWriter
from alignlab.records import Completion, Demonstration, Prompt, read_jsonl
from alignlab.run import RunDir, read_run
from alignlab.sampling import Sampling
from alignlab.settings import CrowdSettings, DistilSettings, HumanSettings

from ..serving import Reply, Server, chat_answer, echo
from .conftest import Killed

PROMPTS = [Prompt.user(f"question {i}") for i in range(40)]
LENGTH = RuleJudge("length", lambda c: float(len(c.text)))


def open_run(out: Path) -> RunDir:
    return RunDir.open(out, stage="demonstrations", config={}, seed=0)


def written(out: Path) -> tuple[list[Demonstration], list[Demonstration]]:
    """Kept and rejected."""
    kept, lost = (
        read_jsonl(out / "data" / f"{name}.jsonl", Demonstration) for name in ("demonstrations", "rejected")
    )
    return kept, lost


# --- what every kind shares
# ---------------------------------------------------------------------------------------------------------


def test_the_same_answer_is_kept_once_and_everything_else_has_its_reason(tmp_path: Path):
    rows = [
        Demonstration(PROMPTS[0], "yes", {"who": "a"}),
        Demonstration(PROMPTS[0], " yes ", {"who": "b"}),
        Demonstration(PROMPTS[1], "yes"),
        answered(PROMPTS[0], "yes", "outvoted", who="c"),
        answered(PROMPTS[2], "no", "outvoted"),
    ]
    run = open_run(tmp_path / "run")
    kept, counts = settle(run, rows)
    run.finish(counts)
    assert [d.meta.get("who") for d in kept] == ["a", None]
    assert counts == {
        "demonstrations": 2,
        "prompts": 2,
        "rejected": 3,
        "reasons": {"outvoted": 2, "the same answer to the same prompt": 1},
    }
    kept, lost = written(tmp_path / "run")
    assert [d.completion for d in kept] == ["yes", "yes"]
    assert [(d.meta["rejected"], d.meta.get("who")) for d in lost] == [
        ("the same answer to the same prompt", "b"),
        ("outvoted", "c"),
        ("outvoted", None),
    ]
    with pytest.raises(DataError, match="no demonstration was kept: 1 outvoted"):
        settle(open_run(tmp_path / "none"), [rows[3]])


# --- people
# ------------------------------------------------------------------------------------------------------------


def answers(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_template_to_fill_in_and_what_is_kept_of_it(tmp_path: Path):
    asked = [Prompt.user("why?", kind="fact"), *PROMPTS[:5]]
    human.write_template(tmp_path / "a.jsonl", asked)
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "prompt": "why?",
        "completion": "",
        "who": "",
        "when": "",
        "source": "",
        "meta": {"kind": "fact"},
    }
    with pytest.raises(DataError, match="none of 6 prompts is answered"):
        human.run(open_run(tmp_path / "empty"), tmp_path / "a.jsonl", HumanSettings())
    filled = {
        0: ("because", "Ada", "2026-03-01", "pilot"),
        1: ("yes", "Ada", "", ""),
        2: ("no", "", "", ""),
        3: ("no", "Bob", "last week", ""),
        4: ("question 3", "Bob", "", ""),
    }
    for i, (completion, who, when, source) in filled.items():
        rows[i] |= {"completion": completion, "who": who, "when": when, "source": source}
    run = open_run(tmp_path / "run")
    summary = human.run(run, answers(tmp_path / "a.jsonl", rows), HumanSettings(source="desk"))
    run.finish(summary)
    kept, lost = written(tmp_path / "run")
    assert [(d.prompt, d.completion) for d in kept] == [(asked[0], "because"), (asked[1], "yes")]
    assert kept[0].meta == {
        "kind": "human",
        "who": "Ada",
        "when": "2026-03-01",
        "source": "pilot",
        "where": f"{tmp_path / 'a.jsonl'}:1",
    }
    assert kept[1].meta["source"] == "desk" and kept[0].prompt.meta == {"kind": "fact"}
    assert [d.meta["rejected"] for d in lost] == ["nobody signs it", "its date is none", "repeats the prompt"]
    assert (summary["unanswered"], summary["undated"], summary["who"]) == (1, 1, {"Ada": 2})


def test_a_name_for_rows_that_have_none_and_bounds_on_the_length(tmp_path: Path):
    file = answers(
        tmp_path / "a.jsonl",
        [
            {"prompt": "a", "completion": "one two three"},
            {"prompt": "b", "completion": "one"},
            {"prompt": "c", "completion": "1 2 3 4 5"},
        ],
    )
    run = open_run(tmp_path / "run")
    run.finish(human.run(run, file, HumanSettings(who="Ada", min_words=2, max_words=4)))
    kept, lost = written(tmp_path / "run")
    assert [d.prompt.text for d in kept] == ["a"] and [d.meta["rejected"] for d in lost] == [
        "too short",
        "too long",
    ]


@pytest.mark.parametrize(
    "row",
    [
        "text",
        {"prompt": "a"},
        {"prompt": 3, "completion": "x"},
        {"prompt": "a", "completion": ["x"]},
        ["a", "b"],
    ],
)
def test_a_broken_row_is_named(row: Any, tmp_path: Path):
    file = answers(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "x", "who": "Ada"}, row])
    with pytest.raises(DataError) as error:
        human.run(open_run(tmp_path / "run"), file, HumanSettings())
    assert error.value.where == f"{file}:2" and error.value.remedy


# --- a crowd
# ------------------------------------------------------------------------------------------------------------


def judge_of(
    name: str, taste: Callable[[str], float], temperature: float = 0.0, seed: int = 0
) -> SimulatedAnnotator:
    return SimulatedAnnotator(
        name,
        RuleJudge(name, lambda c: taste(c.text)),
        weights={"value": 1.0},
        temperature=temperature,
        tie_margin=0.0,
        seed=seed,
    )


def writer(name: str, text: Callable[[int], str]) -> SimulatedWriter:
    return SimulatedWriter(name, lambda index, prompt: text(index))


LONG, SHORT = judge_of("long", len), judge_of("short", lambda text: -len(text))
WRITERS = [
    writer("brief", lambda i: "a"),
    writer("wordy", lambda i: "aaa"),
    writer("middling", lambda i: "aa"),
]


def gather(
    out: Path,
    writers: Any = WRITERS,
    reviewers: Any = (LONG, LONG, SHORT),
    adjudicator: Any = SHORT,
    prompts: Any = PROMPTS,
    **more: Any,
) -> dict[str, Any]:
    run = open_run(out)
    summary = crowd.run(
        run, writers, reviewers, adjudicator, prompts, more.pop("settings", CrowdSettings()), seed=5, **more
    )
    run.finish(summary)
    return summary


def test_a_majority_settles_it_and_the_others_are_outvoted(tmp_path: Path):
    summary = gather(tmp_path / "run", gold=LENGTH)
    kept, lost = written(tmp_path / "run")
    assert (
        {d.completion for d in kept} == {"aaa"}
        and len(kept) == 40
        and {d.meta["rejected"] for d in lost} == {"outvoted"}
        and len(lost) == 80
    )
    assert summary["settled"] == {"vote": 40, "adjudicated": 0, "the same": 0}
    assert [summary["writers"][name]["mean"] for name in ("brief", "wordy", "middling")] == [0.0, 1.0, 0.0]
    assert summary["gold"]["mean"] == 3.0 and summary["gold_any"]["mean"] == pytest.approx(2.0)
    found = summary["agreement"]  # two agree on each of three pairs, the third is against both
    assert found["pairs"] == 120 and found["raw"] == pytest.approx(1 / 3) and found["krippendorff_alpha"] < 0
    assert kept[0].meta["ranks"] == {"long 1": 1, "long 2": 1, "short": 3}
    assert (
        len({tuple(d.completion for d in lost[2 * i : 2 * i + 2]) for i in range(40)}) == 2
    )  # the order shown is random


def test_without_a_majority_the_adjudicator_chooses_among_what_got_votes(tmp_path: Path):
    summary = gather(tmp_path / "run", reviewers=(LONG, SHORT))
    kept, lost = written(tmp_path / "run")
    assert {d.completion for d in kept} == {"a"} and {d.meta["rejected"] for d in lost} == {
        "the adjudicator chose another"
    }
    assert summary["settled"]["adjudicated"] == 40 and kept[0].meta["adjudicator"] == "short"
    middle = judge_of("middle", lambda text: -abs(len(text) - 2))  # it would like what nobody voted for
    gather(tmp_path / "middle", reviewers=(LONG, SHORT), adjudicator=middle)
    assert {d.completion for d in written(tmp_path / "middle")[0]} <= {"a", "aaa"}


def test_equal_texts_stand_once_and_silence_is_counted(tmp_path: Path):
    agreed = [
        writer("one", lambda i: "same"),
        writer("two", lambda i: " same "),
        RecordedWriter("file", {PROMPTS[0].id: "other and longer"}),
    ]
    summary = gather(tmp_path / "run", writers=agreed, reviewers=(LONG,))
    kept, _ = written(tmp_path / "run")
    assert (
        summary["settled"] == {"vote": 1, "adjudicated": 0, "the same": 39}
        and kept[0].completion == "other and longer"
    )
    assert kept[1].meta["writers"] == ["one", "two"] and summary["agreement"] is None
    silent = [
        RecordedWriter("x", {PROMPTS[0].id: "a"}),
        RecordedWriter("y", {PROMPTS[1].id: "b", PROMPTS[2].id: "  "}),
    ]
    assert gather(tmp_path / "silent", writers=silent)["unanswered"] == 38


def test_reviewers_who_agree_agree_wholly_and_those_who_guess_do_not(tmp_path: Path):
    assert gather(tmp_path / "same", reviewers=(LONG, LONG))["agreement"] == {
        "pairs": 120,
        "raw": 1.0,
        "krippendorff_alpha": 1.0,
        "fleiss_kappa": 1.0,
        "gwet_ac1": 1.0,
    }
    guess = [judge_of(f"guess {i}", lambda text: 0.0, temperature=1.0, seed=i) for i in range(2)]
    found = gather(tmp_path / "guess", reviewers=guess)["agreement"]
    assert 0.3 < found["raw"] < 0.7 and all(
        abs(found[name]) < 0.3 for name in ("krippendorff_alpha", "fleiss_kappa")
    )


def test_a_killed_crowd_goes_on_and_ends_in_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("alignlab.run.chunks.CHUNK", 16)
    noisy = [judge_of(f"r{i}", len, temperature=2.0, seed=i) for i in range(3)]
    words = [
        writer(name, lambda i, name=name: name * random.Random(f"{name}{i}").randrange(1, 6))
        for name in "abc"
    ]
    whole = gather(tmp_path / "whole", words, noisy, noisy[0], gold=LENGTH)
    count = 0

    def tired(index: int) -> str:
        nonlocal count
        count += 1
        if count == 25:
            raise Killed
        return words[0].write(index, PROMPTS[index]) or ""

    with pytest.raises(Killed):
        gather(tmp_path / "cut", [writer("a", tired), *words[1:]], noisy, noisy[0], gold=LENGTH)
    assert gather(tmp_path / "cut", [writer("a", tired), *words[1:]], noisy, noisy[0], gold=LENGTH) == whole
    assert count == 25 + 24  # the first of three chunks was kept
    for name in ("demonstrations", "rejected"):
        assert (tmp_path / "cut" / "data" / f"{name}.jsonl").read_bytes() == (
            tmp_path / "whole" / "data" / f"{name}.jsonl"
        ).read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"writers": WRITERS[:1]},
        {"reviewers": ()},
        {"settings": CrowdSettings(majority=0.0)},
        {"settings": CrowdSettings(majority=1.5)},
    ],
)
def test_what_is_no_crowd_is_refused(wrong: dict[str, Any], tmp_path: Path):
    with pytest.raises(ConfigError, match="reviewers"):
        gather(tmp_path / "run", **wrong)


# --- a teacher
# ------------------------------------------------------------------------------------------------------------


class Teacher:
    """Writes what `text(prompt, place)` says; a text that ends in an ellipsis is not finished."""

    def __init__(self, text: Callable[[Prompt, int], str]) -> None:
        self.text, self.asked = text, 0

    def sample(self, prompts: Any, sampling: Sampling, *, seed: int = 0) -> list[list[Completion]]:
        self.asked += len(prompts)
        return [
            [
                Completion(p, text := self.text(p, k), finished=not text.endswith("..."))
                for k in range(sampling.n)
            ]
            for p in prompts
        ]

    def sync(self, model: Any) -> None: ...

    def close(self) -> None: ...


def distilled(
    out: Path, text: Callable[[Prompt, int], str], settings: DistilSettings | None = None, **more: Any
) -> dict[str, Any]:
    run = open_run(out)
    summary = distil.run(
        run, Teacher(text), PROMPTS, settings or DistilSettings(), teacher="big", seed=5, **more
    )
    run.finish(summary)
    return summary


def test_finished_answers_are_kept(tmp_path: Path):
    replies = {"question 1": "and so on ...", "question 2": "   "}
    summary = distilled(
        tmp_path / "run", lambda p, k: replies.get(p.text, f"the answer to {p.text}"), gold=LENGTH
    )
    kept, lost = written(tmp_path / "run")
    assert len(kept) == 38 and [(d.prompt.text, d.meta["rejected"]) for d in lost] == [
        ("question 1", "not finished"),
        ("question 2", "says nothing"),
    ]
    assert (
        summary["finished"]["mean"] == pytest.approx(39 / 40)
        and summary["gold"]["n"] == 38
        and kept[0].meta == {"kind": "distil", "teacher": "big"}
    )


def test_of_several_answers_the_judge_keeps_the_best(tmp_path: Path):
    texts = ("aa", "aaaa", "aa", "aaaaaaa...")
    summary = distilled(tmp_path / "run", lambda p, k: texts[k], DistilSettings(per_prompt=4), judge=LENGTH)
    kept, _ = written(tmp_path / "run")
    assert {d.completion for d in kept} == {"aaaa"} and kept[0].meta == {
        "kind": "distil",
        "teacher": "big",
        "judge": "length",
        "score": 4.0,
        "of": 4,
    }
    assert summary["reasons"] == {
        "the same answer to the same prompt": 40,
        "not finished": 40,
        "not the best": 40,
    }


def test_several_answers_need_a_judge_and_a_judge_several_answers(tmp_path: Path):
    for settings, judge in ((DistilSettings(per_prompt=3), None), (DistilSettings(), LENGTH)):
        with pytest.raises(ConfigError, match="judge"):
            distilled(tmp_path / "run", lambda p, k: "a", settings, judge=judge)


# --- the command line
# ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return answers(tmp_path / "prompts.jsonl", [{"prompt": p.text} for p in PROMPTS[:8]])


def run_command(*words: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = cli.main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_an_endpoint_teaches_is_killed_by_its_budget_and_goes_on(
    prompts: Path, capsys: pytest.CaptureFixture[str]
):
    command = [
        "collect",
        "--kind",
        "distil",
        "--data",
        prompts,
        "--endpoint.concurrency",
        1,
        "--endpoint.retries",
        1,
    ]
    with Server(echo) as server:
        code, whole = run_command(*command, "--model", server.name, "--out", "whole", capsys=capsys)
        assert code == 0 and whole["summary"]["spent"] == {"requests": 8, "tokens": 80}
        first = len(server.requests)
        code, error = run_command(
            *command, "--model", server.name, "--out", "cut", "--endpoint.max_requests", 3, capsys=capsys
        )
        assert (
            code == 8
            and "budget is spent: 3 of 3 requests" in error["what"]
            and len(server.requests) == first + 3
        )
        code, found = run_command(
            *command, "--model", server.name, "--out", "cut", "--endpoint.max_requests", 9, capsys=capsys
        )
        assert code == 0 and found["summary"] == whole["summary"] and len(server.requests) == first + 8
    assert (
        Path("cut/data/demonstrations.jsonl").read_bytes()
        == Path("whole/data/demonstrations.jsonl").read_bytes()
    )


def test_an_endpoint_that_talks_rubbish_is_one_error_and_nothing_is_lost(
    prompts: Path, capsys: pytest.CaptureFixture[str]
):
    command = [
        "collect",
        "--kind",
        "distil",
        "--data",
        prompts,
        "--endpoint.concurrency",
        1,
        "--endpoint.retries",
        0,
        "--out",
        "run",
    ]
    broken = True
    with Server(
        lambda number, path, body: Reply("<html>") if broken and number == 5 else chat_answer("fine")
    ) as server:
        code, error = run_command(*command, "--model", server.name, capsys=capsys)
        assert code == 4 and "not JSON" in error["what"]
        broken = False
        code, found = run_command(*command, "--model", server.name, capsys=capsys)
    assert code == 0 and found["summary"]["demonstrations"] == 8 and len(server.requests) == 6 + 3


def test_the_town_s_crowd_and_a_teacher_of_the_town_make_data_that_sft_trains_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    code, found = run_command(
        "collect", "--kind", "crowd", "--count", 60, "--gold", "town:gold", capsys=capsys
    )
    assert (
        code == 0
        and found["summary"]["gold"]["mean"] > found["summary"]["gold_any"]["ci"][1]
        and 0.2 < found["summary"]["agreement"]["krippendorff_alpha"] < 0.9
    )
    again = run_command("collect", "--kind", "crowd", "--count", 60, "--gold", "town:gold", capsys=capsys)[1]
    assert again["summary"] == found["summary"] and "done already" in again["text"]
    code, trained = run_command(
        "sft", "--model", "town-s", "--data", "runs/crowd", "--epochs", 1, "--model.threads", 1, capsys=capsys
    )
    assert (
        code == 0
        and trained["summary"]["demonstrations"] + trained["summary"]["held_out"]
        == found["summary"]["demonstrations"]
    )
    code, taught = run_command(
        "collect",
        "--kind",
        "distil",
        "--model",
        "runs/sft",
        "--count",
        12,
        "--sampling.max_new_tokens",
        40,
        "--model.threads",
        1,
        capsys=capsys,
    )
    assert code in (0, 4) and (code == 4 or read_run("runs/distil").parents == ["runs/sft"])


def test_people_s_answers_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    code, found = run_command("collect", "--kind", "human", "--count", 3, capsys=capsys)
    assert code == 0 and found["prompts"] == 3 and not Path("runs/human").exists()
    file = Path(found["answers"])
    rows = [
        json.loads(line) | {"completion": f"answer {i}"}
        for i, line in enumerate(file.read_text().splitlines())
    ]
    answers(file, rows)
    code, error = run_command("collect", "--kind", "human", capsys=capsys)
    assert code == 4 and "3 nobody signs it" in error["what"]
    code, found = run_command("collect", "--kind", "human", "--who", "Ada", "--no-resume", capsys=capsys)
    assert code == 0 and found["summary"]["who"] == {"Ada": 3}


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["--kind", "crowed"], 2, "did you mean crowd"),
        (["--kind"], 2, "one of: rankings"),
        (["--kind=distil", "--writers", "x"], 3, "--kind crowd, not to --kind distil"),
        (["--annotator", "town:fair", "--kind", "human"], 3, "--kind rankings, not to --kind human"),
        (["--majority", "1"], 3, "--kind crowd, not to --kind rankings"),
        (["--kind", "distil"], 2, "needs a teacher"),
        (["--kind", "crowd", "--writers", "town:nobody,town:hasty"], 2, "no writer"),
        (["--kind", "human", "--answers", "answers.csv"], 2, ".jsonl"),
        (["--kind", "distil", "--model", "town-s", "--endpoint.timeout", "3"], 3, "endpoint"),
        (
            ["--kind", "distil", "--model", "http://127.0.0.1:9/v1#m", "--model.threads", "1"],
            3,
            "take them away",
        ),
        (["--kind", "distil", "--model", "http://127.0.0.1:9/v1"], 2, "lacks the model"),
    ],
)
def test_what_means_nothing_for_a_kind_is_said(
    words: list[str],
    code: int,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["collect", *words, "--count", "4"]) == code
    err = capsys.readouterr().err
    assert hint in err and "Traceback" not in err


def test_a_file_with_settings_of_another_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "s.toml").write_text("[collect]\nmajority = 0.5\n")
    assert (
        cli.main(["collect", "--kind", "crowd", "--config", str(tmp_path / "s.toml"), "--print-config"]) == 0
    )
    assert (
        cli.main(["collect", "--kind", "distil", "--config", str(tmp_path / "s.toml"), "--print-config"]) == 3
    )
    assert "--kind crowd, not to --kind distil" in capsys.readouterr().err


def test_a_process_that_is_killed_while_it_asks_pays_for_nothing_twice(
    prompts: Path, capsys: pytest.CaptureFixture[str]
):
    """SIGKILL in the middle of a chunk: what had come is in the cache, and the same command ends in the files
    of an undisturbed run.
    """
    arrived, hold = threading.Event(), threading.Event()

    def answer(number: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if number == 3:
            arrived.set()
            hold.wait(60)
        return echo(number, path, body)

    with Server(answer) as server:
        command = [
            "collect",
            "--kind",
            "distil",
            "--data",
            str(prompts),
            "--model",
            server.name,
            "--endpoint.concurrency",
            "1",
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "alignlab.cli", *command, "--out", "cut"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert arrived.wait(120)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        hold.set()
        kept = [json.loads(line) for line in Path("cut.partial/endpoint.jsonl").read_text().splitlines()]
        assert len(kept) == 3 and all(row["tokens"] == 10 for row in kept)
        code, found = run_command(*command, "--out", "cut", capsys=capsys)
        assert code == 0 and len(server.requests) == 4 + 5
        code, whole = run_command(*command, "--out", "whole", capsys=capsys)
    assert code == 0 and whole["summary"] == found["summary"]
    assert (
        Path("cut/data/demonstrations.jsonl").read_bytes()
        == Path("whole/data/demonstrations.jsonl").read_bytes()
    )
