"""Hand-ins: packed, verified, graded as a class."""

from __future__ import annotations

import csv
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli
from alignlab.course.exercises import catalogue
from alignlab.course.exercises.ex3 import checks
from alignlab.course.grade import classes, handin
from alignlab.course.grade.exercise import Exercise
from alignlab.course.grade.folder import Work, start

from .solutions import filled, grade_of, quick, right, wrong

RIGHT = right("ex3").read_text(encoding="utf-8")
EX3 = catalogue.exercise("ex3")


def handed_in(folder: Path, student: str, text: str) -> Work:
    work = start("ex3", student, folder / student)
    (work.folder / "rlhf.py").write_text(text, encoding="utf-8")
    return work


def test_a_hand_in_is_packed_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "SIZES", replace(checks.SIZES, steps=40))
    work = handed_in(tmp_path, "ana", RIGHT)
    assert cli.main(["exercise", "pack", "ana"]) == 2  # not graded yet
    assert cli.main(["exercise", "grade", "ana"]) == 5  # forty steps are too few
    receipt = json.loads((work.folder / "receipt.json").read_text())
    assert len(receipt["digests"]) == 5 and receipt["points"] == 50
    assert cli.main(["exercise", "pack", "ana"]) == 0
    packed = Path("ex3-ana.zip").read_bytes()
    assert cli.main(["exercise", "pack", "ana"]) == 0 and Path("ex3-ana.zip").read_bytes() == packed
    assert cli.main(["exercise", "verify", "ex3-ana.zip"]) == 0
    out = capsys.readouterr().out
    assert "yes  the first 8 steps are the same to the last bit" in out and "NO" not in out


def test_a_receipt_of_somebody_else_is_told() -> None:
    done: dict[str, Any] = {
        "seed": 1,
        "digests": ["a", "b"],
        "trace": 0.03,
        "figures": {"kl": 1.2},
        "versions": {"torch": "2", "python": "3"},
        "machine": "x",
    }
    assert all(handin.compared(done, done).values())
    assert list(handin.compared(done | {"seed": 2}, done).values()) == [False, True, True]
    assert list(handin.compared(done | {"digests": ["a", "c"]}, done).values()) == [True, False, True]
    other = {"machine": "y", "digests": ["a", "c"]}
    assert list(handin.compared(done | other | {"trace": 0.0305}, done).values()) == [True, True, True]
    assert list(handin.compared(done | other | {"trace": 0.05}, done).values()) == [True, False, True]
    assert list(handin.compared(done | {"figures": {"kl": 1.4}}, done).values()) == [True, True, False]
    assert not all(handin.compared({}, done).values())


def test_a_class_is_graded_once_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "class"
    folder.mkdir()
    solutions = {s.name: s.text for s in wrong("ex3")}
    beta = ("-beta * (logp_BT - ref_BT)", "-2 * beta * (logp_BT - ref_BT)")
    texts = {
        "ana": RIGHT,
        "ben": solutions["kl-sign"],
        "=cleo": solutions["kl-sign"],
        "dan": RIGHT.replace(*beta),
        "eve": "import",
    }
    for student, text in texts.items():
        handed_in(folder, student, text)
    (folder / "broken.zip").write_bytes(b"PK no")
    with zipfile.ZipFile(folder / "out.zip", "w") as archive:
        archive.writestr("../../exercise.json", "{}")
    asked: list[str] = []

    def graded(work: Work, salt: str) -> Any:
        asked.append(work.student)
        text = (work.folder / "rlhf.py").read_text()
        if text == "import":
            return grade_of(quick(EX3), RIGHT, student=work.student, salt=salt, broken="SyntaxError"), {}
        return grade_of(quick(EX3), text, student=work.student, salt=salt), {}

    monkeypatch.setattr("alignlab.course.grade.receipts.graded_work", graded)
    table = tmp_path / "class.csv"
    assert cli.main(["exercise", "grade", str(folder), "--salt", "s", "--csv", str(table)]) == 0
    rows = {row["student"]: row for row in csv.DictReader(table.open(encoding="utf-8"))}
    assert rows["ben"]["mistakes"] == rows["'=cleo"]["mistakes"] == "kl-sign"
    assert rows["dan"]["unknown"] and not rows["dan"]["mistakes"] and not rows["ana"]["wrong"]
    assert rows["eve"]["error"] == "SyntaxError" and "no zip" in rows["broken"]["error"]
    assert "no hand-in" in rows["out"]["error"] and not (tmp_path.parent / "exercise.json").exists()
    page = table.with_suffix(".html").read_text(encoding="utf-8")
    assert "kl sign (2)" in page and "Look at together" in page and rows["dan"]["unknown"] in page
    assert sorted(asked) == sorted(texts)
    assert cli.main(["exercise", "grade", str(folder), "--salt", "s", "--csv", str(table)]) == 0
    assert len(asked) == len(texts)  # nobody is run twice


def test_the_report_is_held_to_the_training(exercise: Exercise = EX3) -> None:
    trained = {"kl": 1.2, "reward": 0.5, "away": 0.004, "share": 0.002, "losses": 8, "first_gap": 0.0}
    trained |= {"steps": 8, "draws_z": 0.1, "different": 9.0}
    grade = grade_of(exercise, RIGHT, trained=trained)
    good = filled(exercise, grade)
    assert grade_of(exercise, RIGHT, trained=trained, report=good).points == 100
    other = grade_of(exercise, RIGHT, trained=trained, report=good.replace("1.2", "1.3"))
    assert [line.split(":")[0] for line in other.report[1]] == ["kl"]
    assert other.points == 100 - round(20 / len(exercise.fields), 1)
    assert grade_of(exercise, RIGHT, trained=trained, report="[[mind: yes]]").report[0] == 0


def test_pieces_of_code_are_the_same_whatever_things_are_called() -> None:
    other = RIGHT.replace("rewards_BT", "r").replace("scores_B", "points").replace("optimizer", "adam")
    assert classes.pieces(RIGHT) == classes.pieces(other + "\n# and a remark\n")
    assert classes.pieces("def (") == set()
