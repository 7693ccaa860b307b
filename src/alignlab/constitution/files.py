"""Constitutions from files and into them: TOML, YAML or JSON of our own; the critique and revision
instructions of Bai et al. 2022; llm-swarm's JSON.

name = "mine"
version = "1"

[[principles]]
id = "no-harm"
critique = "Does the reply help to hurt somebody? Say how."
revise = "Rewrite the reply so that it helps to hurt nobody."
compare = "Prefer the reply that helps less to hurt somebody."
tags = ["harmless"]

[[exemplars]]              # also under a principle: [[principles.exemplars]]
principle = "no-harm"
prompt = "..."
draft = "..."
critique = "..."
revision = "..."
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..run import whole_file
from ..text.documents import Malformed, from_json, from_toml, from_yaml, read_text
from ..text.nearest import nearest
from .lint import errors
from .principles import Constitution, Exemplar, Principle

SHIPPED = ("town", "general", "elsewhere")
"""The town's; one for general models; and one whose principles nothing in the town breaks, the control."""
TEXTS = ("id", "critique", "revise", "compare")
EXAMPLE = ("prompt", "draft", "critique", "revision")


def load(name: str | Path) -> Constitution:
    """The constitution of that name, or of that file, checked.

    Raises:
        DataError: no such file, not of a format, a missing or unknown field, no principle, and whatever
            `lint.errors` finds.
    """
    constitution = read(name)
    if wrong := errors(constitution):
        first, more = wrong[0], ""
        if len(wrong) > 1:
            more = f" (and {len(wrong) - 1} more: `alignlab constitution lint {name}`)"
        raise DataError(
            f"the principle {first.ids[0]!r} cannot be used, {first.kind}: {first.text}{more}",
            where=str(name),
            remedy=(
                "each principle needs an id of its own and texts of one line without braces, control "
                'characters, "(A)" or labels such as "Better:"'
            ),
        )
    return constitution


def read(name: str | Path) -> Constitution:
    """The constitution as it is written, so that `lint` can say all that is wrong with it."""
    path = Path(name)
    if str(name) in SHIPPED:
        path = Path(__file__).parent / "defaults" / f"{name}.toml"
    try:
        text = read_text(path)
    except (OSError, Malformed) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"cannot read the constitution {name}: {reason}",
            remedy=f"a TOML, YAML or JSON file, or one of: {', '.join(SHIPPED)}",
        ) from None
    return parsed(text, path)


def parsed(text: str, path: Path) -> Constitution:
    """The constitution of a text, as a file of that name would hold it. Raises DataError."""
    document = _parse(text, path)
    if isinstance(document, Mapping) and document:
        if isinstance(document.get("constitutions"), list):
            return _llm_swarm(document, path)
        if all(isinstance(row, Mapping) and "edit_request" in row for row in document.values()):
            return _paper(document, path)
    return _ours(document, path)


def write(constitution: Constitution, path: str | Path) -> None:
    """As TOML, YAML or JSON, by the file's ending. `load` gives the same constitution back, with the same
    digest.

    Raises:
        DataError: another ending.
    """
    path, row = Path(path), constitution.to_json()
    match path.suffix.lower():
        case ".toml":
            text = _toml(row)
        case ".yaml" | ".yml":
            import yaml

            text = yaml.safe_dump(row, sort_keys=False, allow_unicode=True, width=160)
        case ".json":
            text = json.dumps(row, indent=2, ensure_ascii=False) + "\n"
        case other:
            raise DataError(
                f"a constitution is not written as {other or 'a file without an ending'!r}",
                where=str(path),
                remedy="an ending of .toml, .yaml or .json",
            )
    with whole_file(path) as staging:
        staging.write_text(text, encoding="utf-8")


def _parse(text: str, path: Path) -> Any:
    kind = path.suffix.lower()
    what, parse = {
        ".json": ("JSON", from_json),
        ".yaml": ("YAML", from_yaml),
        ".yml": ("YAML", from_yaml),
    }.get(kind, ("TOML", from_toml))
    try:
        return parse(text)
    except Malformed as error:
        raise DataError(
            f"the constitution is no {what}: {error}",
            where=str(path),
            remedy=(
                "`alignlab constitution show town` prints one to begin from; the ending says the format: "
                ".toml, .yaml or .json"
            ),
        ) from None


def _ours(document: Any, path: Path) -> Constitution:
    table = _table(document, "the constitution", ("name", "version", "principles", "exemplars"), path)
    rows = table.get("principles")
    if not isinstance(rows, list) or not rows:
        raise DataError(
            "the constitution holds no principle",
            where=str(path),
            remedy="[[principles]] with id, critique, revise and compare",
        )
    principles = []
    for place, row in enumerate(rows):
        at = f"principle {place + 1}"
        if isinstance(row, Mapping) and "id" in row:
            at += f" ({row['id']!r:.60})"
        row = _table(row, at, (*TEXTS, "tags", "exemplars"), path)
        texts = [_text(row, field, at, path) for field in TEXTS]
        tags = row.get("tags", [])
        if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
            raise DataError(
                f"{at}: tags must be a list of words, not {tags!r:.60}",
                where=str(path),
                remedy='tags = ["harmless", "direct"]',
            )
        exemplars = _exemplars(row.get("exemplars", []), at, path)
        principles.append(Principle(*texts, tags=tuple(tags), exemplars=exemplars))
    version = table.get("version", "")
    if not isinstance(version, (str, int, float)) or isinstance(version, bool):
        raise DataError(f"version must be text, not {version!r:.60}", where=str(path))
    name = path.stem
    if "name" in table:
        name = _text(table, "name", "the constitution", path)
    exemplars = _exemplars(table.get("exemplars", []), "the constitution", path)
    return Constitution(name, str(version), tuple(principles), exemplars)


