"""The solutions of the exercises: one that is right, other right ones, and the wrong ones made from it."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from alignlab.course.exercises import catalogue
from alignlab.course.grade.exercise import Exercise
from alignlab.course.grade.grading import Grade, graded
from alignlab.course.grade.runner import Here

ROOT = Path(__file__).parents[2] / "exercises"
EXERCISES = [name for name in catalogue.TITLES if (ROOT / name).is_dir()]


@dataclass(frozen=True)
class Wrong:
    """A wrong solution: its source, the hint that it has to be told, whether only a training shows it, and
    what is otherwise in files beside it: name, old text, new text.
    """

    name: str
    text: str
    hint: str
    training: bool
    beside: tuple[tuple[str, str, str], ...] = ()


def right(exercise: str) -> Path:
    return ROOT / exercise / "solution.py"


def honest(exercise: str) -> list[Path]:
    return sorted((ROOT / exercise / "honest").glob("*.py"))


def wrong(exercise: str) -> list[Wrong]:
    whole, found = right(exercise).read_text(encoding="utf-8"), []
    for name, row in tomllib.loads((ROOT / exercise / "wrong.toml").read_text(encoding="utf-8")).items():
        text = whole
        for old, new in row["lines"]:
            assert text.count(old) == 1, f"{exercise}, {name}: {old!r} stands {text.count(old)} times"
            text = text.replace(old, new)
        beside = tuple((file, old, new) for file, old, new in row.get("beside", ()))
        found.append(Wrong(name, text, row.get("hint", name), row.get("training", False), beside))
    return found


def recorded(exercise: str) -> dict[str, dict[str, Any]]:
    """Figures of a training by each wrong solution that only it shows, and by honest ones (record.py)."""
    return json.loads((ROOT / exercise / "recorded.json").read_text(encoding="utf-8"))


def module(text: str, name: str = "student") -> ModuleType:
    made = ModuleType(name)
    exec(compile(text, name, "exec"), made.__dict__)
    return made


@cache
def wrong_grades(name: str) -> dict[str, Grade]:
    """The grade of each wrong solution: of a function without a training, of a training as recorded."""
    exercise, figures = catalogue.exercise(name), recorded(name)
    return {
        solution.name: grade_of(
            exercise, solution.text, beside=solution.beside, trained=figures[solution.name]
        )
        if solution.training
        else grade_of(quick(exercise), solution.text)
        for solution in wrong(name)
    }


def grade_of(
    exercise: Exercise, text: str, beside: Sequence[tuple[str, str, str]] = (), **more: Any
) -> Grade:
    made = module(text)
    with TemporaryDirectory() as name:
        file = Path(shutil.copytree(right(exercise.name).parent, name, dirs_exist_ok=True)) / exercise.file
        for other, old, new in beside:
            whole = (file.parent / other).read_text(encoding="utf-8")
            assert whole.count(old) == 1, f"{other}: {old!r} stands {whole.count(old)} times"
            (file.parent / other).write_text(whole.replace(old, new), encoding="utf-8")
        made.__dict__.setdefault("__file__", str(file))  # beside it lie votes, or a constitution
        return graded(exercise, Here(made, exercise.drivers), **more)


def quick(exercise: Exercise) -> Exercise:
    """The exercise without what needs a training: properties of one function."""
    return replace(exercise, properties=tuple(p for p in exercise.properties if p.function))


def findings(grade: Grade) -> Sequence[str]:
    return [v.what.id for v in grade.verdicts if v.finding]


def filled(exercise: Exercise, grade: Grade) -> str:
    """A report whose gaps hold the figures of a grade, and words enough."""
    words = "I think so for the reasons given"
    rows = (grade.figures.get(name, 0.0) if key else words for name, key in exercise.fields.items())
    return "\n".join(f"[[{name}: {row}]]" for name, row in zip(exercise.fields, rows, strict=True))
