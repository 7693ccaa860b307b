"""How tasks of annotation tools are read: Label Studio's pairs and rankers, Argilla's rankings. One task may
hold what several people said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import DataError
from ...records import Completion, Prompt, Ranking, Record
from .messages import messages
from .readers import Useless, Want, whole
from .rows import Row
from .values import items, number, shown, text, truth

PROMPT_FIELDS = ("messages", "prompt", "question", "instruction", "text")
NOBODY = "a task that nobody has annotated"


def read_label_studio(row: Row, want: Want) -> list[Record]:
    """A task with `annotations`: one of type `pairwise` selects `left` or `right` of two texts, one of type
    `ranker` lists the ids of `items`, best first.
    """
    data = _mapping(row["data"], "data")
    row.pass_over(list(row))
    prompt = _prompt(data, row)
    if want == "prompt":
        return [prompt]
    listed = data.get("items")
    if listed is not None:
        found = [_mapping(item, "data.items") for item in items(listed, "data.items")]
        answers = {str(item.get("id")): item.get("body") or item.get("title") or "" for item in found}
        if len(answers) < len(found):
            raise DataError("two of data.items have the same id")
        finished, sources = _each(found, "finished", True), _each(found, "source", "")
    else:
        answers = {name: data[name] for name in _two(data)}
        finished, sources = data.get("finished") or [True, True], data.get("sources") or ["", ""]
    completions = _completions(prompt, list(answers.values()), finished, sources)
    records: list[Record] = []
    for annotation in items(row.columns.get("annotations"), "annotations"):
        said = _mapping(annotation, "an annotation")
        if said.get("was_cancelled"):
            continue
        for result in items(said.get("result"), "annotations.result"):
            ranks = _label_studio_ranks(_mapping(result, "a result"), list(answers))
            if ranks:
                who = data.get("annotator") or said.get("completed_by") or ""
                records.append(Ranking(prompt, completions, ranks, _person(who)))
    if not records:
        raise Useless(NOBODY)
    return records


def _label_studio_ranks(result: Mapping[str, Any], ids: Sequence[str]) -> tuple[int, ...]:
    """The ranks that a result gives; none if it is of another type."""
    value = result.get("value")
    if result.get("type") == "pairwise":
        selected = _mapping(value, "a pairwise result").get("selected")
        if selected not in ("left", "right"):
            raise DataError(f"a pairwise result selects left or right, not {shown(selected)}")
        return (1, 2) if selected == "left" else (2, 1)
    if result.get("type") != "ranker":
        return ()
    order = _mapping(value, "a ranker result").get("ranker")
    if isinstance(order, Mapping):
        raise Useless("answers that were sorted into buckets")
    listed = [str(one) for one in items(order, "ranker")]
    if sorted(listed) != sorted(ids):
        raise DataError(f"a ranker lists {shown(listed)}, and the items are {shown(list(ids))}")
    return tuple(1 + listed.index(id) for id in ids)


def read_argilla(row: Row, want: Want) -> list[Record]:
    """A record with `fields` and `responses`: a ranking question's value lists fields or options with their
    ranks, an equal rank for a tie.
    """
    fields = _mapping(row["fields"], "fields")
    row.pass_over(list(row))
    prompt = _prompt(fields, row)
    if want == "prompt":
        return [prompt]
    asked = next(name for name in PROMPT_FIELDS if fields.get(name) is not None)
    answers = {name: value for name, value in fields.items() if name != asked and value is not None}
    about = row.columns.get("metadata") or {}
    finished = about.get("finished") or [True] * len(answers)
    sources = about.get("sources") or [""] * len(answers)
    completions = _completions(prompt, list(answers.values()), finished, sources)
    records: list[Record] = []
    for response in _responses(row.columns.get("responses")):
        if response.get("status") in ("draft", "discarded"):
            continue
        given: dict[str, int] = {}
        for one in response["value"]:
            given[str(one.get("value"))] = int(number(one.get("rank"), "rank"))
        if given.keys() != answers.keys():
            raise DataError(
                f"a response ranks {shown(sorted(given))}, and the answers are {shown(sorted(answers))}"
            )
        ranks = tuple(given[name] for name in answers)
        who = about.get("annotator") or response.get("user_id") or ""
        records.append(Ranking(prompt, completions, ranks, _person(who)))
    if not records:
        raise Useless(NOBODY)
    return records


def _responses(value: Any) -> Iterator[Mapping[str, Any]]:
    """The responses to ranking questions."""
    for listed in _mapping(value or {}, "responses").values():
        for response in items(listed or [], "responses"):
            said = _mapping(response, "a response")
            ranked = said.get("value")
            if isinstance(ranked, list) and all(isinstance(one, Mapping) and "rank" in one for one in ranked):
                yield said


# --- what both have


def _prompt(fields: Mapping[str, Any], row: Row) -> Prompt:
    for name in PROMPT_FIELDS:
        if fields.get(name) is not None:
            return whole(messages(fields[name], name, row), row)
    raise DataError(f"no prompt: none of {', '.join(PROMPT_FIELDS)} among {shown(sorted(map(str, fields)))}")


def _two(data: Mapping[str, Any]) -> list[str]:
    for name in ("text", "answer", "response"):
        two = [f"{name}{number}" for number in (1, 2)]
        if all(data.get(one) is not None for one in two):
            return two
    raise DataError("no two texts to compare", remedy="data.text1 and data.text2, or data.items")


def _completions(
    prompt: Prompt, texts: Sequence[Any], finished: Sequence[Any], sources: Sequence[Any]
) -> tuple[Completion, ...]:
    if not len(texts) == len(finished) == len(sources):
        raise DataError(f"{len(texts)} answers have {len(finished)} `finished` and {len(sources)} sources")
    return tuple(
        Completion(
            prompt, text(words, "an answer"), finished=truth(ended, "finished", True), source=_person(by)
        )
        for words, ended, by in zip(texts, finished, sources, strict=True)
    )


def _each(found: Sequence[Mapping[str, Any]], name: str, otherwise: Any) -> list[Any]:
    return [otherwise if item.get(name) is None else item[name] for item in found]


def _person(value: Any) -> str:
    return text(value, "a name") if isinstance(value, str) else shown(value)


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{what} must be an object, not {shown(value)}")
    return value
