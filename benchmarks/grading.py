"""What grading takes: processor seconds of an exercise's properties, of the whole of it, and of a class.

    python benchmarks/grading.py --students 4

The solution and the wrong ones of tests/exercises are handed in, each in processes of its own, as a student's
is. A class is graded by two workers. Seconds of the clock hold on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from alignlab.course.exercises import catalogue
from alignlab.course.grade.classes import grade_class
from alignlab.course.grade.exercise import Exercise
from alignlab.course.grade.folder import start
from alignlab.course.grade.grading import graded
from alignlab.course.grade.runner import Student

SOLUTIONS = Path(__file__).parents[1] / "tests" / "exercises"
EXERCISES = [name for name in catalogue.TITLES if (SOLUTIONS / name).is_dir()]


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Of the processor, children included, and of the clock."""

    def used() -> float:
        found = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in found)

    before, begun = used(), time.perf_counter()
    work()
    return used() - before, time.perf_counter() - begun


def measure(name: str, students: int, folder: Path) -> None:
    exercise, file = catalogue.exercise(name), SOLUTIONS / name / "solution.py"
    functions = replace(exercise, properties=tuple(p for p in exercise.properties if p.function))

    def grade(part: Exercise) -> None:
        with Student(file, exercise.asked_for, exercise.drivers) as student:
            graded(part, student)

    for what, part in (("properties", functions), ("whole", exercise)):
        row = seconds(partial(grade, part))
        print(f"{name}  {what:<12} {row[0]:7.1f} s of the processor {row[1]:7.1f} s of the clock", flush=True)
    if not students:
        return
    texts = [file.read_text(encoding="utf-8")]
    for row in tomllib.loads((SOLUTIONS / name / "wrong.toml").read_text(encoding="utf-8")).values():
        texts.append(texts[0])
        for old, new in row["lines"]:
            texts[-1] = texts[-1].replace(old, new)
    for n, text in enumerate(islice(cycle(texts), students)):
        work = start(name, f"student-{n}", folder / name / f"student-{n}")
        (work.folder / exercise.file).write_text(text, encoding="utf-8")
    spent = seconds(lambda: grade_class(folder / name, "maple", folder / f"{name}.csv"))
    print(f"{name}  class of {students:<3} {spent[0]:7.1f} s of the processor {spent[1]:7.1f} s of the clock")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exercise", choices=EXERCISES, nargs="*", default=EXERCISES)
    parser.add_argument("--students", type=int, default=30, help="of the class; 0 = none")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in args.exercise:
            measure(name, args.students, Path(folder))


if __name__ == "__main__":
    main()
