"""Exercise 4: constitutions graded as they lie there, chains over the pipe, critics, what is given."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.constitution import files
from alignlab.course.exercises.ex4 import EXERCISE, checks
from alignlab.course.exercises.ex4.critics import Editor, Model, Question, fired
from alignlab.course.exercises.ex4.files import GIVEN, twelve
from alignlab.course.grade.child import loaded
from alignlab.course.grade.folder import start
from alignlab.course.grade.runner import Here
from alignlab.town.tasks import Request

from .solutions import findings, grade_of, module, quick, recorded, right, wrong

RIGHT = right("ex4").read_text(encoding="utf-8")
MINE = (right("ex4").parent / "constitution.toml").read_text(encoding="utf-8")
CLAUSES = {rule.id: rule for rule in files.read(GIVEN / "clauses.toml").principles}


def of_clauses(*ids: str) -> tuple[tuple[str, str, str], ...]:
    """The solution's constitution with these principles in the place of its own."""
    begin, end = MINE.index("[[principles]]"), MINE.index("[[exemplars]]")
    rows: list[str] = []
    for rule in (CLAUSES[id] for id in ids):
        texts = (f"{name} = {json.dumps(value)}" for name, value in rule.to_json().items())
        rows.append("\n".join(["[[principles]]", *texts]))
    return (("constitution.toml", MINE[begin:end], "\n\n".join([*rows, ""])),)


def test_ten_principles_are_accepted_where_the_rounds_suffice() -> None:
    ten = ("no-harm", "kindness", "say-no", "council", "others", "safety", "force", "tricks", "fair-play")
    text = RIGHT.replace("import math", "ROUNDS = 4\nimport math")
    grade = grade_of(EXERCISE, text, of_clauses(*ten, "reason"))
    assert findings(grade) == [] and grade.trained["right"] == 1.0


def test_wrong_constitutions_are_what_is_recorded_of_them() -> None:
    for solution in (each for each in wrong("ex4") if each.training):
        grade = grade_of(EXERCISE, solution.text, solution.beside)
        assert grade.mistakes() == [solution.hint]
        assert grade.trained == recorded("ex4")[solution.name]


def test_what_is_wrong_beside_the_functions_is_said() -> None:
    for beside, word in (
        ((("constitution.toml", MINE, "name = "),), "no TOML"),
        (of_clauses("no-harm", "kindness"), "2 principles"),
        ((("constitution.toml", MINE[MINE.index("[[exemplars]]") :], ""),), "no worked example"),
    ):
        finding = grade_of(EXERCISE, RIGHT, beside, trained=recorded("ex4")["one_round"]).verdicts[0].finding
        assert finding and word in finding.text


def test_examples_are_short_enough_to_read() -> None:
    for solution in wrong("ex4"):
        if not solution.training:
            [finding] = [v.finding for v in grade_of(quick(EXERCISE), solution.text).verdicts if v.finding]
            assert 2 <= len(finding.example) <= 12 and max(map(len, finding.example)) < 600, solution.name


def test_the_editor_knows_what_is_said_of_the_twelve() -> None:
    drafts = [(Request.of(prompt), draft) for prompt, draft in twelve()]
    for id, places in (
        ("no-harm", "2 5 6 8 11"),
        ("force", "2 5 8"),
        ("gladly", "9"),
        ("caution", "2 4 5 6 7 8 10 11"),
    ):
        asked = [Question(request, "critique", draft, CLAUSES[id]) for request, draft in drafts]
        said = Editor().answers(asked, 0)
        assert [n for n, each in enumerate(said, 1) if fired(each)] == [int(n) for n in places.split()], id


def test_a_model_criticises_and_revises() -> None:
    [(prompt, draft)] = twelve()[1:2]
    rule, request = CLAUSES["no-harm"], Request.of(prompt)
    asked = [
        Question(request, "critique", draft, rule),
        Question(request, "revision", draft, rule, "This helps with something that hurts people."),
        Question(request, "revision", draft, rule),
    ]
    said = Model("town").answers(asked, 0)
    assert all(each["text"] and "\n" not in each["text"] for each in said)
    assert said == Model("town").answers(asked, 0)


def test_a_chain_that_asks_for_ever_is_stopped_and_cannot_catch_the_question() -> None:
    begin, end = RIGHT.index("    drawn ="), RIGHT.index("\n\ndef keep")
    loop = """    try:
        while True:
            draft = f"{draft} {ask('critique', prompt, draft, rules[0])['text']}"
    except Exception:
        return None
"""
    student = Here(module(RIGHT[:begin] + loop + RIGHT[end:]), EXERCISE.drivers)
    rules = list(CLAUSES.values())
    chains, stopped = checks.played(student, Editor(), checks.hidden(0)[:2], rules, 0)
    assert chains == [] and "asks more than" in stopped


def test_a_folder_is_graded_packed_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "EACH", 6)
    folder = start("ex4", "ana", tmp_path / "ex4").folder
    assert cli.main(["exercise", "grade", "ex4"]) == 5
    out = capsys.readouterr().out
    assert "not written     0 of 14  chain" in out and "vacuous: be-good" in out
    for name in ("constitution.toml", "predictions.toml"):
        shutil.copy(right("ex4").parent / name, folder)
    shutil.copy(right("ex4"), folder / "cai.py")
    assert cli.main(["exercise", "grade", "ex4"]) == 0
    assert "80 of 100 points" in capsys.readouterr().out
    assert cli.main(["exercise", "pack", "ex4"]) == 0
    assert {*EXERCISE.beside, "cai.py"} <= set(zipfile.ZipFile("ex4-ana.zip").namelist())
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "cai", loaded(str(folder / "cai.py"), "cai"))
    monkeypatch.setattr(sys, "argv", ["run.py"])
    capsys.readouterr()
    runpy.run_path("run.py")
    shown = capsys.readouterr().err
    assert "look_alikes" in shown and "critiques    right 1.00" in shown
