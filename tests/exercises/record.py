"""Writes recorded.json: a training by each wrong solution that only it shows, and by honest ones.

python -m tests.exercises.record ex3
"""

from __future__ import annotations

import json
import sys

from alignlab.course.exercises import catalogue

from ..course.grade.solutions import ROOT, grade_of, honest, wrong


def main(name: str) -> None:
    exercise, rows = catalogue.exercise(name), {}
    made = {each.name: (each.text, each.beside) for each in wrong(name) if each.training}
    made |= {path.stem: (path.read_text(encoding="utf-8"), ()) for path in honest(name)}
    for solution, (text, beside) in made.items():
        rows[solution] = grade_of(exercise, text, beside=beside).trained
        rows[solution].pop("digests", None)
    text = json.dumps(rows, indent=1, default=str)
    (ROOT / name / "recorded.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
