"""Red-team data of the field -> prompts that say which harm they are of.

    harmbench       Behavior, FunctionalCategory, SemanticCategory, Tags, ContextString, BehaviorID (CSV)
    jailbreakbench  Index, Goal, Target, Behavior, Category (CSV, JSON), harmful or benign
    jbb-artifact    {"parameters": ..., "jailbreaks": [{goal, behavior, category, prompt, ...}]} (JSON), the prompts of a published attack
    test-cases      {BehaviorID: [prompt, ...]} (HarmBench's) or {model: {Behavior: prompt or null}} (JailbreakBench's): what an attack made of each
    advbench        goal, target (CSV)
    strongreject    category, source, forbidden_prompt (CSV)
    xstest          id, prompt, type, label, focus, note (CSV): safe requests that look harmful, and unsafe ones
    ailuminate      release_prompt_id, prompt_text, hazard, persona, locale, prompt_hash (CSV)
    garak-report    attempts of a garak report.jsonl, with the earlier turns of a conversation; garak-hits: rows of its hitlog.jsonl

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
from ..records import Message, Prompt
from ..text.escapes import one_line
from .bounds import suffix
from .csv_rows import csv_rows
from .files import file_rows, read_by
from .folders import local
from .formats import Tracked, messages
from .formats.rows import holds_text
from .formats.values import shown
from .harms import harms
from .json_rows import read_object
from .plain import open_plain

Row = Mapping[str, Any]


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


def _prompt(
    text: Any, where: str, *, context: str = "", earlier: tuple[Message, ...] = (), **meta: Any
) -> Prompt:
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f"the row has no prompt ({shown(text)})", where=where, remedy="take the row out, or fill it in"
        )
    asked = f"{context}\n\n---\n\n{text}" if context else text
    return Prompt(
        (*earlier, Message("user", asked)), {key: value for key, value in meta.items() if value is not None}
    )


def _harm(taxonomy: str, category: Any) -> str | None:
    found = harms().of_category(taxonomy, category) if isinstance(category, str) else None
    return found.id if found else None


def _harmbench(row: Row, where: str) -> Prompt:
    category = row.get("SemanticCategory")
    return _prompt(
        row["Behavior"],
        where,
        context=row.get("ContextString") or "",
        set="harmbench",
        id=row["BehaviorID"],
        harmful=True,
        category=category,
        harm=_harm("harmbench", category),
        goal=row["Behavior"],
        functional=row.get("FunctionalCategory"),
        tags=row.get("Tags") or None,
    )


def _jailbreakbench(row: Row, where: str) -> Prompt:
    category, benign = (
        row.get("Category"),
        "benign" in Path(where).name.lower(),
    )  # harmful and benign behaviours have the same columns
    return _prompt(
        row["Goal"],
        where,
        set="jailbreakbench",
        id=str(row.get("Index", row.get("Behavior"))),
        harmful=not benign,
        category=category,
        harm=None if benign else _harm("jailbreakbench", category),
        goal=row["Goal"],
        behavior=row.get("Behavior"),
        target=row.get("Target") or None,
    )


def _advbench(row: Row, where: str) -> Prompt:
    return _prompt(
        row["goal"],
        where,
        set="advbench",
        id=where.rpartition(":")[2],
        harmful=True,
        goal=row["goal"],
        target=row["target"],
    )


def _strongreject(row: Row, where: str) -> Prompt:
    return _prompt(
        row["forbidden_prompt"],
        where,
        set="strongreject",
        id=where.rpartition(":")[2],
        harmful=True,
        category=row["category"],
        harm=_harm("strongreject", row["category"]),
        goal=row["forbidden_prompt"],
        source=row.get("source"),
    )


def _xstest(row: Row, where: str) -> Prompt:
    label = row.get("label") or ("unsafe" if str(row["type"]).startswith("contrast") else "safe")
    return _prompt(
        row["prompt"],
        where,
        set="xstest",
        id=row.get("id") or where.rpartition(":")[2],
        harmful=label == "unsafe",
        category=row["type"],
        goal=row["prompt"],
        focus=row.get("focus") or None,
    )


def _ailuminate(row: Row, where: str) -> Prompt:
    return _prompt(
        row["prompt_text"],
        where,
        set="ailuminate",
        id=row["release_prompt_id"],
        harmful=True,
        category=row["hazard"],
        harm=_harm("ailuminate", row["hazard"]),
        goal=row["prompt_text"],
        persona=row.get("persona"),
        locale=row.get("locale"),
    )


def _artifact(row: Row, where: str) -> Prompt | None:
    if row.get("prompt") is None:  # the attack found none
        return None
    return _prompt(
        row["prompt"],
        where,
        set="jbb-artifact",
        id=str(row.get("index")),
        harmful=True,
        category=row.get("category"),
        harm=_harm("jailbreakbench", row.get("category")),
        goal=row["goal"],
        behavior=row.get("behavior"),
        jailbroken=row.get("jailbroken"),
    )


def _test_case(row: Row, where: str) -> Prompt | None:
    if row["prompt"] is None:
        return None
    return _prompt(
        row["prompt"], where, set="test-cases", id=row["case"], harmful=True, behavior=row["behavior"]
    )


def _garak_turns(value: Any) -> list[Any]:
    """The turns of a garak prompt: of a string, of {"text"} (its Message), of [{"role", "content"}] (before
    its Conversation) or of {"turns": [...]}.
    """
    found = value.get("turns", value) if isinstance(value, Mapping) else value
    turns = (
        found if isinstance(found, list) else [] if found is None else [{"role": "user", "content": found}]
    )
    return [turn for turn in turns if isinstance(turn, Mapping)]


def _garak(row: Row, where: str, **meta: Any) -> Prompt | None:
    """The attack of a row with its earlier turns; None for one that shows the model more than text.

    Where a conversation went on, the report's `prompt` is its beginning, and `conversations` (or `messages`,
    in older reports) its whole, one an output: the first of them then stands for all. A turn of the assistant
    at the end is an answer to the attack.
    """
    histories = [
        value if isinstance(value[0], Mapping) and "role" in value[0] else value[0]
        for name in ("conversations", "messages")
        if isinstance(value := row.get(name), list) and value
    ]
    turns = max(
        map(_garak_turns, (row.get("prompt"), *histories)),
        key=lambda turns: sum(turn.get("role") == "user" for turn in turns),
    )
    while turns and turns[-1].get("role") == "assistant":
        turns = turns[:-1]
    contents = [turn.get("content") for turn in turns]
    if any(isinstance(content, Mapping) and content.get("data_path") for content in contents):
        return None
    texts = [content.get("text") if isinstance(content, Mapping) else content for content in contents]
    try:
        *earlier, last = messages(
            [
                {"role": turn.get("role") or "user", "content": text}
                for turn, text in zip(turns, texts, strict=True)
            ],
            "prompt",
        )
    except DataError as error:
        raise DataError(
            f"the row has no prompt: {error.what}", where=where, remedy=error.remedy or "take the row out"
        ) from error
    if last.role != "user":
        raise DataError(
            f"the conversation ends with the {last.role}'s turn", where=where, remedy="take the row out"
        )
    return _prompt(last.content, where, earlier=tuple(earlier), set="garak", goal=row.get("goal"), **meta)


def _garak_attempt(row: Row, where: str) -> Prompt | None:
    """A finished attempt; `hits` counts outputs that some detector scored 0.5 or more (in garak 1 is bad)."""
    if row.get("entry_type") != "attempt" or row.get("status") != 2:
        return None
    found = row.get("detector_results")
    scores = (
        [
            [x for x in values if isinstance(x, int | float)]
            for values in found.values()
            if isinstance(values, list)
        ]
        if isinstance(found, Mapping)
        else []
    )
    hits = max((sum(x >= 0.5 for x in values) for values in scores), default=0)
    return _garak(row, where, id=str(row.get("uuid")), category=row.get("probe_classname"), hits=hits)


def _garak_hit(row: Row, where: str) -> Prompt | None:
    return _garak(
        row,
        where,
        id=str(row.get("attempt_id")),
        category=row.get("probe"),
        hits=1,
        detector=row.get("detector"),
        score=row.get("score"),
    )


FORMATS: tuple[
    tuple[str, set[str], Callable[[Row, str], Prompt | None]], ...
] = (  # name, columns that tell it, reader
    ("harmbench", {"Behavior", "SemanticCategory", "BehaviorID"}, _harmbench),
    ("jailbreakbench", {"Goal", "Behavior", "Category"}, _jailbreakbench),
    ("strongreject", {"category", "forbidden_prompt"}, _strongreject),
    ("ailuminate", {"release_prompt_id", "prompt_text", "hazard"}, _ailuminate),
    ("jbb-artifact", {"goal", "behavior", "prompt"}, _artifact),
    ("test-cases", {"case", "behavior", "prompt"}, _test_case),
    ("garak-hits", {"probe", "detector", "prompt", "score"}, _garak_hit),
    ("garak-report", {"entry_type"}, _garak_attempt),
    ("xstest", {"prompt", "type", "focus"}, _xstest),
    ("advbench", {"goal", "target"}, _advbench),
)


ANSWERS = (
    "response",
    "output",
    "outputs",
    "notes",
    "reverse_translation_outputs",
    "triggers",
    "targets",
    "generator",
    "probe_params",
    "intent",
)
"""Columns of these sets that hold what a model answered, or what belongs to the attack's own tool: nobody needs to be told of them."""


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


def load(path: str | Path) -> Loaded:
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
            what = (
                f"the row is of {found[0]}, the rows before it of {name}"
                if found
                else f"no red-team set has the columns {', '.join(map(str, row))!r:.80}"
            )
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
