"""Values of a row -> texts, numbers, lists and truths, or a `DataError` that names the column."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from typing import Any

from ...errors import DataError

LABELS: dict[str, bool] = {  # words for liked and disliked, as `flag` spells them
    **dict.fromkeys(
        (
            "true",
            "1",
            "1.0",
            "+1",
            "yes",
            "y",
            "good",
            "desirable",
            "desired",
            "chosen",
            "preferred",
            "accepted",
            "accept",
            "positive",
            "pos",
            "liked",
            "like",
            "thumbs up",
            "thumbsup",
            "up",
            "upvote",
            "correct",
            "right",
            "\U0001f44d",
        ),
        True,
    ),
    **dict.fromkeys(
        (
            "false",
            "0",
            "0.0",
            "-1",
            "-1.0",
            "no",
            "n",
            "bad",
            "undesirable",
            "undesired",
            "rejected",
            "dispreferred",
            "reject",
            "negative",
            "neg",
            "disliked",
            "dislike",
            "thumbs down",
            "thumbsdown",
            "down",
            "downvote",
            "incorrect",
            "wrong",
            "\U0001f44e",
        ),
        False,
    ),
}
LABEL_WORDS = (
    "true, yes, good, desirable, chosen, liked, thumbs up, 1 and false, no, bad, undesirable, rejected, "
    "disliked, "
    "thumbs down, 0, -1"
)
DEEP = 60  # levels of lists and objects in a note; JSON's own writer gives up near a thousand


def shown(value: Any, most: int = 60) -> str:
    """A value as an error shows it, whatever it is: `repr` itself fails for whole numbers and nested lists
    beyond a size.
    """
    try:
        return f"{value!r:.{most}}"
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to show"


def is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def text(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{column} must be text, not {type(value).__name__} ({shown(value)})")
    if "\0" in value:
        raise DataError(
            f"{column} holds a NUL character ({shown(value)})",
            remedy="take the NUL characters out of the file",
        )
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise DataError(
            f"{column} holds half of a surrogate pair ({shown(value)}): no text encoding can write it",
            remedy="write the file again with whole characters",
        )
    return value


def number(value: Any, column: str) -> float:
    """A finite number, also one that a text spells (CSV) or a decimal (Parquet); a whole number beyond a
    float's range is none.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, ArithmeticError):  # no number, a signalling NaN, 400 digits
        found = math.nan
    if not math.isfinite(found):
        raise DataError(
            f"{column} must be a finite number, not {shown(value)}",
            remedy="mend the number, or take the row out",
        )
    return found


def items(value: Any, column: str) -> list[Any]:
    """A list, also one that stands in a cell as text: JSON, or Python's spelling of it."""
    if isinstance(value, str) and isinstance(inside := parsed(value, "["), list):
        return inside
    if not isinstance(value, list):
        in_a_cell = 'as JSON in its cell (["a", "b"]), or in a file of JSONL, JSON or Parquet'
        raise DataError(
            f"{column} must be a list, not {type(value).__name__} ({shown(value)})",
            remedy=in_a_cell if isinstance(value, str) else "",
        )
    return value


def parsed(value: str, begins: str) -> Any:
    """What a text spells in JSON or in Python (as CSV writers leave lists), if it begins with one of these
    characters; else None.
    """
    body = value.strip()
    if body[:1] not in tuple(begins):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(body)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass
    return None


def flag(value: Any) -> bool | None:
    """True or false however it is spelled (`LABELS`: bool, 0 and 1, words); None for anything else."""
    if isinstance(value, str):
        word = " ".join(value.casefold().replace("_", " ").split())
        return LABELS.get(word, LABELS.get(word.replace("-", " ")))
    try:
        return {1: True, 0: False, -1: False}.get(value)
    except (TypeError, ValueError):  # a list; a decimal that is no number
        return None


def truth(value: Any, column: str, otherwise: bool) -> bool:
    """A flag that may be missing. Raises DataError for one that is neither true nor false."""
    if value is None or value == "":
        return otherwise
    if (found := flag(value)) is None:
        raise DataError(
            f"{column} must be true or false, not {shown(value)}",
            remedy=f"--columns {column}= if the column means something else",
        )
    return found


def plain(value: Any, depth: int = 0) -> Any:
    """A value of any file as JSON holds it: dates and decimals as text, halves of surrogate pairs replaced,
    bytes left out.
    """
    if depth > DEEP:
        raise DataError(
            f"lists and objects more than {DEEP} deep", remedy="write the row flatter, or take it out"
        )
    if isinstance(value, Mapping):
        return {plain(str(name)): plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, depth + 1) for inner in value]
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int | float):
        return value
    return None if isinstance(value, bytes) else str(value)
