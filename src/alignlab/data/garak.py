"""Rows of garak's reports -> the prompts of its attacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import DataError
from ..records import Prompt
from .formats import messages
from .redteam_rows import Row, prompt_of


def _turns(value: Any) -> list[Any]:
    """The turns of a garak prompt: of a string, of {"text"} (its Message), of [{"role", "content"}] (before
    its Conversation) or of {"turns": [...]}.
    """
    if isinstance(value, Mapping):
        value = value.get("turns", value)
    if value is None:
        return []
    turns = value
    if not isinstance(value, list):
        turns = [{"role": "user", "content": value}]
    return [turn for turn in turns if isinstance(turn, Mapping)]


def _attack(row: Row, where: str, **meta: Any) -> Prompt | None:
    """The attack of a row with its earlier turns; None for one that shows the model more than text.

    Where a conversation went on, the report's `prompt` is its beginning, and `conversations` (or `messages`,
    in older reports) its whole, one an output: the first of them then stands for all. A turn of the assistant
    at the end is an answer to the attack.
    """
    histories = [_turns(row.get("prompt"))]
    for name in ("conversations", "messages"):
        value = row.get(name)
        if isinstance(value, list) and value:
            is_one = isinstance(value[0], Mapping) and "role" in value[0]
            histories.append(_turns(value if is_one else value[0]))
    turns = max(histories, key=lambda turns: sum(turn.get("role") == "user" for turn in turns))
    while turns and turns[-1].get("role") == "assistant":
        turns = turns[:-1]
    contents = [turn.get("content") for turn in turns]
    if any(isinstance(content, Mapping) and content.get("data_path") for content in contents):
        return None
    spoken: list[dict[str, Any]] = []
    for turn, content in zip(turns, contents, strict=True):
        text = content.get("text") if isinstance(content, Mapping) else content
        spoken.append({"role": turn.get("role") or "user", "content": text})
    try:
        *earlier, last = messages(spoken, "prompt")
    except DataError as error:
        raise DataError(
            f"the row has no prompt: {error.what}", where=where, remedy=error.remedy or "take the row out"
        ) from error
    if last.role != "user":
        raise DataError(
            f"the conversation ends with the {last.role}'s turn", where=where, remedy="take the row out"
        )
    return prompt_of(last.content, where, earlier=tuple(earlier), set="garak", goal=row.get("goal"), **meta)


def garak_attempt(row: Row, where: str) -> Prompt | None:
    """A finished attempt; `hits` counts outputs that some detector scored 0.5 or more (in garak 1 is bad)."""
    if row.get("entry_type") != "attempt" or row.get("status") != 2:
        return None
    results = row.get("detector_results")
    hits = max(map(_hits, results.values()), default=0) if isinstance(results, Mapping) else 0
    return _attack(row, where, id=str(row.get("uuid")), category=row.get("probe_classname"), hits=hits)


def _hits(scores: Any) -> int:
    """Of a detector's scores, those that are 0.5 or more."""
    if not isinstance(scores, list):
        return 0
    return sum(isinstance(score, int | float) and score >= 0.5 for score in scores)


def garak_hit(row: Row, where: str) -> Prompt | None:
    return _attack(
        row,
        where,
        id=str(row.get("attempt_id")),
        category=row.get("probe"),
        hits=1,
        detector=row.get("detector"),
        score=row.get("score"),
    )
