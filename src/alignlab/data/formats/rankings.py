"""How formats of rankings are read: several completions of a prompt with their ranks, scores or order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import DataError
from ...records import PER_COMPLETION, Completion, Prompt, Ranking, Record, ranks_from_scores
from .readers import Useless, Want, completion, prompt_of
from .rows import COMPLETION_LISTS, COMPLETIONS, SCORE_LISTS, Row, columns_of, holds_something
from .values import flag, items, number, shown, text, truth

STRENGTHS = ("preference_strength", "overall_preference")
"""HelpSteer: below 0 where the first of two is better, 0 for a tie."""
ITEM_SCORES = ("overall_score", "score", "rating", "fine-grained_score")
# names of columns before their number or letter
ANSWER, SCORE = "(?:answer|response|human_ref)", r"(?:.*_)?(?:score|rating)"


@dataclass(slots=True)
class _Ranked:
    """What a ranking is made of: completions with ranks (1 is best) or, without them, scores (more is
    better).
    """

    texts: Sequence[str]
    ranks: Sequence[Any] | None = None
    scores: Sequence[Any] | None = None
    sources: Any = None
    labels: dict[str, Any] = field(default_factory=dict)  # what is known of each completion beside the order

    def records(self, prompt: Prompt, row: Row) -> list[Record]:
        count = len(self.texts)
        ended = items(row.get("finished") or [True] * count, "finished")
        finished = [truth(one, "finished", True) for one in ended]
        sources = items(self.sources or [""] * count, "sources")
        kind, order = "ranks", self.ranks
        if order is None:
            kind, order = "scores", self.scores
        if order is None:
            raise DataError("a ranking needs `ranks` or `scores`")
        if not len(order) == count == len(finished) == len(sources):
            raise DataError(
                f"{count} completions have {len(order)} {kind}, {len(finished)} `finished` and "
                f"{len(sources)} sources"
            )
        if None in order:
            raise Useless("a completion without a score")
        numbers = [number(value, "a rank or score") for value in order]
        notes = checked_notes(row.noted("ranking_meta") | self.labels, count)
        if kind == "scores":
            places = ranks_from_scores(numbers)
            notes["scores"] = numbers
        elif all(value.is_integer() for value in numbers):
            places = list(map(int, numbers))
        else:
            raise DataError(
                f"ranks must be whole numbers, not {shown(self.ranks)}",
                remedy="name the column `scores` if more is better",
            )
        completions = []
        for words, stopped, source in zip(self.texts, finished, sources, strict=True):
            completions.append(Completion(prompt, words, finished=stopped, source=_name(source)))
        return [Ranking(prompt, tuple(completions), tuple(places), _name(row.get("annotator")), notes)]


def _name(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return text(value, "the name of a source or annotator")
    return shown(value)


def checked_notes(notes: dict[str, Any], count: int, names: Sequence[str] = PER_COMPLETION) -> dict[str, Any]:
    """Notes of a ranking or a pair whose numbers training reads, looked at: a margin, and lists with one
    entry a completion.

    Raises:
        DataError: a number that is none, or a list that is not one entry a completion.
    """
    if (margin := notes.get("margin")) is not None:
        notes["margin"] = _counted(margin, "margin")
    for name in names:
        if (values := notes.get(name)) is None:
            continue
        if len(items(values, name)) != count:
            raise DataError(
                f"{count} completions have {len(values)} `{name}`", remedy="one a completion, or none"
            )
        if name == "safe":
            notes[name] = [None if value is None else truth(value, name, False) for value in values]
        else:
            notes[name] = [_counted(value, name) for value in values]
    return notes


def _counted(value: Any, name: str) -> Any:
    """A number as it is written (a whole one stays one), looked at."""
    as_float = number(value, name)
    return value if isinstance(value, int | float) else as_float


def read_ranking(row: Row, want: Want) -> list[Record]:
    """Completions as texts beside `ranks` or `scores`, or as objects that carry their own (UltraFeedback,
    Nectar).
    """
    prompt = prompt_of(row)
    column, score_column = row.first(COMPLETION_LISTS), row.first(SCORE_LISTS)
    if want == "prompt":
        row.pass_over([*COMPLETION_LISTS, *SCORE_LISTS, *COMPLETIONS, "ranks"])
        return [prompt]
    found = items(row[column], column)
    if found and all(isinstance(item, Mapping) and "role" not in item for item in found):
        for item in found:
            row.left_in(column, item, (*COMPLETIONS, "text", "rank", "annotations", "model", *ITEM_SCORES))
        return _objects(found, column).records(prompt, row)
    texts = [completion(item, f"a text in {column}", prompt, row) for item in found]
    ranks = items(row["ranks"], "ranks") if holds_something(row.columns.get("ranks")) else None
    scores = None
    if score_column:
        scores = items(row[score_column], score_column)
    return _Ranked(texts, ranks, scores, row.get("sources") or row.get("models")).records(prompt, row)


def _objects(found: Sequence[Mapping[str, Any]], column: str) -> _Ranked:
    keys = [next((name for name in (*COMPLETIONS, "text") if name in columns_of(item)), "") for item in found]
    texts = [text(item.get(key), f"a text in {column}") for item, key in zip(found, keys, strict=True)]
    ranked = _Ranked(texts, sources=[item.get("model") or "" for item in found])
    if found and all("rank" in item for item in found):
        ranked.ranks = [item["rank"] for item in found]
    else:
        ranked.scores = list(map(_item_score, found))
    return ranked


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _item_score(item: Mapping[str, Any]) -> float | None:
    """UltraFeedback's overall score, or the mean of its ratings by aspect ("N/A" left out)."""
    if column := next((name for name in ITEM_SCORES if item.get(name) is not None), ""):
        return number(item[column], column)
    aspects = item.get("annotations")
    numbers: list[float] = []
    if not isinstance(aspects, Mapping):
        return None
    for aspect in filter(_is_table, aspects.values()):
        rating = aspect.get("Rating")
        if not isinstance(rating, str) or re.fullmatch(r"[0-9]+(\.[0-9]+)?", rating):
            numbers.append(number(rating, "Rating"))
    return sum(numbers) / len(numbers) if numbers else None


