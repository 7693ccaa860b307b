"""`alignlab sweep`: every combination and seed as a run, an evaluation each, one table and one picture; bad
grids are refused before the first run.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.cli.commands import COMMANDS
from alignlab.errors import ConfigError
from alignlab.pipeline import sweep
from alignlab.settings import DPOSettings, RewardSettings, SFTSettings

from .scripts import without_torch


def test_the_grid_is_every_combination_of_what_has_several_values() -> None:
    grid, varied = sweep.points(
        DPOSettings,
        {"beta": "0.03,0.1", "optim.lr": "1e-5,1e-4,1e-3", "epochs": "2", "loss-type": "ipo,hinge"},
    )
    assert len(grid) == 12 and varied == ["beta", "optim.lr", "loss-type"]
    assert (
        grid[0] == {"beta": "0.03", "optim.lr": "1e-5", "epochs": "2", "loss-type": "ipo"}
        and len({tuple(point.items()) for point in grid}) == 12
    )
    grid, varied = sweep.points(
        SFTSettings, {"adapter.target": "q_proj,v_proj", "batch": "4,8"}
    )  # text keeps its commas
    assert varied == ["batch"] and grid[1]["adapter.target"] == "q_proj,v_proj"
    for flags in ({}, {"beta": "0.1"}, {"beta": "0.1,0.3,0.1"}):
        with pytest.raises(ConfigError):
            sweep.points(RewardSettings if not flags else DPOSettings, flags)


BAD = [
    ("dpo --beta 0.1,x", "beta = 'x' is not a number"),
    ("dpo --beta 0.1,", "beta = '' is not a number"),
    ("dpo --beta 0.1,0", "above 0"),
    ("dpo --betta 0.1,0.2", "--beta"),
    ("dpo --beta 0.1,0.1", "twice"),
    ("dpo --beta 0.1", "several values"),
    ("dpo --loss_type ipo,hing", "one of sigmoid"),
    ("dpo --batch 4,4.5", "whole number"),
    ("grpo --per_prompt 4,5 --judge constant", "multiple"),
    ("dpo --beta 1,2 --seeds 1,x", "whole numbers"),
    ("dpo --beta 1,2 --model nix", "no model"),
    ("dppo --beta 1,2", "knows no dppo"),
    ("reward --center 0,0.1 --eval-data town:test --data town:test-pairs", "--eval-data"),
    ("ppo --kl_coef 0,1", "--reward"),
    ("rloo --kl_coef 0,1", "--reward"),
    ("dpo --beta 1,2 --data=", "--data"),
    ("dpo --beta 1,2 --data town:test-pairs --eval-judge town:golden", "town:gold"),
    ("dpo --kl_coef 1,2", "rloo"),
]


def test_a_bad_grid_is_refused_before_the_first_run(tmp_path: Path) -> None:
    commands = [
        [
            "sweep",
            *words.split(),
            *(["--data", "town:test-pairs"] if words.startswith("dpo") and "--data" not in words else []),
            "--out",
            str(tmp_path / "sweep"),
        ]
        for words, _ in BAD
    ]
    for (words, says), (code, out, err, tried) in zip(BAD, without_torch(commands), strict=True):
        assert code in (2, 3, 4) and says in err and out == "" and not tried, (words, code, err, tried)
    assert not list(tmp_path.iterdir())


def test_every_method_that_is_swept_takes_its_own_options() -> None:
    whole = COMMANDS["sweep"]
    for name, command in {whole.kind: whole, **whole.kinds}.items():
        assert (
            command.swept == name
            and command.settings is COMMANDS[name].settings
            and set(COMMANDS[name].options) < set(command.options)
        )
        assert len({option.flag for option in command.options}) == len(command.options)


def test_runs_evaluations_table_and_picture_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "sweep"
    given = [
        "sweep",
        "dpo",
        "--model",
        "town-s",
        "--data",
        "town:test-pairs",
        "--count",
        "24",
        "--beta",
        "0.1,0.5",
        "--seeds",
        "3,4",
        "--eval-prompts",
        "6",
        "--model.threads",
        "1",
        "--out",
        str(out),
    ]
    assert cli.main(given) == 0
    said = capsys.readouterr()
    assert (
        max(map(len, said.out.split("\n"))) <= 200
        and "gold" in said.out
        and "beta 0.1" in said.out
        and "2 seeds (3, 4)" in said.out
    )
    found = json.loads((out / "sweep.json").read_text())
    assert (
        [row["label"] for row in found["rows"]] == ["beta 0.1", "beta 0.5"]
        and found["evaluated_on"] == "town:test"
        and found["seeds"] == [3, 4]
    )
    for row in found["rows"]:
        golds = [
            json.loads((Path(run["eval"]) / "summary.json").read_text())["gold"]["mean"]
            for run in row["runs"]
        ]
        assert (
            row["figures"]["gold"]["mean"] == pytest.approx(sum(golds) / 2)
            and row["figures"]["gold"]["n"] == 2
        )
        assert json.loads((Path(row["runs"][0]["run"]) / "config.json").read_text())["settings"][
            "beta"
        ] == float(row["settings"]["beta"])
    assert (out / "sweep.svg").read_text().startswith("<svg") and "beta" in (out / "sweep.svg").read_text()
    before = (out / "beta-0.1" / "seed-3" / "run.json").stat().st_mtime_ns
    assert cli.main([*given, "--json"]) == 0  # again: nothing is made anew
    again = json.loads(capsys.readouterr().out)
    assert (
        again["rows"] == found["rows"]
        and (out / "beta-0.1" / "seed-3" / "run.json").stat().st_mtime_ns == before
    )
    assert (
        cli.main(["runs", "compare", *(found["rows"][i]["runs"][0]["eval"] for i in (0, 1)), "--json"]) == 0
    )
    assert "gold, greedy" in next(iter(json.loads(capsys.readouterr().out)["paired"].values()))


def test_a_picture_of_words_and_of_several_settings() -> None:
    rows = [
        {
            "label": f"loss_type {name}",
            "settings": {"loss_type": name},
            "figures": {"accuracy": {"mean": 0.6, "ci": [0.5, 0.7], "n": 3}},
        }
        for name in ("ipo", "hinge")
    ]
    assert "loss_type hinge" in sweep.picture(rows, "dpo")
    rows = [
        {"label": "a", "settings": {"beta": "1", "batch": "2"}, "figures": {}},
        {"label": "b", "settings": {"beta": "1", "batch": "4"}, "figures": {}},
    ]
    assert sweep.picture(rows, "dpo").startswith("<svg")
