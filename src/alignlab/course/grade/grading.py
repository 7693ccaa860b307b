"""From a student's file to points: every property in turn, then the gaps of the report."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...run import derive_seed
from .exercise import PASS_MARK, REPORT_POINTS, Exercise, Finding, Property
from .runner import Asked

VERSION = 1  # of what an exercise asks for: another version is another seed
GAP = re.compile(r"\[\[\s*([\w-]+)\s*:(.*?)\]\]", re.DOTALL)
CLOSE = 0.01  # of a figure in a report, relative to the receipt's
WORDS = 5  # of a gap that is filled with words


@dataclass(frozen=True)
class Verdict:
    """A property and what was found wrong with it, if anything."""

    what: Property
    finding: Finding | None

    @property
    def earned(self) -> float:
        return self.what.points * (self.finding.earned if self.finding else 1.0)

    @property
    def word(self) -> str:
        if self.finding is None:
            return "holds"
        return "not written" if self.finding.unwritten else "wrong"


@dataclass
class Grade:
    """All that grading one hand-in says.

    Attributes:
        figures: numbers of the student's own training, which his report is held to.
        trained: all that is known of his training.
        report: points of the report, and lines on gaps that are open or do not fit.
    """

    exercise: str
    student: str
    seed: int
    verdicts: list[Verdict]
    figures: dict[str, float] = field(default_factory=dict)
    trained: dict[str, Any] = field(default_factory=dict)
    report: tuple[float, list[str]] = (0.0, [])
    broken: str = ""  # why the file cannot be read at all
    seconds: float = 0.0

    @property
    def points(self) -> float:
        return round(sum(verdict.earned for verdict in self.verdicts) + self.report[0], 1)

    @property
    def passed(self) -> bool:
        return self.points >= PASS_MARK

    def mistakes(self) -> list[str]:
        """The likely mistakes, the first one first, each once."""
        found = [name for v in self.verdicts if v.finding for name in v.finding.mistakes]
        return list(dict.fromkeys(found))

    def as_document(self) -> dict[str, Any]:
        """Plain values: schema 1 of the command line."""
        rows: list[dict[str, Any]] = []
        for v in self.verdicts:
            row: dict[str, Any] = {
                "id": v.what.id,
                "kind": v.what.kind,
                "verdict": v.word,
                "points": v.earned,
                "of": v.what.points,
            }
            rows.append(row | (asdict(v.finding) if v.finding else {}))
        return {
            "exercise": self.exercise,
            "student": self.student,
            "seed": self.seed,
            "points": self.points,
            "pass_mark": PASS_MARK,
            "passed": self.passed,
            "broken": self.broken,
            "properties": rows,
            "report": {"points": self.report[0], "of": REPORT_POINTS, "open": self.report[1]},
            "figures": self.figures,
            "seconds": round(self.seconds, 1),
        }


def seed_of(exercise: str, student: str, salt: str) -> int:
    """Everybody has inputs of his own: the seed is a hash of exercise, version, student and salt."""
    return derive_seed(VERSION, "grade", exercise, student, salt)


def graded(
    exercise: Exercise,
    asked: Asked,
    *,
    student: str = "",
    salt: str = "",
    report: str = "",
    shown: Mapping[str, float] | None = None,
    broken: str = "",
    trained: Mapping[str, Any] | None = None,
) -> Grade:
    """The grade of whoever answers.

    Args:
        report: the text of report.md.
        shown: the figures that it is held to; None = those of this training.
        broken: why his file cannot be read; then nothing is asked.
        trained: what is known of his training already, so that it is not done again.
    """
    begun, seed = time.monotonic(), seed_of(exercise.name, student, salt)
    left: dict[str, Any] = {"wrong": set()}
    if trained is not None:
        left["trained"] = dict(trained)
    verdicts: list[Verdict] = []
    for prop in exercise.properties:
        finding = Finding(broken) if broken else prop.check(asked, seed, left)
        if finding and prop.function:
            left["wrong"].add(prop.function)
        verdicts.append(Verdict(prop, finding))
    found: dict[str, Any] = left.get("trained", {})
    figures = {name: float(found[key]) for name, key in exercise.fields.items() if key in found}
    return Grade(
        exercise.name,
        student,
        seed,
        verdicts,
        figures,
        found,
        report_points(exercise.fields, report, figures if shown is None else shown),
        broken,
        time.monotonic() - begun,
    )


def report_points(
    fields: Mapping[str, str], report: str, figures: Mapping[str, float]
) -> tuple[float, list[str]]:
    """Points of a report, and a line on each gap that is open or is not the student's own figure."""
    said = {name: text.strip() for name, text in GAP.findall(report)}
    wrong: list[str] = []
    for name, key in fields.items():
        text = said.get(name, "")
        if not key:
            if len(text.split()) < WORDS:
                wrong.append(f"{name}: at least {WORDS} words")
        elif name not in figures:
            wrong.append(f"{name}: there is no training yet to take it from")
        elif not _is(text, figures[name]):
            wrong.append(f"{name}: {text or 'open'!s:.40}, and not the figure of your own training")
    points = REPORT_POINTS * (len(fields) - len(wrong)) / len(fields)
    return round(points, 1), wrong


def _is(text: str, figure: float) -> bool:
    try:
        said = float(text.replace(",", "."))
    except ValueError:
        return False
    return abs(said - figure) <= max(CLOSE * abs(figure), 0.006)  # two digits behind the point will do
