"""What a student has: a folder with his file, his report, and what the grader keeps there."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import DataError, UserError
from ...text.disk import write_whole
from ...text.documents import Malformed, read_text
from ...text.lines import as_json
from ..exercises import catalogue

STATE, RECEIPT, REPORT = "exercise.json", "receipt.json", "report.md"
MOST_LETTERS = 40  # of a student's name
SCHEMA = 1


@dataclass
class Work:
    """A student's folder.

    Attributes:
        levels: how many levels of hint he has asked for, by property.
    """

    folder: Path
    exercise: str
    student: str
    levels: dict[str, int] = field(default_factory=dict)

    def keep(self) -> None:
        """Writes what the grader keeps. Raises OSError."""
        state = {"schema": SCHEMA, "exercise": self.exercise, "student": self.student, "hints": self.levels}
        write_json(self.folder / STATE, state)

    def report(self) -> str:
        """The text of the report; empty where there is none, or where it is no text."""
        try:
            return read_text(self.folder / REPORT)
        except (OSError, Malformed):
            return ""

    def figures(self) -> dict[str, float]:
        """The figures that the student was shown, by the receipt that he hands in; empty without one."""
        try:
            said = json.loads(read_text(self.folder / RECEIPT))["figures"]
            return {str(name): float(value) for name, value in said.items()}
        except (OSError, Malformed, ValueError, LookupError, TypeError, AttributeError):
            return {}


def write_json(path: Path, value: Any) -> None:
    with write_whole(path, sync=False) as staging:
        staging.write_bytes(as_json(value, indent=1) + b"\n")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def start(name: str, student: str, folder: Path) -> Work:
    """Makes the folder of an exercise: the stub, a script to run, the report with its gaps.

    Raises:
        UserError: no such exercise, no name, or a folder that is there already.
    """
    exercise = catalogue.exercise(name)
    if not _is_name(student):
        raise UserError(
            f"--id {student!r:.60} is no name", remedy=f"--id ana: at most {MOST_LETTERS} letters on one line"
        )
    if folder.exists():
        raise UserError(f"{folder} is there already, and your work may be in it", remedy="--folder another")
    with write_whole(folder, sync=False) as staging:
        shutil.copytree(exercise.folder / "given", staging, ignore=shutil.ignore_patterns("__pycache__"))
    work = Work(folder, name, student.strip())
    work.keep()
    return work


def _is_name(text: str) -> bool:
    return (
        0 < len(text.strip()) and len(text) <= MOST_LETTERS and text.isprintable() and not {*text} & {*"/\\"}
    )


def opened(named: str) -> Work:
    """The work in a folder, or in the folder that has the name of an exercise.

    Raises:
        UserError: it is no folder of an exercise.
        DataError: what the grader kept there is broken.
    """
    folder = Path(named)
    here = Path(STATE)
    if not (folder / STATE).exists() and here.exists() and named in catalogue.TITLES:
        folder = Path()  # the command was given inside of it
    if not (folder / STATE).exists():
        raise UserError(
            f"{named} is no folder of an exercise",
            remedy="alignlab exercise start ex3 --id NAME; of all hand-ins of a folder: --csv class.csv",
        )
    try:
        state = json.loads(read_text(folder / STATE))
        levels = {str(key): int(level) for key, level in state["hints"].items()}
        work = Work(folder, str(state["exercise"]), str(state["student"]), levels)
        if not _is_name(work.student):
            raise ValueError(f"{work.student!r:.60} is no name")
    except (OSError, Malformed, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder / STATE} is broken: {error!s:.100}", remedy="take it from a fresh `exercise start`"
        ) from None
    catalogue.check(work.exercise)
    return work