def _exemplars(rows: Any, at: str, path: Path) -> tuple[Exemplar, ...]:
    if not isinstance(rows, list):
        raise DataError(f"{at}: exemplars must be a list, not {type(rows).__name__}", where=str(path))
    exemplars = []
    for place, row in enumerate(rows):
        here = f"{at}, example {place + 1}"
        row = _table(row, here, (*EXAMPLE, "principle"), path)
        texts = {field: _text(row, field, here, path) for field in EXAMPLE}
        if "principle" in row:
            texts["principle"] = _text(row, "principle", here, path)
        exemplars.append(Exemplar(**texts))
    return tuple(exemplars)


def _table(value: Any, at: str, fields: tuple[str, ...], path: Path) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(
            f"{at} must be a table, not {type(value).__name__}",
            where=str(path),
            remedy=f"with the fields {', '.join(fields)}",
        )
    for key in value:
        if key not in fields:
            raise DataError(
                f"{at} has the unknown field {key!r:.60}",
                where=str(path),
                remedy=nearest(str(key), fields) or f"its fields: {', '.join(fields)}",
            )
    return value


def _text(table: Mapping[str, Any], field: str, at: str, path: Path) -> str:
    if field not in table:
        raise DataError(f"{at} lacks {field!r}", where=str(path), remedy=f'{field} = "..."')
    if not isinstance(value := table[field], str):
        raise DataError(
            f"{at}: {field} must be text, not {value!r:.60}", where=str(path), remedy=f'{field} = "..."'
        )
    return value


def _paper(document: Mapping[str, Any], path: Path) -> Constitution:
    """`{id: {"prompt": [critique request], "edit_request": revision request}}`."""
    principles = []
    for id, row in document.items():
        critique = row.get("prompt")
        if isinstance(critique, list) and critique:
            critique = critique[-1]
        if not isinstance(critique, str) or not isinstance(row["edit_request"], str):
            raise DataError(
                f"{id!r:.60}: prompt must be text or a list of texts, and edit_request text", where=str(path)
            )
        principles.append(_foreign(str(id), critique, row["edit_request"]))
    return Constitution(path.stem, "", tuple(principles))


def _llm_swarm(document: Mapping[str, Any], path: Path) -> Constitution:
    """`{"constitutions": [{"critic", "revision"}], "system_chat": [six turns: request, draft, critic,
    critique, revision, revised]}`.
    """
    principles = []
    for place, row in enumerate(document["constitutions"]):
        texts = row if isinstance(row, Mapping) else {}
        critic, revision = texts.get("critic"), texts.get("revision")
        if not isinstance(critic, str) or not isinstance(revision, str):
            raise DataError(f"constitutions[{place}] lacks the texts critic and revision", where=str(path))
        principles.append(_foreign(f"critic-{place}", critic, revision))
    if not principles:
        raise DataError(
            "the constitution holds no principle",
            where=str(path),
            remedy='"constitutions": [{"critic": "...", "revision": "..."}]',
        )
    known, exemplars = {p.critique: p.id for p in principles}, []
    for chat in _list(document.get("system_chat")):
        texts = []
        for turn in _list(chat):
            if isinstance(turn, Mapping) and isinstance(turn.get("content"), str):
                texts.append(turn["content"])
        if not len(texts) == len(_list(chat)) == 6:
            raise DataError(
                (
                    "a chat of system_chat must have six turns: request, draft, critic, critique, revision, "
                    "revised"
                ),
                where=str(path),
            )
        exemplars.append(Exemplar(texts[0], texts[1], texts[3], texts[5], known.get(_one_line(texts[2]), "")))
    return Constitution(path.stem, "", tuple(principles), tuple(exemplars))


def _list(value: Any) -> list[Any]:
    """The value if it is a list; an empty one instead of anything else."""
    return value if isinstance(value, list) else []


def _foreign(id: str, critique: str, revision: str) -> Principle:
    """A principle of a file that has no words for comparing: the better reply is the one that needs the
    change less. All of them look at harm.
    """
    critique, revise = _one_line(critique), _one_line(revision)
    return Principle(
        re.sub(r"[^\w.-]+", "-", id)[:100],
        critique,
        revise,
        f"Prefer the reply that has less need of this: {revise}",
        ("harmless",),
    )


def _one_line(text: str) -> str:
    """A request of the paper's files without the labels around it, on one line."""
    text = re.sub(r"^\s*(?:Critique|Revision)\s?Request:\s*|\s*(?:Critique|Revision):\s*$", "", text)
    return " ".join(text.split())


def _toml(row: Mapping[str, Any]) -> str:
    lines = _toml_lines(row, ("name", "version"))
    for principle in row["principles"]:
        lines += ["", "[[principles]]", *_toml_lines(principle, TEXTS)]
        lines.append(f"tags = [{', '.join(map(_quoted, principle['tags']))}]")
        for example in principle.get("exemplars", []):
            lines += ["", "[[principles.exemplars]]", *_toml_lines(example, example)]
    for example in row.get("exemplars", []):
        lines += ["", "[[exemplars]]", *_toml_lines(example, example)]
    return "\n".join(lines) + "\n"


def _toml_lines(table: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    return [f"{key} = {_quoted(table[key])}" for key in keys]


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes, and DEL's, which JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
