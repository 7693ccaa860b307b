"""`alignlab lecture`: open the pages, check them, ask a quiz, say what a record holds."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..text.nearest import nearest
from . import build, checks, course, deck, own, quizzes, records
from .course import Course
from .places import SITE, lecture_folder


def lecture(*, page: str, slides: bool, minutes: int, runs: str, out: str, no_open: bool) -> dict[str, Any]:
    """Build the pages and open one in the browser, as files.

    Raises:
        UserError: there is no such page, no lecture of so many minutes, or no such folder of runs.
    """
    found = course.load(lecture_folder())
    length = str(minutes or found.minutes)
    if length not in found.lengths:
        raise UserError(
            f"there is no lecture of {minutes} minutes", remedy=f"one of: {', '.join(found.lengths)}"
        )
    if runs:
        found.own = own.of_runs(Path(runs))
    name = "slides" if slides else _page(page, found)
    folder = Path(out or SITE)
    site = build.build(found)
    build.save({**site.files, "slides.html": deck.slides(found)}, folder)
    where = (folder / f"{name}.html").resolve()
    opened = not no_open and webbrowser.open(
        f"{where.as_uri()}#minutes={length}" if slides else where.as_uri()
    )
    lines = [f"{'opened' if opened else 'built'} {where}"]
    mine = own.beside(found)
    if runs:
        lines += _beside(mine, len(found.claims))
    return {
        "page": str(where),
        "opened": opened,
        "yours": [{"claim": claim.id, "recorded": claim.sentence(), "yours": text} for claim, text in mine],
        "lines": lines,
    }


def _page(asked: str, found: Course) -> str:
    """The page of a number, a name or the beginning of one."""
    if not asked:
        return "index"
    names = [*found.pages, "glossary", "receipts", "papers"]
    for name in names:
        if asked in (name, name.partition("-")[0]) or name.partition("-")[2] == asked:
            return name
    raise UserError(
        f"the lecture has no page {asked!r}", remedy=nearest(asked, names) or f"one of: {', '.join(names)}"
    )


def _beside(mine: Sequence[tuple[Any, str]], of: int) -> list[str]:
    if not mine:
        return [f"none of the {of} claims is about what these runs measured: a study or a recipe fills them"]
    lines = [f"{len(mine)} of {of} claims have a figure of yours:"]
    for claim, figures in mine:
        lines += [f"  {claim.id}", f"    recorded  {claim.sentence()}", f"    yours     {figures}"]
    return lines


def check() -> dict[str, Any]:
    """Whether every claim holds, every number has a source, every link leads somewhere, and every page can be
    read; exit code 5 where not.
    """
    found = course.load(lecture_folder())
    problems, said = checks.check(found)
    lines = [f"{problem.kind:<9} {problem.where}: {problem.what}" for problem in problems]
    lines += [f"{len(problems)} things to mend" if problems else "nothing to mend", *said]
    return {
        "problems": [vars(problem) for problem in problems],
        "lines": lines,
        "exit_code": 5 if problems else 0,
    }


def quiz(*, form: str, answers: str) -> dict[str, Any]:
    """Ask a quiz on the terminal."""
    return quizzes.ask(course.load(lecture_folder()), form, Path(answers))


def record(*, name: str) -> dict[str, Any]:
    """What a record holds: the paths that a claim can name, each with its figure in the first seed.

    Raises:
        UserError: there is no such record.
    """
    found = records.load(lecture_folder() / "record")
    if name not in found:
        known = ", ".join(found)
        raise UserError(f"there is no record {name!r}", remedy=nearest(name, found) or f"one of: {known}")
    rows = records.paths(found[name].document)
    return {"record": name, "lines": [f"{path:<70} {value}" for path, value in rows]}
