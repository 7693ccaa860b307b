"""Fields of a request body: each is read as one kind of value within its bounds, or refused with what it may
be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .refusal import Refusal

MOST_STOPS, MOST_STOP = 16, 256  # stop texts, and characters of one: each is looked for at every token
MOST_TOP = 20  # likeliest tokens shown beside each token


def stops(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    texts = row.get("stop")
    if texts is None:
        return None
    if isinstance(texts, str):
        texts = [texts]
    if (
        not isinstance(texts, list)
        or len(texts) > MOST_STOPS
        or not all(isinstance(text, str) and 0 < len(text) <= MOST_STOP for text in texts)
    ):
        raise Refusal(
            400,
            (
                f"stop must be a text or a list of at most {MOST_STOPS} texts, none empty or longer than "
                f"{MOST_STOP} characters; [] = none"
            ),
            param="stop",
        )
    return tuple(map(whole, texts))


def top(row: Mapping[str, Any], *, chat: bool) -> int | None:
    if not chat:
        if isinstance(row.get("logprobs"), bool):
            return 0 if row["logprobs"] else None
        top = integer(row, "logprobs", -1, 0, MOST_TOP)
        return None if top < 0 else top
    wanted, top = truth(row, "logprobs"), integer(row, "top_logprobs", 0, 0, MOST_TOP)
    if top and not wanted:
        raise Refusal(400, "top_logprobs means nothing without logprobs: true", param="top_logprobs")
    return top if wanted else None


def integer(row: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = row.get(name)
    if value is None:
        return default
    if type(value) is not int or not low <= value <= high:
        raise Refusal(
            400, f"{name} is {shown(value)}; it must be a whole number from {low} to {high}", param=name
        )
    return value


def number(
    row: Mapping[str, Any], name: str, default: float, low: float, high: float, *, above: bool = False
) -> float:
    value = row.get(name)
    if value is None:
        return default
    if type(value) not in (int, float) or not low <= value <= high or (above and value == low):
        bounds = f"above {low:g} and at most {high:g}" if above else f"from {low:g} to {high:g}"
        raise Refusal(400, f"{name} is {shown(value)}; it must be a number {bounds}", param=name)
    return float(value)


def truth(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refusal(400, f"{name} is {shown(value)}; it must be true or false", param=name)
    return bool(value)


def shown(value: Any) -> str:
    """A value for a message: short, and of what holds others only that it does (it may be nested deeper than
    can be written).
    """
    if isinstance(value, list | dict):
        return f"a JSON {type(value).__name__}"
    if isinstance(value, str):
        value = value[:60]
    return json.dumps(value)[:62]


def whole(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, of which JSON can hold one and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text
