"""What a student is told: a grade in words, by as many levels of hint as he has asked for.

Never a line of the solution.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .exercise import PASS_MARK, REPORT_POINTS, Finding
from .grading import Grade, Verdict
from .match import SURE

LEVELS = 3
"""Of a hint: 1 what is to hold and where to read, 2 the smallest case, 3 the likely mistake by name."""


def hints(folder: Path) -> dict[str, Any]:
    """The words of an exercise: {"property": {id: {says, page, minute}}, "mistake": {name: {says}}}."""
    return tomllib.loads((folder / "hints.toml").read_text(encoding="utf-8"))


def said(grade: Grade, words: Mapping[str, Any], levels: Mapping[str, int]) -> str:
    """The grade as a student reads it."""
    lines = [f"{grade.exercise}, {grade.student}: {grade.points:g} of 100 points, {PASS_MARK} pass", ""]
    if grade.broken:
        lines += [f"  {grade.broken}", ""]
    for v in grade.verdicts:
        lines.append(f"  {v.word:<12} {v.earned:>4g} of {v.what.points:<3g} {v.what.id}")
    points, gaps = grade.report
    word = "open" if gaps else "filled"
    lines.append(f"  {word:<12} {points:>4g} of {REPORT_POINTS:<3g} report")
    lines += [f"               {gap}" for gap in gaps]
    if grade.figures:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in grade.figures.items())
        lines += ["", f"Your training, for the report: {figures}"]
    if not grade.broken:
        for v in grade.verdicts:
            if v.finding and not v.finding.unwritten:
                lines += ["", *hint(v, words, levels.get(v.what.id, 1))]
    return "\n".join(lines)


def hint(verdict: Verdict, words: Mapping[str, Any], level: int) -> list[str]:
    """What is said of a property that does not hold, up to a level."""
    finding = verdict.finding
    assert finding is not None
    row = words["property"][verdict.what.id]
    lines = [f"{verdict.what.id}: {finding.text}", f"  to hold: {row['says']}"]
    lines.append(f"  read:    page {row['page']}, from minute {row['minute']} of the lecture")
    if level >= 2 and finding.example:
        lines += ["  the smallest case:", *(f"    {line}" for line in finding.example)]
    if level >= 3:
        lines += [f"  {line}" for line in likely(finding, words)]
    elif level < LEVELS:
        lines.append(f"  more:    alignlab exercise hint (level {level + 1} of {LEVELS})")
    return lines


def likely(finding: Finding, words: Mapping[str, Any]) -> list[str]:
    """The likely mistake with how sure, or that none is known."""
    if finding.mistakes:
        k, n = finding.share
        sure = "sure" if k == SURE * n else "likely"
        seen = (
            f"your output equals that of this mistake on {k} of {n} inputs"
            if n > 1
            else "seen in your training"
        )
        names = " and ".join(f"{name} ({words['mistake'][name]['says']})" for name in finding.mistakes)
        return [f"mistake: {names}", f"{sure}:  {seen}"]
    if not finding.fingerprint:
        return []
    lines = [f"no mistake that is known here (id {finding.fingerprint}: show it to your instructor)"]
    if finding.nearest:
        lines.append(f"the nearest, not yours: {finding.nearest}")
    return lines
