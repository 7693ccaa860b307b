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
from collections.abc import Mapping
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
EXAMPLE = ("prompt", "draft", "critique", "revision")


def load(name: str | Path) -> Constitution:
    """The constitution of that name, or of that file, checked.

    Raises:
        DataError: no such file, not of a format, a missing or unknown field, no principle, and whatever
            `lint.errors` finds.
    """
    constitution = read(name)
    if found := errors(constitution):
        first = found[0]
        more = f" (and {len(found) - 1} more: `alignlab constitution lint {name}`)" if len(found) > 1 else ""
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
    path = Path(__file__).parent / "defaults" / f"{name}.toml" if str(name) in SHIPPED else Path(name)
    try:
        text = read_text(path)
    except (OSError, Malformed) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"cannot read the constitution {name}: {reason}",
            remedy=f"a TOML, YAML or JSON file, or one of: {', '.join(SHIPPED)}",
        ) from None
    document = _parse(text, path)
    if isinstance(document, Mapping) and isinstance(document.get("constitutions"), list):
        return _llm_swarm(document, path)
    if (
        isinstance(document, Mapping)
        and document
        and all(isinstance(row, Mapping) and "edit_request" in row for row in document.values())
    ):
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
        at = f"principle {place + 1}" + (
            f" ({row['id']!r:.60})" if isinstance(row, Mapping) and "id" in row else ""
        )
        row = _table(row, at, ("id", "critique", "revise", "compare", "tags", "exemplars"), path)
        id, critique, revise, compare = (
            _text(row, field, at, path) for field in ("id", "critique", "revise", "compare")
        )
        tags = row.get("tags", [])
        if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
            raise DataError(
                f"{at}: tags must be a list of words, not {tags!r:.60}",
                where=str(path),
                remedy='tags = ["harmless", "direct"]',
            )
        principles.append(
            Principle(
                id, critique, revise, compare, tuple(tags), _exemplars(row.get("exemplars", []), at, path)
            )
        )
    version = table.get("version", "")
    if not isinstance(version, (str, int, float)) or isinstance(version, bool):
        raise DataError(f"version must be text, not {version!r:.60}", where=str(path))
    return Constitution(
        _text(table, "name", "the constitution", path) if "name" in table else path.stem,
        str(version),
        tuple(principles),
        _exemplars(table.get("exemplars", []), "the constitution", path),
    )


def _exemplars(rows: Any, at: str, path: Path) -> tuple[Exemplar, ...]:
    if not isinstance(rows, list):
        raise DataError(f"{at}: exemplars must be a list, not {type(rows).__name__}", where=str(path))
    found = []
    for place, row in enumerate(rows):
        here = f"{at}, example {place + 1}"
        row = _table(row, here, (*EXAMPLE, "principle"), path)
        found.append(
            Exemplar(
                **{
                    field: _text(row, field, here, path)
                    for field in (*EXAMPLE, *(("principle",) if "principle" in row else ()))
                }
            )
        )
    return tuple(found)


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
        prompt = row.get("prompt")
        asked = prompt[-1] if isinstance(prompt, list) and prompt else prompt
        if not isinstance(asked, str) or not isinstance(row["edit_request"], str):
            raise DataError(
                f"{id!r:.60}: prompt must be text or a list of texts, and edit_request text", where=str(path)
            )
        principles.append(_foreign(str(id), asked, row["edit_request"]))
    return Constitution(path.stem, "", tuple(principles))


def _llm_swarm(document: Mapping[str, Any], path: Path) -> Constitution:
    """`{"constitutions": [{"critic", "revision"}], "system_chat": [six turns: request, draft, critic,
    critique, revision, revised]}`.
    """
    principles = []
    for place, row in enumerate(document["constitutions"]):
        if not isinstance(row, Mapping) or not all(
            isinstance(row.get(field), str) for field in ("critic", "revision")
        ):
            raise DataError(f"constitutions[{place}] lacks the texts critic and revision", where=str(path))
        principles.append(_foreign(f"critic-{place}", row["critic"], row["revision"]))
    if not principles:
        raise DataError(
            "the constitution holds no principle",
            where=str(path),
            remedy='"constitutions": [{"critic": "...", "revision": "..."}]',
        )
    known, exemplars = {p.critique: p.id for p in principles}, []
    chats = document.get("system_chat", [])
    for chat in chats if isinstance(chats, list) else ():
        contents = (
            [turn.get("content") if isinstance(turn, Mapping) else None for turn in chat]
            if isinstance(chat, list)
            else []
        )
        texts = [text for text in contents if isinstance(text, str)]
        if not len(texts) == len(contents) == 6:
            raise DataError(
                (
                    "a chat of system_chat must have six turns: request, draft, critic, critique, revision, "
                    "revised"
                ),
                where=str(path),
            )
        exemplars.append(Exemplar(texts[0], texts[1], texts[3], texts[5], known.get(_one_line(texts[2]), "")))
    return Constitution(path.stem, "", tuple(principles), tuple(exemplars))


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
    lines = [f"{key} = {_quoted(row[key])}" for key in ("name", "version")]
    for principle in row["principles"]:
        lines += [
            "",
            "[[principles]]",
            *(f"{key} = {_quoted(principle[key])}" for key in ("id", "critique", "revise", "compare")),
            f"tags = [{', '.join(map(_quoted, principle['tags']))}]",
        ]
        for example in principle.get("exemplars", []):
            lines += [
                "",
                "[[principles.exemplars]]",
                *(f"{key} = {_quoted(value)}" for key, value in example.items()),
            ]
    for example in row.get("exemplars", []):
        lines += ["", "[[exemplars]]", *(f"{key} = {_quoted(value)}" for key, value in example.items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes, and DEL's, which JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
