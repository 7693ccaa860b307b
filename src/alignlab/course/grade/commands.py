"""`alignlab exercise`: start, grade, hint."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...errors import UserError
from ..exercises import catalogue
from .folder import RECEIPT, SCHEMA, Work, digest, opened, start, write_json

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


def graded_work(work: Work, salt: str) -> tuple[Grade, dict[str, Any]]:
    """The grade of a folder, and its receipt. The report is held to the figures that the student was shown:
    under another salt those are the ones of his own receipt.
    """
    from .grading import graded
    from .runner import Student

    exercise = catalogue.exercise(work.exercise)
    file = work.folder / exercise.file
    if not file.is_file():
        raise UserError(f"{file} is missing", remedy=f"alignlab exercise start {work.exercise} has a stub")
    with Student(file, exercise.asked_for, exercise.drivers) as student:
        there, broken = student.there()
        if not broken and not there:
            broken = f"{exercise.file} defines none of {', '.join(exercise.asked_for)}"
        shown = work.figures() if salt else None
        found = graded(
            exercise,
            student,
            student=work.student,
            salt=salt,
            report=work.report(),
            shown=shown,
            broken=broken,
        )
    return found, receipt_of(work, file, found, student.network)


def receipt_of(work: Work, file: Path, found: Grade, network: str) -> dict[str, Any]:
    """What was graded, with what and where, so that somebody else can do it again."""
    from torch import __version__ as torch_version

    document = found.as_document()
    for row in document["properties"]:
        row.pop("example", None)
    return {
        "schema": SCHEMA,
        **document,
        "code": digest(file),
        "hints": work.levels,
        "digests": found.trained.get("digests", []),
        "trace": found.trained.get("trace"),
        "versions": {"alignlab": __version__, "torch": torch_version, "python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}",
        "network": network,
    }
