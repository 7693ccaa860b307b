"""The benchmarks fit the package as it is: each can be read, and those that plan a pipeline plan it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from alignlab.pipeline import Pipeline
from alignlab.settings import PipelineSettings

FOLDER = Path(__file__).parents[1] / "benchmarks"


def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # dataclasses look there
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.py")))
def test_it_says_what_it_does(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All its imports are there, and its --help names the command."""
    found = module(name)
    assert f"benchmarks/{name}.py" in (found.__doc__ or "")
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as stopped:
        found.main()
    assert stopped.value.code == 0 and "usage" in capsys.readouterr().out


def test_pipelines_are_planned(tmp_path: Path) -> None:
    """Every stage takes the arguments that it is planned with."""
    import inspect

    pipeline = Pipeline(tmp_path / "bars")
    module("town_bars").plan(pipeline, PipelineSettings(), 0)
    constitutional = module("constitutional").plan_of(tmp_path / "constitutional", 0, 1).pipeline
    for planned, needed in ((pipeline, {"ppo", "eval-ppo-constant", "dpo-random"}), (constitutional, {"rl-cai", "sl-four-rounds", "ppo-people-label-harm"})):
        assert needed <= {stage.name for stage in planned.stages}
        for stage in planned.stages:
            inspect.signature(stage.target).bind(**stage.arguments)
