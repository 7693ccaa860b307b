"""Red-team data of the field -> prompts that say which harm they are of.

    harmbench       Behavior, FunctionalCategory, SemanticCategory, Tags, ContextString, BehaviorID (CSV)
    jailbreakbench  Index, Goal, Target, Behavior, Category (CSV, JSON), harmful or benign
    jbb-artifact    {"parameters": ..., "jailbreaks": [{goal, behavior, category, prompt, ...}]} (JSON), the
                    prompts of a published attack
    test-cases      {BehaviorID: [prompt, ...]} (HarmBench's) or {model: {Behavior: prompt or null}}
                    (JailbreakBench's): what an attack made of each
    advbench        goal, target (CSV)
    strongreject    category, source, forbidden_prompt (CSV)
    xstest          id, prompt, type, label, focus, note (CSV): safe requests that look harmful, and others
    ailuminate      release_prompt_id, prompt_text, hazard, persona, locale, prompt_hash (CSV)
    garak-report    attempts of a garak report.jsonl, with the earlier turns of a conversation
    garak-hits      rows of its hitlog.jsonl

Every prompt's meta has `set`, `id`, `harmful` (None where the set does not say), `category` as the set spells
it, `harm` (an id of `harms.toml`, where the category is mapped) and `goal`, what is asked for without the
attack around it. A row without text is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..records import Prompt
from ..text.escapes import one_line
from .bounds import suffix
from .csv_rows import csv_rows
from .files import file_rows, read_by
from .folders import local
from .formats import Tracked
from .formats.rows import holds_text
from .garak import garak_attempt, garak_hit
from .json_rows import read_object
from .plain import open_plain
from .redteam_rows import (
    ANSWERS,
    Row,
    advbench,
    ailuminate,
    artifact,
    harmbench,
    jailbreakbench,
    strongreject,
    test_case,
    xstest,
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The prompts of a red-team file, the format it was in, how many rows it had without a prompt of their
    own (a garak report's other entries), and the columns with text that were not read, with their rows.
    """

    name: str
    prompts: list[Prompt]
    passed_over: int = 0
    not_read: Mapping[str, int] = field(default_factory=dict)

    def not_read_text(self) -> str:
        """A line for the load report, or nothing."""
        listed = ", ".join(
            f"{one_line(name, 60)} ({count} row{'s' * (count != 1)})" for name, count in self.not_read.items()
        )
        return f"\n  not read: {listed}" if listed else ""


FORMATS: tuple[tuple[str, set[str], Callable[[Row, str], Prompt | None]], ...] = (
    # name, columns that tell it, reader
    ("harmbench", {"Behavior", "SemanticCategory", "BehaviorID"}, harmbench),
    ("jailbreakbench", {"Goal", "Behavior", "Category"}, jailbreakbench),
    ("strongreject", {"category", "forbidden_prompt"}, strongreject),
    ("ailuminate", {"release_prompt_id", "prompt_text", "hazard"}, ailuminate),
    ("jbb-artifact", {"goal", "behavior", "prompt"}, artifact),
    ("test-cases", {"case", "behavior", "prompt"}, test_case),
    ("garak-hits", {"probe", "detector", "prompt", "score"}, garak_hit),
    ("garak-report", {"entry_type"}, garak_attempt),
    ("xstest", {"prompt", "type", "focus"}, xstest),
    ("advbench", {"goal", "target"}, advbench),
)


def known(path: str | Path) -> Loaded | None:
    """What `load` reads, if the first row of the file is of a set; None for any other file, and for one that
    cannot be read. Raises as `load` does, once the set is known.
    """
    path = local(path)
    if not (suffix(path) in (".csv", ".json", ".jsonl") and path.is_file()):
        return None
    rows = _rows(path)
    try:
        first = next(rows, None)
    except DataError:
        return None
    if (
        first is None
        or not isinstance(first[1], Mapping)
        or not any(columns <= first[1].keys() for _, columns, _ in FORMATS)
    ):
        return None
    return _loaded(path, chain([first], rows))


def load_red_team_set(path: str | Path) -> Loaded:
    """The prompts of a red-team file, told by its columns.

    Raises:
        DataError: no such file, no known columns, rows of another set in between, a row without text, or no
            prompt at all.
    """
    path = local(path)
    if not path.is_file():
        raise DataError(
            "no such file" if not path.exists() else "a folder, where one file is read",
            where=str(path),
            remedy="a CSV, JSON or JSONL file of a red-team set",
        )
    return _loaded(path, _rows(path))


def _loaded(path: Path, rows: Iterable[tuple[int, Any]]) -> Loaded:
    name, prompts, passed = "", [], 0
    not_read: dict[str, int] = {}
    for number, row in rows:
        where = f"{path}:{number}"
        if not isinstance(row, Mapping):
            raise DataError(
                f"a row must be an object with named columns, not {type(row).__name__}",
                where=where,
                remedy="see alignlab.data.redteam_sets for what is read",
            )
        found = next(((one, read) for one, columns, read in FORMATS if columns <= row.keys()), None)
        if not found or found[0] != (name or found[0]):
            what = f"no red-team set has the columns {', '.join(map(str, row))!r:.80}"
            if found:
                what = f"the row is of {found[0]}, the rows before it of {name}"
            raise DataError(
                what, where=where, remedy="read are: " + ", ".join(known for known, _, _ in FORMATS)
            )
        name = found[0]
        tracked = Tracked(row)
        prompt = found[1](tracked, where)
        if prompt is None:
            passed += 1
            continue
        prompts.append(prompt)
        for column in (
            column
            for column, value in tracked.unread().items()
            if column not in ANSWERS and holds_text(column, value)
        ):
            not_read[column] = not_read.get(column, 0) + 1
    if not prompts:
        raise DataError(
            f"no prompt in the file ({passed} rows passed over)",
            where=str(path),
            remedy="see alignlab.data.redteam_sets for what is read",
        )
    return Loaded(name, prompts, passed, not_read)


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Rows of CSV (whatever its columns are called), and of JSON documents that are no list of rows."""
    if suffix(path) == ".csv":
        yield from read_by(path, csv_rows)
    elif suffix(path) == ".json":
        yield from read_by(path, _json_rows)
    else:
        yield from file_rows(path)


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    with open_plain(path) as file:
        document = read_object(file, path)
    yield from enumerate(_unfold(document), 1)


def _unfold(document: Any) -> Iterator[Any]:
    """The rows in a document: a list, an artifact's jailbreaks, test cases by behaviour, a submission's
    prompts by model and behaviour.
    """
    if isinstance(document, list):
        yield from document
    elif isinstance(document, Mapping) and isinstance(document.get("jailbreaks"), list):
        yield from document["jailbreaks"]
    elif (
        isinstance(document, Mapping)
        and document
        and all(
            isinstance(value, list) and all(isinstance(text, str) for text in value)
            for value in document.values()
        )
    ):
        for behavior, cases in document.items():
            for number, text in enumerate(cases):
                yield {"behavior": behavior, "prompt": text, "case": f"{behavior}/{number}"}
    elif (
        isinstance(document, Mapping)
        and document
        and all(isinstance(value, Mapping) for value in document.values())
    ):
        for model, cases in document.items():
            for behavior, text in cases.items():
                yield {"behavior": behavior, "prompt": text, "case": f"{model}/{behavior}"}
    else:
        yield document
