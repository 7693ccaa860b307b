"""The formats of the field, how each is known by its columns, and who reads it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import DataError
from ...records import Comparison, Demonstration, Prompt, Ranking, Record, Text, Unpaired
from . import annotations, preferences, rankings, readers
from .messages import is_hh, unpacked
from .rankings import ANSWER, SCORE, STRENGTHS, numbered
from .readers import Want
from .rows import (
    ABOUT,
    CHATS,
    COMPLETION_LISTS,
    COMPLETIONS,
    LABEL_COLUMNS,
    MAIN_COLUMNS,
    PROMPTS,
    PROMPTS_BESIDE,
    Row,
    canonical,
    holds_something,
)
from .values import shown

NEEDS: dict[Want, str] = {
    "text": "a column `text`",
    "prompt": "a column `prompt` (text, or messages that end with the user's turn)",
    "demonstration": "columns `prompt` and `completion`, or `messages` with an assistant turn",
    "comparison": "columns `prompt`, `chosen` and `rejected`",
    "ranking": "columns `prompt`, `completions` and `ranks` or `scores`, or `prompt`, `chosen` and "
    "`rejected`",
    "unpaired": "columns `prompt`, `completion` and `label` (true or false), or `prompt`, `chosen` and "
    "`rejected`",
}
ONE: dict[Want, str] = {**{want: f"a {want}" for want in NEEDS}, "unpaired": "an unpaired completion"}
KINDS: dict[Want, type[Any]] = {
    "text": Text,
    "prompt": Prompt,
    "demonstration": Demonstration,
    "comparison": Comparison,
    "ranking": Ranking,
    "unpaired": Unpaired,
}


@dataclass(frozen=True, slots=True)
class Format:
    """One format of the field: its name, the records it holds, its columns in words, how to know it and how
    to read it.
    """

    name: str
    kind: Want
    columns: str
    matches: Callable[[Row], bool]
    read: Callable[[Any, Want], list[Record]]


def _any(row: Row, *groups: tuple[str, ...]) -> bool:
    return all(any(name in row.has for name in group) for group in groups)


def _prompted(row: Row) -> bool:
    """Is there a prompt beside an answer? Names that may mean something else count only where they hold text
    or messages.
    """
    return _any(row, PROMPTS) or any(
        _is_prompt(row.columns[name]) for name in PROMPTS_BESIDE if holds_something(row.columns.get(name))
    )


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str | Mapping) or (isinstance(value, list) and isinstance(value[0], Mapping))


def _whole(value: Any) -> bool:
    """Is this a conversation from its first turn on, rather than an answer?"""
    value = unpacked(value, "chosen")
    return is_hh(value) or (isinstance(value, list) and len(value) > 1)


def _compared(row: Row) -> bool:
    return {"chosen", "rejected"} <= row.has


def _numbered(row: Row) -> bool:
    answers = numbered(row, ANSWER)
    return (
        len(answers) > 1
        and _prompted(row)
        and (_any(row, ("better_response_id", *STRENGTHS)) or answers.keys() <= numbered(row, SCORE).keys())
    )


FORMATS: tuple[Format, ...] = (  # the first that matches is the row's format
    Format(
        "label-studio",
        "ranking",
        "data, annotations (pairwise: left or right; ranker: ids, best first)",
        lambda row: {"data", "annotations"} <= row.has,
        annotations.read_label_studio,
    ),
    Format(
        "argilla",
        "ranking",
        "fields, responses (values with their ranks)",
        lambda row: {"fields", "responses"} <= row.has,
        annotations.read_argilla,
    ),
    Format(
        "ranking",
        "ranking",
        "prompt, completions, ranks or scores",
        lambda row: _any(row, COMPLETION_LISTS) and _prompted(row) and not _compared(row),
        rankings.read_ranking,
    ),
    Format(
        "llamafactory-ranking",
        "ranking",
        "instruction, input, output (a list, best first)",
        lambda row: (
            "instruction" in row.has
            and isinstance(row.columns.get("output"), list)
            and all(isinstance(item, str) for item in row.columns["output"])
        ),
        rankings.read_best_first,
    ),
    Format(
        "sharegpt-preference",
        "comparison",
        "conversations, chosen, rejected",
        lambda row: (
            _compared(row)
            and (
                "conversations" in row.has
                or (_any(row, CHATS) and not _any(row, PROMPTS) and not _whole(row.columns["chosen"]))
            )
        ),
        preferences.read_sharegpt_preference,
    ),
    Format(
        "preference",
        "comparison",
        "prompt, chosen, rejected",
        lambda row: (
            _compared(row) and (_any(row, PROMPTS) or (_prompted(row) and not _whole(row.columns["chosen"])))
        ),
        preferences.read_preference,
    ),
    Format(
        "hh",
        "comparison",
        "chosen, rejected (\\n\\nHuman: ... \\n\\nAssistant: ...)",
        lambda row: is_hh(row.columns.get("chosen")) and is_hh(row.columns.get("rejected")),
        preferences.read_implicit,
    ),
    Format("preference-implicit", "comparison", "chosen, rejected", _compared, preferences.read_implicit),
    Format(
        "numbered-answers",
        "ranking",
        "question, answer1, answer2, score1, score2",
        _numbered,
        rankings.read_numbered,
    ),
    Format(
        "unpaired",
        "unpaired",
        "prompt, completion, label",
        lambda row: _answered(row) and _any(row, LABEL_COLUMNS),
        preferences.read_unpaired,
    ),
    Format(
        "unpaired-messages",
        "unpaired",
        "messages, label",
        lambda row: _any(row, CHATS, LABEL_COLUMNS),
        preferences.read_unpaired_conversation,
    ),
    Format(
        "prompt-completion",
        "demonstration",
        "prompt, completion",
        lambda row: _answered(row) and not _instructed(row),
        readers.read_demonstration,
    ),
    Format(
        "self-instruct",
        "demonstration",
        "instruction, instances",
        lambda row: {"instruction", "instances"} <= row.has,
        readers.read_instances,
    ),
    Format(
        "alpaca",
        "demonstration",
        "instruction, input, output",
        lambda row: _answered(row),
        readers.read_demonstration,
    ),
    Format("messages", "demonstration", "messages", lambda row: "messages" in row.has, readers.conversation),
    Format("sharegpt", "demonstration", "conversations", lambda row: _any(row, CHATS), readers.conversation),
    Format("prompt", "prompt", "prompt", lambda row: _any(row, PROMPTS), readers.read_prompt),
    Format("text", "text", "text", lambda row: "text" in row.has, readers.read_text),
)
STRING = Format("string", "prompt", "a text a row", lambda row: False, readers.read_string)


def _answered(row: Row) -> bool:
    return _any(row, COMPLETIONS) and _prompted(row)


def _instructed(row: Row) -> bool:
    return "instruction" in row.has and not _any(row, PROMPTS[:3])


def format_of(row: Row) -> Format:
    """The format of a row. Raises DataError if no format has its columns."""
    for form in FORMATS:
        if form.matches(row):
            return form
    if {"role", "content"} <= row.has or {"from", "value"} <= row.has:
        raise DataError(
            "the row is one message, and not a conversation",
            remedy='one conversation a row: {"messages": [{"role": "user", "content": "..."}, ...]}',
        )
    names = ", ".join(repr(name)[:40] for name in list(row)[:8]) or "none"
    near = {
        name: match[0]
        for name in list(row)[:40]
        if not ABOUT.fullmatch(canonical(name))
        and (match := difflib.get_close_matches(str(name).lower()[:80], MAIN_COLUMNS, 1, 0.75))
        and match[0] != name
    }
    guess = "".join(f"rename {name!r:.40} to {match!r}; " for name, match in near.items())
    raise DataError(
        f"no known format has the columns {names}",
        remedy=guess + f"a training row has {NEEDS['demonstration']}; "
        "--columns prompt=THEIRS,completion=THEIRS names columns that are called otherwise (in CSV the "
        "first line names them)",
    )


def row_of(row: Any) -> Row:
    """A row from what a file held. Raises DataError for anything but an object."""
    if not isinstance(row, Mapping):
        raise DataError(
            f"a row must be an object with named columns, not {type(row).__name__} ({shown(row)})"
        )
    return row if isinstance(row, Row) else Row(row)
