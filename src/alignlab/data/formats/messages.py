"""Turns of a conversation from what the field writes them as: lists of messages, HH's notation, JSON in a
cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...errors import DataError
from ...records import ROLE_NAMES, TOOL_ROLES, Message, Role, role_of
from .rows import Row, holds_something
from .values import flag, is_nan, parsed, shown, text

HH_TURN = re.compile(r"\n\n(Human|Assistant):")
BEGINS = re.compile(
    r"""\s*(?:array\()?[\[({][\[({\s]*['"]\w+['"]\s*:"""
)  # how messages in a cell begin, in JSON or in Python
CUT = re.compile(
    r"""\s*\[\s*\{\s*['"](?:role|content)['"]\s*:\s*['"]"""
)  # ... and how they do where only their beginning is left
SPEAKS = re.compile(
    rf"""['"](?:role|from)['"]\s*:\s*['"]\s*(?:{"|".join((*ROLE_NAMES, *TOOL_ROLES))})\s*['"]""",
    re.IGNORECASE,
)
SAYS = re.compile(r"""['"](?:content|value|text|parts)['"]\s*:""")
SPEAKER, SAID = ("role", "from"), ("content", "value", "text")
MARKS = (
    "weight",
    "train",
    "training",
    "trainable",
    "loss",
)  # of OpenAI, axolotl, ms-swift: is this answer learnt?
CALLS = ("tool_calls", "function_call", "tool_call", "functions")
MEDIA = ("audio", "audios", "image", "images", "video", "videos")
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}


class Turn(NamedTuple):
    """A message, and whether its row says that it is to be learnt (True unless it is marked otherwise)."""

    message: Message
    learnt: bool


def is_hh(value: Any) -> bool:
    """Is this a conversation in Anthropic's HH notation, with or without the blank lines at its beginning?"""
    return isinstance(value, str) and (
        HH_TURN.match(value) is not None or (value.startswith("Human:") and "\n\nAssistant:" in value)
    )


def hh_messages(value: str) -> tuple[Message, ...]:
    """Turns of an HH string (Bai et al. 2022). Two assistant turns in a row are one in two paragraphs."""
    pieces = HH_TURN.split("\n\n" + value.lstrip())
    found: list[Message] = []
    for speaker, body in zip(pieces[1::2], pieces[2::2], strict=True):
        role: Role = "user" if speaker == "Human" else "assistant"
        if found and found[-1].role == role == "assistant":
            body = found.pop().content + "\n\n" + body.strip()
        found.append(Message(role, body.strip()))
    return tuple(found)


def unpacked(value: Any, column: str) -> Any:
    """Messages that stand in a cell as text, as JSON or as Python spells them; any other value as it is.

    Raises:
        DataError: text that begins as messages do and cannot be read as such (cut off, or as NumPy prints an
            array).
    """
    if (
        isinstance(value, str)
        and value.startswith(('"[', '"{'))
        and isinstance(inside := parsed(value, '"'), str)
    ):  # written as JSON twice
        twice = unpacked(inside, column)
        return value if twice is inside else twice
    if not (
        isinstance(value, str)
        and BEGINS.match(value)
        and (CUT.match(value) or (SPEAKS.search(value) and SAYS.search(value)))
    ):
        return value
    inside = parsed(value, "[{")
    if inside is None:
        raise DataError(
            f"{column} holds messages as text that cannot be read ({shown(value)})",
            remedy=(
                "write the cell as JSON, or the file as JSONL or Parquet; what NumPy and others print "
                "cannot be read back"
            ),
        )
    found = [inside] if isinstance(inside, Mapping) else inside
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        return value
    return inside if any(_is_message(item) for item in found) else value


def spells_messages(value: str) -> bool:
    """Whether a text alone would be read as messages, or refused as a broken spelling of them."""
    try:
        return unpacked(value, "") is not value
    except DataError:
        return True


def _is_message(value: Mapping[str, Any]) -> bool:
    speakers = [value[name].strip().lower() for name in SPEAKER if isinstance(value.get(name), str)]
    return any(name in ROLE_NAMES or name in TOOL_ROLES for name in speakers) and any(
        name in value and isinstance(value[name], str | list | None) for name in (*SAID, "parts")
    )


def turns(value: Any, column: str, row: Row | None = None) -> list[Turn]:
    """Turns from a text (HH notation, messages as JSON, or one user turn), one message, or a list of
    role/content or from/value messages.

    Args:
        row: where fields of messages that nobody reads are noted.

    Raises:
        DataError: no such thing, a role that is not read, or a part of a message that cannot be rendered.
    """
    value = unpacked(value, column)
    if isinstance(value, str):
        whole = text(value, column)
        spoken = hh_messages(whole) if is_hh(whole) else (Message("user", whole),)
        return [Turn(message, True) for message in spoken]
    found = [value] if isinstance(value, Mapping) else value
    if not isinstance(found, list) or not found:
        raise DataError(f"{column} must be text or a list of messages, not {shown(value)}")
    return [_turn(part, column, row) for item in found for part in _parts(item)]


def messages(value: Any, column: str, row: Row | None = None) -> tuple[Message, ...]:
    """As `turns`, without what is to be learnt."""
    return tuple(turn.message for turn in turns(value, column, row))


def _parts(item: Any) -> list[Any]:
    """The messages of one entry: two where it is a question with its answer (Capybara). NaN in a field is how
    pandas writes one that is not there.
    """
    if not isinstance(item, Mapping):
        return [item]
    item = {name: value for name, value in item.items() if not is_nan(value)}
    if item.keys() - {"output"} != {"input"}:
        return [item]
    pair = {"role": "user", "content": item["input"]}, {"role": "assistant", "content": item.get("output")}
    return [message for message in pair if message["content"] is not None]


def _turn(item: Any, column: str, row: Row | None) -> Turn:
    if not isinstance(item, Mapping) or not any(name in item for name in SPEAKER):
        raise DataError(
            f"{column} holds {shown(item)}, which is not a message",
            remedy='a message is {"role": "user", "content": "..."}',
        )
    try:
        role = role_of(next((item[name] for name in SPEAKER if item.get(name)), None))
    except DataError as error:
        raise DataError(f"{column} has {error.what}", remedy=error.remedy) from error
    for names, what, remedy in (
        (CALLS, "a call of a tool", "take conversations with tools out"),
        (MEDIA, "no text", "alignlab reads text only"),
        (
            THOUGHTS,
            "a thought apart from what is said",
            "write it into the content as the model is to write it (<think>...</think>), or take it out",
        ),
    ):
        if part := next((name for name in names if holds_something(item.get(name))), ""):
            raise DataError(f"a message of {column} has {part}: {what}", remedy=remedy)
    said = next((name for name in SAID if item.get(name) is not None), "")
    content = _content(item.get(said)) if said or item.get("refusal") is None else ""
    if isinstance(refusal := item.get("refusal"), str) and refusal.strip():
        if content.strip():
            raise DataError(
                f"a message of {column} has both content and refusal",
                remedy="keep the one that is the answer",
            )
        content = text(refusal, "a message's refusal")
    if row is not None:
        row.left_in(column, item, (*SPEAKER, said, "refusal", *MARKS), marks=True)
    return Turn(
        Message(role, content),
        role != "assistant" or (row is not None and row.prompt_only) or _learnt(item, column),
    )


def _learnt(item: Mapping[str, Any], column: str) -> bool:
    """Whether an answer is to be learnt, by its marks."""
    if holds_something(item.get("train_detail")):
        raise DataError(
            f"a message of {column} marks parts of itself (train_detail)",
            remedy="a message is learnt whole or not at all: mark it with train",
        )
    for mark in MARKS:
        if holds_something(value := item.get(mark)) and flag(value) is None:
            raise DataError(
                f"a message of {column} has the {mark} {shown(value)}",
                remedy="1 or true for an answer that is learnt, 0 or false for one that is not",
            )
    return all(flag(item.get(mark)) is not False for mark in MARKS)


def _content(value: Any) -> str:
    """A turn's text: a string, or a list of parts that are text."""
    if not isinstance(value, list):
        return text(value, "a message's content")
    if not all(isinstance(part, Mapping) and part.get("type") in TEXT_PARTS for part in value):
        raise DataError(
            f"a message holds parts that are not text ({shown(value)})", remedy="alignlab reads text only"
        )
    return "".join(text(part.get(TEXT_PARTS[part["type"]]), "a message part") for part in value)


def last_learnt(found: Sequence[Turn]) -> int:
    """The place of the last answer that is to be learnt; -1 if there is none."""
    return max(
        (i for i, turn in enumerate(found) if turn.message.role == "assistant" and turn.learnt), default=-1
    )
