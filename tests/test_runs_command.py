"""`alignlab runs`: a list with figures that fits a terminal, and runs beside each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli
from alignlab.evals.statistics import paired_difference
from alignlab.run import RunDir
from alignlab.town.base import shipped

from .scripts import TOKENIZING, without_torch


def made(
    out: Path,
    stage: str,
    summary: dict[str, Any],
    *,
    rows: list[dict[str, Any]] = None,
    seed: int = 0,
    **settings: Any,
) -> Path:
    if rows is None:
        rows = []
    run = RunDir.open(out, stage=stage, config={"settings": settings, "models": [], "options": {}}, seed=seed)
    run.log_samples(0, rows)
    run.finish(summary)
    return out


def S(mean: float) -> dict[str, Any]:
    return {"mean": mean, "ci": [mean - 0.1, mean + 0.1], "n": 4}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    RunDir.open(folder / "begun", stage="ppo", config={"settings": {}}, seed=0)
    made(folder / "sft", "sft", {"eval_loss": S(0.4123)})
    made(
        folder / "a-name-that-is-too-long-for-a-column-of-any-width",
        "ppo",
        {"score_last": 1.5, "gold_last": 0.75, "kl_last": 3.25, "dropped": {}},
    )
    made(folder / "pipe" / "reward", "reward", {"accuracy": S(0.71), "length_floor": S(0.5)})
    made(folder / "evil\x1b[2J\u202e", "eval", {"gold": S(0.9)})
    return folder


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_what_is_done_stands_first_with_its_figures_and_fits(
    columns: int, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert cli.main(["runs", str(runs)]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "done:" and lines.index("done:") < next(
        i for i, line in enumerate(lines) if line in ("running:", "stopped:")
    )
    assert max(map(len, lines)) <= columns and "\x1b" not in out and "\u202e" not in out
    said = " ".join(out.split())
    assert (
        "loss 0.4123" in said
        and "accuracy 0.71" in said
        and "score 1.5" in said
        and "KL 3.25" in said
        and "a-name-that-is-too-long" in said
    )
    assert next(line for line in lines if "pipe/reward" in line).split()[:2] == ["pipe/reward", "reward"]
    assert next(i for i, line in enumerate(lines) if "begun.partial" in line) > lines.index(
        next(line for line in lines if "sft" in line)
    )


def test_the_list_as_json_and_an_empty_folder(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["runs", str(runs), "--json"]) == 0
    rows = {Path(row["run"]).name: row for row in json.loads(capsys.readouterr().out)["runs"]}
    assert (
        rows["sft"]["figures"] == {"loss": 0.4123}
        and rows["begun.partial"]["figures"] == {}
        and rows["reward"]["status"] == "done"
    )
    (tmp_path / "none").mkdir()
    assert cli.main(["runs", str(tmp_path / "none")]) == 0 and "no runs below" in capsys.readouterr().out
    assert cli.main(["runs", str(tmp_path / "nome")]) == 4 and "no such folder" in capsys.readouterr().err


def answers(*gold: float, decoding: str = "greedy") -> list[dict[str, Any]]:
    return [{"id": f"p{i}", "decoding": decoding, "gold": value} for i, value in enumerate(gold)]


def test_runs_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Settings that differ, figures with intervals, and the difference over the prompts that both have;
    answers to a prompt that was asked twice are one observation.
    """
    a = made(
        tmp_path / "a",
        "eval",
        {"gold": S(0.5), "only": 1.0, "mean_length": 3.0},
        rows=answers(0.0, 1.0, 0.5, 0.2) + answers(0.9),
        prompts=4,
        sampling={"temperature": 0.0},
        seed=1,
    )
    b = made(
        tmp_path / "b",
        "eval",
        {"gold": S(0.8), "mean_length": 4.0},
        rows=answers(1.0, 1.0, 0.6) + answers(0.3) + answers(0.7, decoding="sampled"),
        prompts=3,
        sampling={"temperature": 0.0},
        seed=2,
    )
    assert cli.main(["runs", "compare", str(a), str(b), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"] == {"prompts": [4, 3], "seed": [1, 2]}
    assert set(found["figures"]) == {"gold", "mean_length"} and found["figures"]["mean_length"] == [3.0, 4.0]
    assert found["paired"] == {
        str(b): {"gold, greedy": paired_difference([1.0, 1.0, 0.6, 0.3], [0.0, 1.0, 0.5, 0.9], "0120")}
    }
    assert cli.main(["runs", "compare", str(a), str(b)]) == 0
    out = capsys.readouterr().out
    assert (
        "0.800 [0.700, 0.900]" in out
        and "difference from" in out
        and "n = 3" in out
        and "temperature" not in out
    )


def test_records_of_likelihood_are_paired_and_other_runs_have_figures_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(*values):
        return [{"figure": "loss", "record": str(i), "value": value} for i, value in enumerate(values)]

    runs = [
        made(tmp_path / "x", "likelihood", {"loss": S(1.0)}, rows=rows(1.0, 2.0)),
        made(tmp_path / "y", "likelihood", {"loss": S(1.1)}, rows=rows(1.5, 2.5, 9.0)),
    ]
    assert cli.main(["runs", "compare", *map(str, runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["paired"][str(runs[1])]["loss"] == {
        "mean": 0.5,
        "ci": None,
        "n": 2,
        "p": 0.5,
    }
    others = [
        made(tmp_path / f"d{beta}", "dpo", {"accuracy": S(beta)}, beta=beta) for beta in (0.1, 0.3, 0.5)
    ]
    assert cli.main(["runs", "compare", *map(str, others), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert cli.main(["runs", "compare", *map(str, others[:1] + runs[:1])]) == 0
    out = capsys.readouterr().out
    assert (
        "None" not in out
        and "stage" in out
        and "and 1 that not all of them have" in out
        and "difference from" not in out
    )
    assert (
        found["settings"] == {"beta": [0.1, 0.3, 0.5]}
        and found["paired"] == {}
        and len(found["figures"]["accuracy"]) == 3
    )


def test_what_cannot_be_compared_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = made(tmp_path / "a", "eval", {"gold": S(0.5)})
    for names, says in (
        ([str(a)], "two or more"),
        ([], "two or more"),
        ([str(a), str(tmp_path / "nil")], "nil"),
    ):
        assert cli.main(["runs", "compare", *names]) == 2
        assert says in capsys.readouterr().err


def test_commands_that_only_read_start_without_torch(tmp_path: Path) -> None:
    a = made(tmp_path / "a", "eval", {"gold": S(0.5)}, rows=answers(0.0, 1.0))
    commands = [
        ["runs", str(tmp_path)],
        ["runs", "doctor", str(a)],
        ["runs", "verify", str(a)],
        ["runs", "compare", str(a), str(a)],
        ["constitution", "show"],
        ["constitution", "lint", "general"],
        ["from-trl", "--args", "--learning_rate 3e-6", "--method", "dpo"],
        ["study"],
        ["export", "--data", "town:demos", "--count", "3", "--out", str(tmp_path / "demos.jsonl")],
    ]
    for arguments, (code, out, err, tried) in zip(commands, without_torch(commands), strict=True):
        assert code == 0 and out and not tried, (arguments, code, err, tried)


def test_commands_that_read_data_as_a_model_does_start_without_torch(tmp_path: Path) -> None:
    reward = shutil.copytree(
        shipped("town-s"), tmp_path / "reward", ignore=shutil.ignore_patterns("manifest.json")
    )
    config = json.loads((reward / "config.json").read_text())
    (reward / "config.json").write_text(
        json.dumps(config | {"architectures": ["LlamaForSequenceClassification"]})
    )
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "Who is Otto?", "chosen": "A baker.", "rejected": "Nobody."}\n' * 3)
    commands = [
        ["view", "--count", "1"],
        ["view", "--model", "town-s", "--data", str(rows), "--chat-template", "chatml"],
        ["doctor", "town:demos", "--count", "20"],
        ["doctor", str(rows), "--model", "town-s", "--reward", str(reward), "--against", "town:test"],
    ]
    for arguments, (code, out, err, tried) in zip(commands, without_torch(commands, TOKENIZING), strict=True):
        assert code in (0, 5) and out and not tried, (arguments, code, err, tried)
