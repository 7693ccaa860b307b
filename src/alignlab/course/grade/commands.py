"""`alignlab exercise`: start, grade, hint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exercises import catalogue
from .folder import RECEIPT, Work, opened, start, write_json
from .receipts import graded_work

if TYPE_CHECKING:
    from .grading import Grade


def listed() -> dict[str, Any]:
    """Which exercises there are, for the command line."""
    lines = [f"{name}  {title}" for name, title in catalogue.TITLES.items()]
    return {"exercises": dict(catalogue.TITLES), "text": "\n".join(lines)}


def begin(name: str, id: str, folder: str) -> dict[str, Any]:
    """A folder for a student, for the command line. Raises UserError."""
    work = start(name, id, Path(folder or name))
    exercise = catalogue.exercise(name)
    text = f"{work.folder}: read README.md, write {exercise.file}; then alignlab exercise grade {work.folder}"
    return {"folder": str(work.folder), "text": text}


def grade(name: str, salt: str, csv: str) -> dict[str, Any]:
    """The grade of a folder in words and as a document; what was done is kept in its receipt. With `csv` the
    grades of all hand-ins in a folder.

    Raises:
        UserError: no folder of an exercise. DataError: one that is broken.
    """
    from . import words

    if csv:
        from .classes import grade_class

        return grade_class(Path(name), salt, Path(csv))
    work = opened(name)
    found = graded_and_kept(work, salt)
    exercise = catalogue.exercise(work.exercise)
    text = words.said(found, words.hints(exercise.folder), work.levels)
    return found.as_document() | {"text": text, "exit_code": 0 if found.passed else 5}


def hint(name: str, salt: str) -> dict[str, Any]:
    """One level more of help with the first property that does not hold, which is kept."""
    from . import words

    work = opened(name)
    found = graded_and_kept(work, salt)
    exercise = catalogue.exercise(work.exercise)
    wrong = next((v for v in found.verdicts if v.finding and not v.finding.unwritten), None)
    if found.broken or wrong is None:
        text = found.broken or "nothing that is written is wrong"
        return {"text": text}
    level = min(words.LEVELS, work.levels.get(wrong.what.id, 1) + 1)
    work.levels[wrong.what.id] = level
    work.keep()
    lines = words.hint(wrong, words.hints(exercise.folder), level)
    return {"property": wrong.what.id, "level": level, "text": "\n".join(lines)}


def graded_and_kept(work: Work, salt: str) -> Grade:
    """The grade of a folder, whose receipt is written there."""
    found, receipt = graded_work(work, salt)
    write_json(work.folder / RECEIPT, receipt)
    return found
