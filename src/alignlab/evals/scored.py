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
    found = NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def exact(answer: str, reference: str) -> bool:
    return answer.strip() == reference.strip()


def contains(answer: str, reference: str) -> bool:
    return reference.strip().casefold() in answer.casefold()


def number(answer: str, reference: str) -> bool:
    found, wanted = last_number(answer), last_number(reference)
    return wanted is not None and found == wanted


def regex(answer: str, reference: str) -> bool:
    return re.search(reference, answer) is not None


RULES: dict[str, Callable[[str, str], bool]] = {
    "exact": exact,
    "contains": contains,
    "number": number,
    "regex": regex,
}
SAYS = {
    "exact": "the answer is the text in {column}, but for blank space at both ends",
    "contains": "the answer contains the text in {column}, in capitals or small letters",
    "number": "the last number in the answer is the last number in {column}",
    "regex": "the regular expression in {column} matches somewhere in the answer",
}


def scored(scorer: str, column: str) -> Task:
    """The task SCORER:COLUMN."""
    rule = RULES[scorer]

    def question(prompt: Prompt) -> Prompt:
        references = _references(prompt, column)
        if scorer == "regex":
            _check_patterns(references)
        elif scorer == "number" and not any(last_number(text) is not None for text in references):
            raise DataError(f"the column {column!r} holds no number")
        return prompt

    def score(completion: Completion) -> Score:
        references = _references(completion.prompt, column)
        right = any(rule(completion.text, reference) for reference in references)
        wanted = " or ".join(reference[:80] for reference in references[:3])
        return Score(float(right), reason=f"{'as' if right else 'not as'} {column} says: {wanted}")

    meaning = SAYS[scorer].format(column=column)
    return Task(
        f"{scorer}:{column}",
        figure="accuracy",
        needs=f"rows of a prompt and a column {column!r}",
        question=question,
        score=score,
        words=Words(
            note="Prompts: {data}, n = {n}. Right: " + meaning + ".",
            heads={"accuracy": "right, greedy", "accuracy_sampled": "right, T = 1"},
            glossary=[("right", f"The share of prompts for which {meaning}.")],
            knows=True,
        ),
    )


def _references(prompt: Prompt, column: str) -> list[str]:
    (value,) = columns_of(prompt, column)
    references = [_text(item) for item in (value if isinstance(value, list) else [value])]
    if not any(text.strip() for text in references):
        raise DataError(f"the column {column!r} is empty", remedy="fill it in, or take the row out")
    return [text for text in references if text.strip()]


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
