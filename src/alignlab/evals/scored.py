"""Scorers by name: an answer is held against a column of its prompt's row.

    exact:answer      the answer is the column's text, but for blank space at both ends
    contains:answer   it contains that text, in capitals or small letters
    number:answer     the last number in it is the last number in the column
    regex:pattern     the column's regular expression matches somewhere in it

A column may hold a list: one that fits is enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..errors import DataError
from ..models.patterns import why_harmful
from ..records import Completion, Prompt, Score
from .tasks import Task, Words, columns_of

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")


def last_number(text: str) -> float | None:
    """The last number in a text, thousands with or without commas."""
    numbers = NUMBER.findall(text)
    return float(numbers[-1].replace(",", "")) if numbers else None


def exact(answer: str, reference: str) -> bool:
    return answer.strip() == reference.strip()


def contains(answer: str, reference: str) -> bool:
    return reference.strip().casefold() in answer.casefold()


def number(answer: str, reference: str) -> bool:
    wanted = last_number(reference)
    return wanted is not None and last_number(answer) == wanted


def regex(answer: str, reference: str) -> bool:
    return re.search(reference, answer) is not None


SCORERS: dict[str, tuple[Callable[[str, str], bool], str]] = {
    "exact": (exact, "the answer is the text in {column}, but for blank space at both ends"),
    "contains": (contains, "the answer contains the text in {column}, in capitals or small letters"),
    "number": (number, "the last number in the answer is the last number in {column}"),
    "regex": (regex, "the regular expression in {column} matches somewhere in the answer"),
}
"""By name: whether an answer fits a reference, and that in words."""


def scored(scorer: str, column: str) -> Task:
    """The task SCORER:COLUMN."""
    fits, meaning = SCORERS[scorer]
    meaning = meaning.format(column=column)

    def question(prompt: Prompt) -> Prompt:
        references = _references(prompt, column)
        if scorer == "regex":
            _check_patterns(references)
        elif scorer == "number" and all(last_number(text) is None for text in references):
            raise DataError(f"the column {column!r} holds no number")
        return prompt

    def score(completion: Completion) -> Score:
        references = _references(completion.prompt, column)
        right = any(fits(completion.text, reference) for reference in references)
        wanted = " or ".join(reference[:80] for reference in references[:3])
        return Score(float(right), reason=f"{'as' if right else 'not as'} {column} says: {wanted}")

    return Task(
        f"{scorer}:{column}",
        figure="accuracy",
        needs=f"rows of a prompt and a column {column!r}",
        question=question,
        score=score,
        words=Words(
            note="Prompts: {data}, n = {n}. Right: " + meaning + ".",
            heads={"accuracy": "right"},
            glossary=[("right", f"The share of prompts for which {meaning}.")],
            knows=True,
        ),
    )


def _references(prompt: Prompt, column: str) -> list[str]:
    (value,) = columns_of(prompt, column)
    items = value if isinstance(value, list) else [value]
    references = [text for text in map(_text, items) if text.strip()]
    if not references:
        raise DataError(f"the column {column!r} is empty", remedy="fill it in, or take the row out")
    return references


def _text(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"a reference of {type(value).__name__}, and neither text nor a number")


def _check_patterns(patterns: list[str]) -> None:
    """Raise DataError for a pattern that is none, or that could take for ever: data may be anybody's."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise DataError(f"{pattern!r:.80} is no regular expression: {error}") from None
        if why := why_harmful(pattern):
            raise DataError(f"the regular expression {pattern!r:.80} is not run: {why}")
