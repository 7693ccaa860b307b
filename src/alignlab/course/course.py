"""The course as its files say it: plan, pages, claims, glossary, papers, quizzes; and what is wrong with
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError
from . import claims, markdown, records
from .claims import Claim
from .markdown import Page
from .places import table_of, tables, text_of
from .records import Record


@dataclass(frozen=True)
class Problem:
    """Something that `alignlab lecture check` tells: its kind, the page and line, and what it is."""

    kind: str
    where: str
    what: str


@dataclass(frozen=True)
class Section:
    """A section of the plan: its page, the minutes it has, and those in the shorter lectures."""

    page: str
    minutes: int
    shorter: Mapping[str, int]
    break_after: int = 0


@dataclass(frozen=True)
class Demo:
    number: str
    name: str
    title: str
    says: str
    seconds: int
    full: int


@dataclass
class Course:
    """Everything that pages and slides are made from.

    Attributes:
        pages: those that are there, in the order of the plan.
        quizzes: by name their items.
        problems: what is wrong with the files themselves.
        own: the same records of a student's runs, by name.
    """

    folder: Path
    title: str
    about: str
    minutes: int
    lengths: Mapping[str, Sequence[str]]
    sections: list[Section]
    demos: dict[str, Demo]
    pages: dict[str, Page]
    records: dict[str, Record]
    claims: dict[str, Claim]
    glossary: dict[str, str]
    papers: dict[str, dict[str, str]]
    quizzes: dict[str, list[dict[str, Any]]]
    misconceptions: dict[str, str]
    outline: list[dict[str, str]]
    problems: list[Problem] = field(default_factory=list)
    own: dict[str, Record] = field(default_factory=dict)

    def begins(self, page: str) -> int:
        """The minute of the lecture at which a page begins, breaks not counted."""
        before = 0
        for section in self.sections:
            if section.page == page:
                break
            before += section.minutes
        return before


def load(folder: Path) -> Course:
    """The course of a folder `lecture/`. What is missing or wrong in one of its files is a problem of the
    course and stops nothing, as long as the plan can be read.

    Raises:
        DataError: there is no plan.
    """
    plan = table_of(folder / "course.toml")
    problems: list[Problem] = []
    found = records.load(folder / "record")
    said, wrong = claims.load(folder / "claims", found)
    problems += [Problem("claim", _file(error.where), error.what) for error in wrong]
    sections = [
        Section(row["page"], row["minutes"], row.get("shorter", {}), row.get("break_after", 0))
        for row in plan["section"]
    ]
    pages: dict[str, Page] = {}
    for section in sections:
        path = folder / "pages" / f"{section.page}.md"
        if path.exists():
            pages[section.page] = markdown.page(section.page, text_of(path))
        else:
            problems.append(Problem("page", "course.toml", f"the page {section.page} is not there"))
    return Course(
        folder,
        plan["title"],
        plan["about"],
        plan["minutes"],
        plan["lengths"],
        sections,
        {row["number"]: Demo(**row) for row in plan.get("demo", [])},
        pages,
        found,
        said,
        {str(term): str(text) for term, text in _table(folder, "glossary", problems).items()},
        _table(folder, "papers", problems),
        _quizzes(folder / "quiz", problems),
        {str(key): str(text) for key, text in _table(folder, "misconceptions", problems).items()},
        _table(folder, "outline", problems).get("bullet", []),
        problems,
    )


def _table(folder: Path, name: str, problems: list[Problem]) -> dict[str, Any]:
    """The tables of the files that begin with a name, as one; empty where there is none. A key that stands
    in two of them is a problem, and the first counts.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.glob(f"{name}*.toml")):
        try:
            table = table_of(path)
        except DataError as error:
            problems.append(Problem("format", path.name, error.what))
            continue
        spelled = {key.lower() for key in found}
        for key in table:
            if key.lower() in spelled:
                problems.append(Problem("format", path.name, f"{key!r} stands in another file too"))
        found |= {key: value for key, value in table.items() if key.lower() not in spelled}
    return found


def _quizzes(folder: Path, problems: list[Problem]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path, table in tables(folder):
        found[path.stem] = []
        for item in table.get("item", []):
            if wrong := _wrong_item(item):
                problems.append(Problem("quiz", f"quiz/{path.name}, {item.get('id', '?')}", wrong))
            else:
                found[path.stem].append(item)
    return found


def _wrong_item(item: dict[str, Any]) -> str:
    """Why an item cannot be asked; empty where it can."""
    needs = {"id", "outcome", "question", "why", "lines" if item.get("kind") == "order" else "options"}
    if missing := needs - item.keys():
        return f"has no {', '.join(sorted(missing))}"
    if item.get("kind") == "order":
        return "" if len(item["lines"]) > 1 else "has fewer than two lines"
    right = [option for option in item["options"] if option.get("right")]
    return "" if len(right) == 1 else f"has {len(right)} right options, not one"


def _file(where: str) -> str:
    return Path(where).name
