"""Red-team data of the field -> prompts that say which harm they are of.

    harmbench       Behavior, FunctionalCategory, SemanticCategory, Tags, ContextString, BehaviorID (CSV)
    jailbreakbench  Index, Goal, Target, Behavior, Category (CSV, JSON), harmful or benign
    jbb-artifact    {"parameters": ..., "jailbreaks": [{goal, behavior, category, prompt, ...}]} (JSON), the prompts of a published attack
    test-cases      {BehaviorID: [prompt, ...]} (HarmBench's) or {model: {Behavior: prompt or null}} (JailbreakBench's): what an attack made of each
    advbench        goal, target (CSV)
    strongreject    category, source, forbidden_prompt (CSV)
    xstest          id, prompt, type, label, focus, note (CSV): safe requests that look harmful, and unsafe ones
    ailuminate      release_prompt_id, prompt_text, hazard, persona, locale, prompt_hash (CSV)
    garak-report    attempts of a garak report.jsonl; garak-hits: rows of its hitlog.jsonl

Every prompt's meta has `set`, `id`, `harmful` (None where the set does not say), `category` as the set spells it, `harm` (an id of
`harms.toml`, where the category is mapped) and `goal`, what is asked for without the attack around it. A row without text is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..records import Message, Prompt
from .files import csv_rows, file_rows, open_plain, read_by, read_object, suffix
from .folders import local
from .harms import harms

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The prompts of a red-team file, the format it was in, and how many rows it had without a prompt of their own (a garak report's other entries)."""

    name: str
    prompts: list[Prompt]
    passed_over: int = 0


def _prompt(text: Any, where: str, *, context: str = "", **meta: Any) -> Prompt:
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"the row has no prompt ({text!r:.60})", where=where, remedy="take the row out, or fill it in")
    shown = f"{context}\n\n---\n\n{text}" if context else text
    return Prompt((Message("user", shown),), {key: value for key, value in meta.items() if value is not None})


def _harm(taxonomy: str, category: Any) -> str | None:
    found = harms().of_category(taxonomy, category) if isinstance(category, str) else None
    return found.id if found else None


def _harmbench(row: Row, where: str) -> Prompt:
    category = row.get("SemanticCategory")
    return _prompt(row["Behavior"], where, context=row.get("ContextString") or "", set="harmbench", id=row["BehaviorID"], harmful=True, category=category,
                   harm=_harm("harmbench", category), goal=row["Behavior"], functional=row.get("FunctionalCategory"), tags=row.get("Tags") or None)


def _jailbreakbench(row: Row, where: str) -> Prompt:
    category, benign = row.get("Category"), "benign" in Path(where).name.lower()  # harmful and benign behaviours have the same columns
    return _prompt(row["Goal"], where, set="jailbreakbench", id=str(row.get("Index", row.get("Behavior"))), harmful=not benign, category=category,
                   harm=None if benign else _harm("jailbreakbench", category), goal=row["Goal"], behavior=row.get("Behavior"), target=row.get("Target") or None)


def _advbench(row: Row, where: str) -> Prompt:
    return _prompt(row["goal"], where, set="advbench", id=where.rpartition(":")[2], harmful=True, goal=row["goal"], target=row["target"])


def _strongreject(row: Row, where: str) -> Prompt:
    return _prompt(row["forbidden_prompt"], where, set="strongreject", id=where.rpartition(":")[2], harmful=True, category=row["category"],
                   harm=_harm("strongreject", row["category"]), goal=row["forbidden_prompt"], source=row.get("source"))


def _xstest(row: Row, where: str) -> Prompt:
    label = row.get("label") or ("unsafe" if str(row["type"]).startswith("contrast") else "safe")
    return _prompt(row["prompt"], where, set="xstest", id=row.get("id") or where.rpartition(":")[2], harmful=label == "unsafe", category=row["type"], goal=row["prompt"], focus=row.get("focus") or None)


def _ailuminate(row: Row, where: str) -> Prompt:
    return _prompt(row["prompt_text"], where, set="ailuminate", id=row["release_prompt_id"], harmful=True, category=row["hazard"], harm=_harm("ailuminate", row["hazard"]),
                   goal=row["prompt_text"], persona=row.get("persona"), locale=row.get("locale"))


def _artifact(row: Row, where: str) -> Prompt | None:
    if row.get("prompt") is None:  # the attack found none
        return None
    return _prompt(row["prompt"], where, set="jbb-artifact", id=str(row.get("index")), harmful=True, category=row.get("category"),
                   harm=_harm("jailbreakbench", row.get("category")), goal=row["goal"], behavior=row.get("behavior"), jailbroken=row.get("jailbroken"))


def _test_case(row: Row, where: str) -> Prompt | None:
    if row["prompt"] is None:
        return None
    return _prompt(row["prompt"], where, set="test-cases", id=row["case"], harmful=True, behavior=row["behavior"])


