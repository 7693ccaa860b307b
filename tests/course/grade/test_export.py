"""The graders for other tools: what they make of a right and of a wrong hand-in.

Where a tool is installed it is run. Gradescope is a server; its script runs here as it does there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from alignlab import cli
from alignlab.course.exercises import catalogue
from alignlab.course.grade import handin
from alignlab.course.grade.export import TEMPLATES, TOOLS
from alignlab.course.grade.folder import start
from alignlab.course.grade.points import asked, key_above, points
from alignlab.course.grade.runner import Student

from .solutions import right

EX5 = catalogue.exercise("ex5")
ALL = sum(asked(EX5).values())


def handed_in(folder: Path, student: str, *lines: tuple[str, str]) -> Path:
    """A hand-in of exercise 5 as a zip, in a folder of its own."""
    (folder / student).mkdir()
    work = start("ex5", student, folder / student / "work").folder
    for name in EX5.beside:
        shutil.copy(right("ex5").with_name(name), work)
    text = right("ex5").read_text(encoding="utf-8")
    for old, new in lines:
        assert old in text
        text = text.replace(old, new)
    (work / EX5.file).write_text(text, encoding="utf-8")
    (work / "report.md").write_text("[[worst: these are more than five words]]", encoding="utf-8")
    (work / "receipt.json").write_text(json.dumps({"code": handin.digest(work / EX5.file)}), encoding="utf-8")
    return Path(handin.pack(str(work))["zip"])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handed_in(tmp_path_factory.mktemp("class"), "ana")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handed_in(tmp_path_factory.mktemp("class"), "ben", ("def rate(", "def not_rate("))


def exported(tool: str, folder: Path, exercise: str = "ex5", salt: str = "maple") -> Path:
    out = folder / tool
    command = ["exercise", "export", exercise, "--for", tool, "--out", str(out), "--salt", salt]
    assert cli.main(command) == 0
    return out


@cache
def expected(hand_in: Path) -> float:
    """What our own command gives for it, under the same salt."""
    key = hand_in.with_suffix(".json")
    key.write_text(json.dumps({"exercise": "ex5", "salt": "maple"}), encoding="utf-8")
    return points(str(hand_in), "ex5", str(key))["points"]


# --- what all have in common


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("exercise", catalogue.TITLES)
def test_the_salt_lies_in_the_key_alone(tool: str, exercise: str, tmp_path: Path) -> None:
    out = exported(tool, tmp_path, exercise)
    files = [path for path in out.rglob("*") if path.is_file()]
    holding = [path.name for path in files if b"maple" in path.read_bytes()]
    assert holding == [f"alignlab-{exercise}.json"]
    assert not [path for path in files if re.search("NAME|ROW|j2$", path.name)]
    assert exercise in (out / "README.md").read_text(encoding="utf-8")
    assert sum(asked(catalogue.exercise(exercise)).values()) == 100


def test_a_template_is_read_at_a_glance() -> None:
    texts = [path.read_text(encoding="utf-8") for path in TEMPLATES.rglob("*") if path.is_file()]
    assert len(texts) >= len(TOOLS) and max(len(text.splitlines()) for text in texts) <= 40


def test_what_cannot_be_exported_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine", encoding="utf-8")
    for words, line in {
        f"ex9 --for otter --out {tmp_path / 'x'}": "there is no exercise 'ex9'",
        f"ex5 --for oter --out {tmp_path / 'x'}": "did you mean otter?",
        f"ex5 --out {tmp_path / 'x'}": "one of: otter, nbgrader, mograder, gradescope",
        f"ex5 --for otter --out {tmp_path / 'full'}": "is there already, and is not empty",
        f"ex5 --for otter --out {tmp_path / 'full' / 'mine'}": "is there already, and is not empty",
        "ex5 --for otter": "--out names no folder",
    }.items():
        assert cli.main(["exercise", "export", *words.split()]) == 2
        assert line in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize(("tool", "script"), [("otter", "generate.sh"), ("gradescope", "setup.sh")])
def test_a_missing_wheel_is_one_sentence(tool: str, script: str, tmp_path: Path) -> None:
    out = exported(tool, tmp_path)
    done = subprocess.run(["sh", out / script, tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"No alignlab*.whl lies beside {script}" in done.stderr


def test_what_is_wrong_with_a_hand_in_is_said_in_every_row(tmp_path: Path, good: Path) -> None:
    (tmp_path / "two").mkdir()
    for name in ("a.zip", "b.zip"):
        shutil.copy(good, tmp_path / "two" / name)
    for place, of, line in (
        (good, "ex3", "this is a hand-in of ex5, and ex3 is asked for"),
        (tmp_path, "ex5", "no hand-in is here"),
        (tmp_path / "two", "ex5", "2 zips are here"),
        (Path(__file__), "ex5", "is no zip of a hand-in"),
    ):
        found = points(str(place), of)
        assert found["points"] == 0 and list(found["rows"]) == list(asked(catalogue.exercise(of)))
        assert all(row["points"] == 0 and line in row["text"] for row in found["rows"].values())


def test_what_is_wrong_with_a_key_is_nobodys_grade(tmp_path: Path, good: Path) -> None:
    key = exported("otter", tmp_path) / "alignlab-ex5.json"
    for name in (key, tmp_path / "none"):
        assert cli.main(["exercise", "points", str(good), "--of", "ex3", "--key", str(name)]) == 4


def test_the_class_gets_other_inputs_and_no_look_at_the_key(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, asked_for = exported("otter", tmp_path) / "alignlab-ex5.json", list[tuple[str, list[Path]]]()

    def graded_work(work: Any, salt: str, closed: list[Path]) -> Any:
        asked_for.append((salt, closed))
        raise handin.DataError("enough")

    monkeypatch.setattr("alignlab.course.grade.points.graded_work", graded_work)
    points(str(good), "ex5", str(key))
    points(str(good), "ex5")
    assert asked_for == [("maple", [key]), ("", [])]
    monkeypatch.chdir(key.parent)
    file = tmp_path / "rlhf.py"
    file.write_text(f"def look():\n    return open({str(key)!r}).read()\n", encoding="utf-8")
    with Student(file, ["look"], closed=[Path(key.name)]) as student:
        [answer] = student.calls("look", [{}])
    assert "reads the grader's own files, which are closed" in answer.error


# --- each tool


@pytest.mark.parametrize("who", ["good", "bad"])
def test_gradescope(who: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    hand_in = request.getfixturevalue(who)
    out = exported("gradescope", tmp_path).rename(tmp_path / "source")
    for name in ("submission", "results"):
        (tmp_path / name).mkdir()
    shutil.unpack_archive(hand_in, tmp_path / "submission")  # as Gradescope does
    subprocess.run([sys.executable, out / "run_autograder", tmp_path], check=True)
    results = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
    assert results["score"] == expected(hand_in) == {"good": 82.5, "bad": 68.5}[who]
    assert sum(test["score"] for test in results["tests"]) == pytest.approx(results["score"], abs=0.06)
    assert sum(test["max_score"] for test in results["tests"]) == ALL == 100
    rate = next(test for test in results["tests"] if test["name"] == "rate")
    assert rate["score"] == (14 if who == "good" else 0) and rate["visibility"] == "visible"
    assert os.access(out / "run_autograder", os.X_OK) and os.access(out / "setup.sh", os.X_OK)


ROWS = {
    "rate": {"points": 4.67, "of": 14, "text": "a third of it"},
    "report": {"points": 20.0, "of": 20, "text": "filled"},
}


def test_tests_of_otter_are_worth_what_was_earned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, cases = exported("otter", tmp_path), list[Any]()

    def case(name: str, points: float) -> Any:
        return lambda function: cases.append((points, function))

    for name in ("otter", "otter.test_files"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["otter.test_files"], "test_case", case, raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "found", {"rows": ROWS}, raising=False)
    assert {path.stem for path in (out / "tests").iterdir()} == set(asked(EX5))
    for row, said in ROWS.items():
        cases.clear()
        exec((out / "tests" / f"{row}.py").read_text(encoding="utf-8"), {})
        [(earned, keeps), (rest, fails)] = cases
        keeps()
        assert (earned, earned + rest) == (said["points"], said["of"])
        if rest:
            with pytest.raises(AssertionError, match="a third of it"):
                fails()
        else:
            fails()
    json.loads((out / "grade.ipynb").read_text(encoding="utf-8"))
    json.loads((out / "otter_config.json").read_text(encoding="utf-8"))
    assert any(line.startswith("torch") for line in (out / "requirements.txt").read_text().splitlines())


@pytest.mark.skipif(not find_spec("otter"), reason="otter-grader is not installed")
@pytest.mark.parametrize("who", ["good", "bad"])
def test_otter_itself(who: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    hand_in, out = request.getfixturevalue(who), exported("otter", tmp_path)
    (out / "alignlab-0-py3-none-any.whl").write_bytes(b"not read where alignlab is installed")
    tools = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", out / "generate.sh"], check=True, env=os.environ | tools)
    command = ["otter", "run", hand_in, "-a", out / "autograder.zip", "-o", tmp_path, "--no-logo"]
    subprocess.run(command, check=True, env=os.environ | tools)
    tests = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["tests"][1:]
    assert sum(test["max_score"] for test in tests) == ALL
    assert sum(test["score"] for test in tests) == pytest.approx(expected(hand_in), abs=0.06)


def test_cells_of_nbgrader_give_back_their_points(
    tmp_path: Path, bad: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = exported("nbgrader", tmp_path)
    text = (out / "source" / "ex5" / "ex5.ipynb").read_text(encoding="utf-8")
    (folder := out / "autograded" / "ben" / "ex5").mkdir(parents=True)
    shutil.copy(bad, folder)
    monkeypatch.chdir(folder)
    _, first, *cells = json.loads(text)["cells"]
    space, earned = dict[str, Any](), dict[str, float]()
    exec(first["source"], space)
    for cell in cells:
        meta = cell["metadata"]["nbgrader"]
        assert meta["grade"] and meta["locked"] and not meta["solution"] and meta["schema_version"] == 3
        lines, _, last = cell["source"].rpartition("\n")
        exec(lines, space)
        earned[meta["grade_id"]] = eval(last, space)
        assert 0 <= earned[meta["grade_id"]] <= meta["points"]
    assert {cell["metadata"]["nbgrader"]["grade_id"] for cell in cells} == set(asked(EX5))
    assert sum(cell["metadata"]["nbgrader"]["points"] for cell in cells) == ALL
    assert sum(earned.values()) == pytest.approx(expected(bad), abs=0.06)


def test_nbgrader_does_not_grade_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert key_above("ex5") == ""  # where a student practices
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(handin.UserError, match="is in no folder above"):
        key_above("ex5")


@pytest.mark.skipif(not find_spec("nbgrader"), reason="nbgrader is not installed")
def test_nbgrader_itself(tmp_path: Path, good: Path, bad: Path) -> None:
    out = exported("nbgrader", tmp_path)
    run = [sys.executable, "-m", "nbgrader"]
    subprocess.run([*run, "generate_assignment", "ex5"], cwd=out, check=True)
    for hand_in in (good, bad):
        folder = shutil.copytree(out / "release" / "ex5", out / "submitted" / hand_in.stem / "ex5")
        shutil.copy(hand_in, folder)
    subprocess.run([*run, "autograde", "ex5"], cwd=out, check=True)
    subprocess.run([*run, "export"], cwd=out, check=True)
    head, *rows = [line.split(",") for line in (out / "grades.csv").read_text().splitlines()]
    scores = {row[head.index("student_id")]: float(row[head.index("score")]) for row in rows}
    for hand_in in (good, bad):
        assert scores[hand_in.stem] == pytest.approx(expected(hand_in), abs=0.06)


def played(notebook: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[bool, str, float]]]:
    """What the checks of a notebook of marimo ask, played without marimo and mograder."""
    cells, asked_for = list[Any](), dict[str, Any]()

    class App:
        def cell(self, function: Any = None, **_: Any) -> Any:
            return cells.append(function) if function else cells.append

    class Grader:
        def __init__(self, marks: dict[str, float]) -> None:
            self.check = asked_for.__setitem__
            assert marks == asked(EX5)

    for name, holds in {
        "marimo": {"App": App},
        "mograder": {},
        "mograder.runtime": {"Grader": Grader},
    }.items():
        made = ModuleType(name)
        made.__dict__.update(holds)
        monkeypatch.setitem(sys.modules, name, made)
    exec(notebook, {})
    check, checks = cells[0]()
    [hand_in] = cells[1]()
    for cell in cells[2:]:
        cell(check, checks, hand_in)
    return asked_for


def test_the_notebook_of_mograder(tmp_path: Path, bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = exported("mograder", tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    notebook = out / "source" / "ex5" / "ex5.py"
    assert played(notebook.read_text(encoding="utf-8"), monkeypatch) == dict.fromkeys(asked(EX5), [])
    handin.write_into(notebook, bad)
    found = played(notebook.read_text(encoding="utf-8"), monkeypatch)
    assert sum(weight for row in found.values() for _, _, weight in row) == pytest.approx(ALL)
    earned = sum(weight for row in found.values() for holds, _, weight in row if holds)
    assert earned == pytest.approx(expected(bad), abs=0.06)
    handin.write_into(notebook, bad)  # once more: in the same place
    assert notebook.read_text(encoding="utf-8").count("hand_in = ") == 1
    (out / "alignlab-ex5.json").unlink()
    (folder := tmp_path / "mograder_iso_x").mkdir()
    monkeypatch.chdir(folder)  # where mograder grades
    with pytest.raises(AssertionError, match="alignlab-ex5.json is broken"):
        played(notebook.read_text(encoding="utf-8"), monkeypatch)


def test_a_notebook_that_waits_for_no_hand_in_is_one_sentence(tmp_path: Path, good: Path) -> None:
    for text, line in ((None, "cannot be read"), ("x = 1\n", "has no cell for a hand-in")):
        file = tmp_path / "ex5.py"
        if text is not None:
            file.write_text(text, encoding="utf-8")
        with pytest.raises(handin.UserError, match=line):
            handin.write_into(file, good)


def test_a_hand_in_on_standard_input(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("$$$"))
    assert "was changed" in points("-", "ex5")["text"]


# --- a bound of whoever calls the grader


def test_a_student_is_graded_below_the_bounds_of_the_caller(tmp_path: Path) -> None:
    """mograder bounds the processor seconds of a notebook, and a process cannot raise its own."""
    program = f"""
import resource
from pathlib import Path
from alignlab.course.grade.runner import Student
resource.setrlimit(resource.RLIMIT_CPU, (600, 600))
file = Path({str(tmp_path / "student.py")!r})
file.write_text("def two(): return 2")
with Student(file, ["two"]) as student:
    print(student.calls("two", [{{}}])[0].value)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "2\n", done.stderr
