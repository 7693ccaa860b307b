"""Writes recorded.json of an exercise: a training by each wrong solution that only a training shows.

python -m tests.exercises.record ex3
"""

from __future__ import annotations

import json
import sys

from alignlab.course.exercises import catalogue

from ..course.grade.solutions import ROOT, grade_of, wrong


def main(name: str) -> None:
    exercise, rows = catalogue.exercise(name), {}
    for solution in (solution for solution in wrong(name) if solution.training):
        rows[solution.name] = grade_of(exercise, solution.text).trained
        rows[solution.name].pop("digests", None)
    text = json.dumps(rows, indent=1, default=str)
    (ROOT / name / "recorded.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