def garak_text(value: Any) -> str | None:
    """The text of a garak message: a string, {"text"}, or a conversation's last turn of a user ({"turns": [{"role", "content"}]})."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Mapping):
        if isinstance(value.get("turns"), list):
            turns = [turn for turn in value["turns"] if isinstance(turn, Mapping) and turn.get("role", "user") == "user"]
            return garak_text(turns[-1].get("content")) if turns else None
        return garak_text(value.get("text"))
    return None


def _garak_attempt(row: Row, where: str) -> Prompt | None:
    """A finished attempt; `hits` counts outputs that some detector scored 0.5 or more (in garak 1 is bad)."""
    if row.get("entry_type") != "attempt" or row.get("status") != 2:
        return None
    found = row.get("detector_results")
    scores = [[x for x in values if isinstance(x, int | float)] for values in found.values() if isinstance(values, list)] if isinstance(found, Mapping) else []
    hits = max((sum(x >= 0.5 for x in values) for values in scores), default=0)
    return _prompt(garak_text(row.get("prompt")), where, set="garak", id=str(row.get("uuid")), category=row.get("probe_classname"), goal=row.get("goal"), hits=hits)


def _garak_hit(row: Row, where: str) -> Prompt:
    return _prompt(garak_text(row["prompt"]), where, set="garak", id=str(row.get("attempt_id")), category=row.get("probe"), goal=row.get("goal"), hits=1,
                   detector=row.get("detector"), score=row.get("score"))


FORMATS: tuple[tuple[str, set[str], Callable[[Row, str], Prompt | None]], ...] = (  # name, columns that tell it, reader
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


def known(path: str | Path) -> Loaded | None:
    """What `load` reads, if the first row of the file is of a set; None for any other file, and for one that cannot be read. Raises as `load` does, once the set is known."""
    path = local(path)
    if not (suffix(path) in (".csv", ".json", ".jsonl") and path.is_file()):
        return None
    rows = _rows(path)
    try:
        first = next(rows, None)
    except DataError:
        return None
    if first is None or not isinstance(first[1], Mapping) or not any(columns <= first[1].keys() for _, columns, _ in FORMATS):
        return None
    return _loaded(path, chain([first], rows))


def load(path: str | Path) -> Loaded:
    """The prompts of a red-team file, told by its columns.

    Raises:
        DataError: no such file, no known columns, rows of another set in between, a row without text, or no prompt at all.
    """
    path = local(path)
    if not path.is_file():
        raise DataError("no such file" if not path.exists() else "a folder, where one file is read", where=str(path), remedy="a CSV, JSON or JSONL file of a red-team set")
    return _loaded(path, _rows(path))


def _loaded(path: Path, rows: Iterable[tuple[int, Any]]) -> Loaded:
    name, prompts, passed = "", [], 0
    for number, row in rows:
        where = f"{path}:{number}"
        if not isinstance(row, Mapping):
            raise DataError(f"a row must be an object with named columns, not {type(row).__name__}", where=where, remedy="see alignlab.data.redteam_sets for what is read")
        found = next(((one, read) for one, columns, read in FORMATS if columns <= row.keys()), None)
        if not found or found[0] != (name or found[0]):
            what = f"the row is of {found[0]}, the rows before it of {name}" if found else f"no red-team set has the columns {', '.join(map(str, row))!r:.80}"
            raise DataError(what, where=where, remedy="read are: " + ", ".join(known for known, _, _ in FORMATS))
        name = found[0]
        prompt = found[1](row, where)
        if prompt is None:
            passed += 1
        else:
            prompts.append(prompt)
    if not prompts:
        raise DataError(f"no prompt in the file ({passed} rows passed over)", where=str(path), remedy="see alignlab.data.redteam_sets for what is read")
    return Loaded(name, prompts, passed)


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Rows of CSV (whatever its columns are called), and of JSON documents that are no list of rows."""
    if suffix(path) == ".csv":
        yield from read_by(path, lambda path: csv_rows(path, known=False))
    elif suffix(path) == ".json":
        yield from read_by(path, _json_rows)
    else:
        yield from file_rows(path)


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    with open_plain(path) as file:
        document = read_object(file, path)
    yield from enumerate(_unfold(document), 1)


def _unfold(document: Any) -> Iterator[Any]:
    """The rows in a document: a list, an artifact's jailbreaks, test cases by behaviour, a submission's prompts by model and behaviour."""
    if isinstance(document, list):
        yield from document
    elif isinstance(document, Mapping) and isinstance(document.get("jailbreaks"), list):
        yield from document["jailbreaks"]
    elif isinstance(document, Mapping) and document and all(isinstance(value, list) and all(isinstance(text, str) for text in value) for value in document.values()):
        for behavior, cases in document.items():
            for number, text in enumerate(cases):
                yield {"behavior": behavior, "prompt": text, "case": f"{behavior}/{number}"}
    elif isinstance(document, Mapping) and document and all(isinstance(value, Mapping) for value in document.values()):
        for model, cases in document.items():
            for behavior, text in cases.items():
                yield {"behavior": behavior, "prompt": text, "case": f"{model}/{behavior}"}
    else:
        yield document
