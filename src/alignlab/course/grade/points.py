"""The points of one hand-in, row by row, as the grader of another tool asks for them (`export`)."""

from __future__ import annotations

import os
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...errors import DataError, ResourceError, UserError
from ..exercises import catalogue
from . import words
from .exercise import REPORT_POINTS, Exercise
from .folder import STATE
from .grading import Grade
from .handin import MOST_BYTES, read_json, unpacked
from .receipts import graded_work

REPORT = "report"
"""The row beside those of the properties."""


def key_name(exercise: str) -> str:
    """The file of a key: which exercise, and the salt of the class. No student is to have it."""
    return f"alignlab-{exercise}.json"


def asked(exercise: Exercise) -> dict[str, float]:
    """What each row is worth; all come to a hundred."""
    return {prop.id: prop.points for prop in exercise.properties} | {REPORT: REPORT_POINTS}


def points(name: str, of: str, key: str = "") -> dict[str, Any]:
    """The points of a hand-in, for the command line and for exported graders.

    What is wrong with a hand-in costs its points and is said in every row.

    Args:
        name: a zip, a folder, or a folder with one zip in it; "-" = a zip in base64 on standard input.
        of: the exercise that is asked for.
        key: the file with the salt of the class; empty = the inputs to practice on.

    Raises:
        UserError: what the teacher has to mend: the exercise or its key.
    """
    exercise = catalogue.exercise(of)
    salt = _salt(Path(key), of) if key else ""
    try:
        with _place(name) as place, unpacked(_hand_in(place)) as work:
            if work.exercise != of:
                raise UserError(f"this is a hand-in of {work.exercise}, and {of} is asked for")
            grade, _ = graded_work(work, salt, closed=[Path(key)] if key else [])
    except ResourceError:
        raise
    except UserError as error:
        rows = {row: {"points": 0.0, "of": most, "text": error.what} for row, most in asked(exercise).items()}
        return {"student": "", "points": 0.0, "rows": rows, "text": f"{of}: 0 of 100 points: {error.what}"}
    text = f"{of}, {grade.student}: {grade.points:g} of 100 points"
    return {"student": grade.student, "points": grade.points, "rows": _rows(grade, exercise), "text": text}


def key_above(exercise: str) -> str:
    """The key in a folder above this one, for a notebook of nbgrader; empty where a student has it.

    Raises:
        UserError: nbgrader grades, and there is none.
    """
    for folder in Path.cwd().parents:
        if (folder / key_name(exercise)).is_file():
            return str(folder / key_name(exercise))
    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        raise UserError(
            f"{key_name(exercise)} is in no folder above this one",
            remedy="lay it into the folder of the course, where nbgrader_config.py is",
        )
    return ""


def _salt(key: Path, of: str) -> str:
    found = read_json(key)
    if found.get("exercise") != of or not isinstance(found.get("salt"), str):
        raise DataError(f"{key.name} is no key of {of}", remedy=f"alignlab exercise export {of} writes one")
    return found["salt"]


@contextmanager
def _place(name: str) -> Iterator[Path]:
    if name != "-":
        yield Path(name)
        return
    with TemporaryDirectory(prefix="alignlab-hand-in-") as folder:
        file = Path(folder) / "hand-in.zip"
        try:
            file.write_bytes(b64decode(sys.stdin.read(2 * MOST_BYTES), validate=True))
        except ValueError:
            raise UserError("the text of the hand-in was changed: write it into the notebook again") from None
        yield file


def _hand_in(place: Path) -> Path:
    if place.is_file() or (place / STATE).is_file():
        return place
    zips = sorted(place.glob("*.zip"))
    if len(zips) != 1:
        there = f"{len(zips)} zips are" if zips else "no hand-in is"
        raise UserError(f"{there} here: hand in the one zip that `alignlab exercise pack` makes")
    return zips[0]


def _rows(grade: Grade, exercise: Exercise) -> dict[str, dict[str, Any]]:
    said, rows = words.hints(exercise.folder), dict[str, dict[str, Any]]()
    for v in grade.verdicts:
        hinted = v.finding and not v.finding.unwritten and not grade.broken
        text = "\n".join(words.hint(v, said, 1)) if hinted else grade.broken or v.word
        rows[v.what.id] = {"points": round(v.earned, 2), "of": v.what.points, "text": text}
    earned, gaps = grade.report
    rows[REPORT] = {"points": earned, "of": REPORT_POINTS, "text": "\n".join(gaps) or "filled"}
    return rows