def read_best_first(row: Row, want: Want) -> list[Record]:
    prompt = prompt_of(row)
    texts = [text(one, "a text in output") for one in row["output"]]
    return _Ranked(texts, range(1, len(texts) + 1)).records(prompt, row)


def numbered(row: Row, name: str) -> dict[str, str]:
    """Columns like `answer1` or `answer_a` by their number or letter."""
    found = ((re.fullmatch(rf"{name}_?([0-9ab])", column.lower()), column) for column in row.columns)
    return {match[1]: column for match, column in found if match}


def read_numbered(row: Row, want: Want) -> list[Record]:
    """`answer1`, `answer2` with `score1`, `score2` (Vicuna reviews, WebGPT), or two responses and the better
    one's number (PKU).
    """
    prompt, answers, scores = prompt_of(row), numbered(row, ANSWER), numbered(row, SCORE)
    if want == "prompt":
        row.pass_over([*answers.values(), *scores.values(), "better_response_id", *STRENGTHS])
        return [prompt]
    places = sorted(answers)
    texts = [completion(row[answers[place]], f"answer {place}", prompt, row) for place in places]
    models = numbered(row, "model")
    labels: dict[str, Any] = {}
    safe = [f"is_response_{place}_safe" for place in places]
    if set(safe) <= row.columns.keys():
        labels["safe"] = [flag(row[column]) for column in safe]
    safer = _name(row.get("safer_response_id"))
    if safer in places:
        labels["safer"] = [1 if place == safer else 2 for place in places]
    sources = [row[models[place]] if place in models else "" for place in places]
    found = _Ranked(texts, sources=sources, labels=labels)
    if set(places) <= scores.keys():
        found.scores = [row[scores[place]] for place in places]
        return found.records(prompt, row)
    if column := row.first(STRENGTHS):
        strength = number(row[column], column)
        found.ranks = [1 + (strength > 0), 1 + (strength < 0)]
        return found.records(prompt, row)
    better = _name(row["better_response_id"])
    if better not in places:
        raise DataError(f"better_response_id is {better:.40}, but the responses are {', '.join(places)}")
    found.ranks = [1 if place == better else 2 for place in places]
    return found.records(prompt, row)
