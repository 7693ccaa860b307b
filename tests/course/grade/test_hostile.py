"""Files that do what no solution does: each ends in one clear line, and what was done is kept."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.course.exercises import catalogue
from alignlab.course.grade.grading import Grade, graded
from alignlab.course.grade.runner import Limits, Student

from .solutions import quick, right

EX3 = catalogue.exercise("ex3")
RIGHT = right("ex3").read_text(encoding="utf-8")
LIMITS = Limits(question=2.0, drive=4.0, memory=3 * 2**28)


def graded_file(folder: Path, text: str, limits: Limits = LIMITS) -> tuple[Grade, Student]:
    """A solution without its trainings, in its own process, with little time and memory."""
    file = folder / EX3.file
    file.write_text(text, encoding="utf-8")
    with Student(file, EX3.asked_for, EX3.drivers, limits) as student:
        _, broken = student.there()
        grade = graded(quick(EX3), student, broken=broken)
    return grade, student


def said(grade: Grade) -> dict[str, str]:
    lines = {v.what.id: v.finding.text for v in grade.verdicts if v.finding}
    assert all("\n" not in line and len(line) < 500 for line in lines.values())
    return lines


def with_kl(body: str) -> str:
    """A right solution whose `kl` does something else."""
    head = "def kl(logp_BT, ref_BT, mask_BT):\n"
    assert RIGHT.count(head) == 1
    return RIGHT.replace(head, head + "".join(f"    {line}\n" for line in body.splitlines()))


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("while True: pass", r"kl took more than 2 s, and was stopped"),
        ("x = [torch.ones(2**26) for _ in range(80)]", r"kl took more than 1 GB of memory, and was stopped"),
        ("import os; os._exit(0)", r"kl ended the program \(exit code 0\) before it had answered"),
        (
            "import os\nfor fd in range(3, 1024):\n    try: os.write(fd, bytes([50] + [0] * 7) + b'x' * 50)\n"
            "    except OSError: pass",
            r"kl writes into the grader's own channel",
        ),
    ],
    ids=["endless", "memory", "exit", "forged"],
)
def test_what_ends_the_process_costs_its_function_alone(tmp_path: Path, body: str, line: str) -> None:
    # memory is filled in its own time, on whatever machine
    limits = replace(LIMITS, question=60.0) if "memory" in line else LIMITS
    grade, _ = graded_file(tmp_path, with_kl(body), limits)
    [text] = said(grade).values()
    assert re.fullmatch(line, text)
    assert grade.points == sum(v.what.points for v in grade.verdicts) - 8


TRIED = {
    "kl": ("import os; os.fork()", "starts another process"),
    "shaped_rewards": ("import subprocess, sys; subprocess.run([sys.executable])", "starts another process"),
    "advantages": ("import socket; socket.create_connection(('127.0.0.1', 80))", "asks the network"),
    "policy_loss": ("open('/tmp/alignlab-was-here', 'w')", "writes outside its own folder"),
}
READS = (
    ("import alignlab.losses", "yours to write"),
    (f"open({str(EX3.folder / 'oracle.py')!r}).read()", "reads the grader's own files"),
    ("import os; os.kill(os.getppid(), 9)", "sends a signal"),
    ("import os; os.remove('/tmp/alignlab-was-here')", "changes what is outside"),
)


def test_what_a_file_may_not_do_is_said_in_its_own_words(tmp_path: Path) -> None:
    text = RIGHT + "\nprint('so much ' * 200_000)\nopen('notes', 'w').write('its own folder')\n"
    text += "torch.allclose = torch.equal = lambda *a, **k: True\n"
    for function, (body, _) in TRIED.items():
        text += f"def {function}(*a):\n    {body}\n"
    Path("/tmp/alignlab-was-here").unlink(missing_ok=True)
    grade, student = graded_file(tmp_path, text)
    found = said(grade)
    for v in grade.verdicts:
        assert TRIED[v.what.function][1] in found[v.what.id]
    assert not Path("/tmp/alignlab-was-here").exists() and grade.points == 0
    assert student.network in ("namespace", "hook") and 0 < len(student.printed) <= 2000


def test_a_file_may_not_ask_for_what_is_right(tmp_path: Path) -> None:
    text = RIGHT
    for function, (body, _) in zip(TRIED, READS, strict=True):
        text += f"def {function}(*a):\n    {body}\n"
    found = said(graded_file(tmp_path, text)[0])
    for v in quick(EX3).properties:
        line = dict(zip(TRIED, READS, strict=True))[v.function][1]
        assert line in found[v.id]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def kl(:\n", r"SyntaxError: .* \(line 1 of rlhf.py\)"),
        ("raise SystemExit(0)", r"ended the program: exit\(0\) \(line 1 of rlhf.py\)"),
    ],
    ids=["syntax", "exit"],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    grade, _ = graded_file(tmp_path, text)
    assert re.fullmatch(line, grade.broken) and grade.points == 0


def test_nothing_is_left_running_or_lying_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "rlhf.py").write_text("import time\ntime.sleep(60)\n")
    begun = time.monotonic()
    with Student(tmp_path / "rlhf.py", EX3.asked_for, EX3.drivers, Limits(start=0.5)) as student:
        _, line = student.there()
        assert student._process is not None
        number = student._process._process.pid
    assert "took more than" in line and time.monotonic() - begun < 30
    with pytest.raises(ProcessLookupError):
        os.killpg(number, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["rlhf.py"]


def test_start_grade_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "Übung drei, von Zoë"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert cli.main(["exercise", "start", "ex3", "--id", "Zoë Müller"]) == 0
    assert cli.main(["exercise", "start", "ex3", "--id", "ana"]) == 2
    assert cli.main(["exercise", "start", "ex9", "--id", "ana"]) == 2
    assert cli.main(["exercise", "grade", "nowhere"]) == 2
    text = RIGHT.replace("-beta * (logp_BT", "beta * (logp_BT")
    Path("ex3/rlhf.py").write_text(text.replace("def train(", "def not_yet("))
    capsys.readouterr()
    assert cli.main(["exercise", "grade", "ex3"]) == 5
    out = capsys.readouterr().out
    assert "rewards: shaped_rewards differs on" in out and "kl-sign" not in out and "yours" not in out
    assert cli.main(["exercise", "hint", "ex3"]) == 0
    assert "yours" in (out := capsys.readouterr().out) and "kl-sign" not in out
    assert cli.main(["exercise", "hint", "ex3"]) == 0
    out = capsys.readouterr().out
    assert "mistake: kl-sign" in out and "on 6 of 6 inputs" in out
