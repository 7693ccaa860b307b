"""A new loss on pairs is four things: its arithmetic, its settings, its row in the loop, its command. Here a
toy gets them, and is trained, shown and judged by the command line like the others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from alignlab.cli import main
from alignlab.cli.commands import COMMANDS
from alignlab.methods import direct
from alignlab.run import read_run
from alignlab.settings import PAIRS, PairSettings
from alignlab.settings import direct as pair_settings
from alignlab.settings.shared import Rates, setting


def toy_loss(chosen_logps: Tensor, rejected_logps: Tensor, *, reach: float) -> tuple[Tensor, Tensor, Tensor]:
    """losses/toy.py: the margin of log-probabilities, up to `reach`."""
    loss = (reach - (chosen_logps - rejected_logps)).clamp_min(0)
    return loss, chosen_logps.detach(), rejected_logps.detach()


@dataclass(frozen=True, kw_only=True)
class ToySettings(PairSettings):
    """settings/direct.py"""

    method, title = "toy", "Toy"
    rates = Rates(1e-6, 1e-6, 1e-6, lora=1e-5)
    reach: float = setting(50.0, "margin from which on nothing is learnt", above=0)


def toy_losses(s: ToySettings, policy_N2: Tensor, *_: Tensor | None) -> direct.Losses:
    """methods/direct.py"""
    return *toy_loss(*policy_N2.unbind(1), reach=s.reach), {}


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_settings, "ToySettings", ToySettings, raising=False)
    monkeypatch.setitem(PAIRS, ToySettings.method, ToySettings)
    monkeypatch.setitem(direct.PAIR_LOSSES, ToySettings, toy_losses)
    row = replace(COMMANDS["simpo"], help="a toy", settings_at="settings.direct:ToySettings", out="runs/toy")
    monkeypatch.setitem(COMMANDS, "toy", row)


def test_a_toy_is_trained_shown_and_judged_by_the_command_line(
    added: None, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs: list[dict[str, Any]] = [
        {"prompt": f"{i} apples?", "chosen": f"yes, {i}", "rejected": "no" + "." * (i % 6)} for i in range(24)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    out = tmp_path / "toy"
    flags = "--epochs 3 --batch 8 --held_out 0.25 --max_length 64 --optim.lr 1e-3 --reach 20"
    arguments = ["--model", str(base), "--data", str(file), "--out", str(out), *flags.split()]
    assert main(["toy", *arguments]) == 0
    run = read_run(out)
    assert run.stage == "toy" and run.summary["accuracy"]["n"] > 0
    assert run.metrics[-1]["loss"] < run.metrics[0]["loss"]
    assert (out / "checkpoint" / "README.md").read_text().startswith("# Toy\n")
    assert main(["toy", "--help"]) == 0
    assert "margin from which on nothing is learnt" in capsys.readouterr().out
    assert main(["toy", "--reach", "-1"]) != 0
    assert "reach" in capsys.readouterr().err
    main(["runs", "doctor", str(out)])
    assert "toy" in capsys.readouterr().out
