"""The scripts that a student is given run with functions that are right."""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from alignlab.course.exercises.ex3 import checks
from alignlab.course.grade.child import loaded
from alignlab.course.grade.folder import start

from .solutions import right


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = start("ex3", "ana", tmp_path / "ex3").folder
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "rlhf", loaded(str(right("ex3")), "rlhf"))
    return folder


def run(script: Path, *changes: tuple[str, str]) -> None:
    text = script.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    script.write_text(text, encoding="utf-8")
    runpy.run_path(str(script))


def test_the_toy_is_shown(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "SIZES", replace(checks.SIZES, steps=16))
    run(work / "run.py")
    rows = [line.split() for line in capsys.readouterr().err.splitlines()[1:]]
    assert [row[0] for row in rows] == ["0", "8", "16"] and float(rows[0][2]) == 0.0


def test_the_town_is_learnt_by_the_same_functions(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(
        work / "town.py",
        ('"runs/lecture/sft", "runs/lecture/reward"', '"town-s", "town-s"'),
        ("= 12, 32, 4, 32", "= 2, 2, 2, 2"),
        ("TESTED = 300", "TESTED = 4"),
    )
    first, second, end = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert end[:4] == ["on", "4", "other", "prompts,"]
    assert float(first[3]) == 0.0 and float(second[4]) > 0.0  # k1 before anything is learnt, k3 afterwards
