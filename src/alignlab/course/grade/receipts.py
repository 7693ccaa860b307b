"""A folder graded in a process of its own, and the receipt of it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...errors import UserError
from ..exercises import catalogue
from .folder import SCHEMA, Work, digest

if TYPE_CHECKING:
    from .grading import Grade


def graded_work(work: Work, salt: str, closed: Sequence[Path] = ()) -> tuple[Grade, dict[str, Any]]:
    """The grade of a folder, and its receipt. The report is held to the figures that the student was shown:
    under another salt those are the ones of his own receipt. His file may not read what is `closed`.
    """
    from .grading import graded
    from .runner import Student

    exercise = catalogue.exercise(work.exercise)
    file = work.folder / exercise.file
    if not file.is_file():
        raise UserError(f"{file} is missing", remedy=f"alignlab exercise start {work.exercise} has a stub")
    with Student(file, exercise.asked_for, exercise.drivers, closed=closed) as student:
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
