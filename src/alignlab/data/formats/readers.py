"""How each format of the field is read: a row -> records of the kind that its format holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonprefix
from typing import Any, Literal, get_args

from ...errors import DataError
from ...records import (
    PER_COMPLETION,
    Comparison,
    Completion,
    Demonstration,
    Message,
    Prompt,
    Ranking,
    Record,
    Text,
    Unpaired,
    check_label,
    ranks_from_scores,
)
from .messages import HH_TURN, Turn, is_hh, last_learnt, messages, turns, unpacked
from .rows import (
    CHATS,
    COMPLETION_LISTS,
    COMPLETIONS,
    HISTORIES,
    INPUTS,
    LABEL_COLUMNS,
    PROMPTS,
    PROMPTS_BESIDE,
    SCORE_LISTS,
    SYSTEMS,
    Row,
    columns_of,
    holds_something,
)
from .values import LABEL_WORDS, flag, items, number, shown, text, truth

Want = Literal["text", "prompt", "demonstration", "comparison", "ranking", "unpaired"]
WANTS: tuple[Want, ...] = get_args(Want)
ITEM_SCORES = ("overall_score", "score", "rating", "fine-grained_score")
ANSWER, SCORE = (
    "(?:answer|response|human_ref)",
    r"(?:.*_)?(?:score|rating)",
)  # names of columns before their number or letter
STRENGTHS = (
    "preference_strength",
    "overall_preference",
)  # HelpSteer: below 0 where the first of two is better, 0 for a tie
GUESSED = "prompts guessed from what chosen and rejected both begin with"
NEGATIVE = "pairs have a margin below 0: somebody liked what is rejected better"
CUT_BACK = "conversations cut back to the last answer that is to be learnt"
NOT_LEARNT = "marked as not to be learnt"


class Useless(Exception):
    """A sound row with nothing to learn from; its text is the reason, in the words of the load report."""


# --- prompts
# ------------------------------------------------------------------------------------------------------------------------


def whole(found: Sequence[Message], row: Row) -> Prompt:
    """The prompt of these turns, with what other columns say before them: a system message, earlier turns."""
    if not found or found[-1].role != "user":
        last = f"not the {found[-1].role}'s" if found else "but nothing stands before the answer"
        raise DataError(
            f"a prompt must end with the user's turn, {last}",
            remedy="mend the order of the turns, or take the row out",
        )
    opened = found[0].role == "system"
    column = row.first(SYSTEMS, filled=True)
    if column and opened:
        if row.columns[column] == found[0].content:
            row.pass_over([column])
        else:
            row.instead[column] = "the system turn of the messages"
    elif column:
        found, opened = (Message("system", text(row[column], column)), *found), True
    found = (*found[:opened], *_history(row), *found[opened:])
    row.of_prompt |= row.read
    return Prompt(tuple(found), row.notes_on_prompt)


def _history(row: Row) -> list[Message]:
    """Earlier turns that stand in a column of their own: LLaMA-Factory's pairs, or messages."""
    column = row.first(HISTORIES, filled=True)
    value = unpacked(row.columns.get(column), column)
    if (
        not column
        or column in row.read
        or (isinstance(value, str) and not is_hh(value) and not value.lstrip().startswith("["))
    ):
        return []  # a transcript in a notation of its own is none that we could cut into turns
    row.pass_over([column])
    if is_hh(value) or (isinstance(value, list) and value and isinstance(value[0], Mapping)):
        return list(messages(value, column, row))
    found = []
    for pair in items(value, column):
        if not isinstance(pair, list) or len(pair) != 2:
            raise DataError(
                f"{column} holds pairs of an instruction and its answer, not {shown(pair)}",
                remedy=f"--columns {column}= if the column means something else",
            )
        found += [Message("user", text(pair[0], column)), Message("assistant", text(pair[1], column))]
    return found


def prompt_of(row: Row) -> Prompt:
    """The prompt of a row: messages, or a text with what it is about (Alpaca's `input`, a question's
    `context`) below it.
    """
    column = row.first(PROMPTS) or row.first(PROMPTS_BESIDE)
    value = row[column]
    as_text = column == "instruction" and isinstance(
        unpacked(value, column), str | None
    )  # a task may begin as HH's turns do
    found = (Message("user", text(value, column)),) if as_text else messages(value, column, row)
    if is_hh(value) and len(found) > 1 and found[-1] == Message("assistant", ""):
        found = found[:-1]  # HH prompts end with the cue "Assistant:"
    elif column in PROMPTS[1:] and len(found) == 1 and found[0].role == "user" and not is_hh(value):
        about = row.first(
            [name for name in INPUTS if column == "instruction" or isinstance(row.columns.get(name), str)],
            filled=True,
        )
        parts = [found[0].content, text(row[about], about) if about else ""]
        found = (Message("user", "\n".join(part for part in parts if part)),)
    return whole(found, row)


def completion(value: Any, column: str, prompt: Prompt, row: Row | None = None) -> str:
    """A completion's text; a conversation that starts with the prompt's own turns gives what comes after
    them.
    """
    value = unpacked(value, column)
    if isinstance(value, str) and not HH_TURN.match(value):
        return text(value, column)
    *earlier, last = turns(value, column, row)
    before = tuple(
        turn.message for turn in earlier
    )  # all of the prompt's, or those after a system turn that has a column of its own
    if last.message.role != "assistant" or before != prompt.messages[len(prompt.messages) - len(before) :]:
        said = ", ".join(turn.message.role for turn in (*earlier, last))
        raise DataError(
            f"{column} must be text or one assistant turn, not the turns {said}",
            remedy="put the earlier turns into `prompt`",
        )
    return _to_learn(last)


def _to_learn(turn: Turn) -> str:
    if not turn.learnt:
        raise Useless(NOT_LEARNT)
    return turn.message.content


# --- texts, prompts, demonstrations
# -------------------------------------------------------------------------------------------------


def read_string(row: str, want: Want) -> list[Record]:
    whole_text = text(row, "the row")
    return [Text(whole_text)] if want == "text" else [whole(messages(whole_text, "the row"), Row({}))]


def read_text(row: Row, want: Want) -> list[Record]:
    return [Text(text(row["text"], "text"), row.notes_on_prompt)]


def read_prompt(row: Row, want: Want) -> list[Record]:
    return [prompt_of(row)]


def conversation(row: Row, want: Want) -> list[Record]:
    """The last assistant turn that is to be learnt as a demonstration; as a prompt, a conversation that ends
    with the user stays whole.
    """
    column = row.first(CHATS)
    found = _chat(row, column)
    said = [turn.message for turn in found]
    answers = [i for i, message in enumerate(said) if message.role == "assistant"]
    if not answers or (want == "prompt" and said[-1].role == "user"):
        return [whole(said, row)]
    place = last_learnt(found)
    if place < 0:
        raise Useless(NOT_LEARNT)
    if place != answers[-1]:
        row.remarks.append(CUT_BACK)
    return [Demonstration(whole(said[:place], row), said[place].content)]


def _answered(row: Row) -> tuple[Prompt, str]:
    prompt = prompt_of(row)
    column = row.first([name for name in COMPLETIONS if name not in row.of_prompt])
    if row.prompt_only:  # a reference answer may be anything: a number, a list of wordings
        row.pass_over([column])
        return prompt, ""
    return prompt, completion(row[column], column, prompt, row)


def _chat(row: Row, column: str) -> list[Turn]:
    value = unpacked(row[column], column)
    if value == []:
        raise Useless("empty conversation")
    if isinstance(value, str) and not is_hh(value):
        raise DataError(
            f"{column} must be a list of messages, not text ({shown(value)})",
            remedy=f"--columns prompt={column} if it is one question; a transcript has to be cut into messages",
        )
    return turns(value, column, row)


def read_demonstration(row: Row, want: Want) -> list[Record]:
    prompt, said = _answered(row)
    if not truth(row.get("finished"), "finished", True) and want != "prompt":
        raise Useless("unfinished completion")
    return [Demonstration(prompt, said, row.noted("completion_meta"))]


def read_instances(row: Row, want: Want) -> list[Record]:
    task = text(row["instruction"], "instruction")
    records: list[Record] = []
    for instance in items(row["instances"], "instances"):
        if not isinstance(instance, Mapping) or not {"input", "output"} <= instance.keys():
            raise DataError(f"an instance needs `input` and `output`, not {shown(instance)}")
        own = Row({"instruction": task, **instance})
        own.notes_on_prompt = row.notes_on_prompt
        records += read_demonstration(own, want)
        row.left_in("instances", instance, tuple(own.read))
    row.of_prompt |= row.read
    return records


# --- what was liked and what was not
# ------------------------------------------------------------------------------------------------


def _label(row: Row) -> bool:
    column = row.first(LABEL_COLUMNS)
    if (found := flag(row[column])) is None:
        raise DataError(
            f"{column} is {shown(row[column])}, and says neither liked nor disliked",
            remedy=f"known are {LABEL_WORDS}; --columns {column}= if the column means something else",
        )
    return found


def _unpaired(prompt: Prompt, said: str, row: Row) -> list[Record]:
    finished = truth(row.get("finished"), "finished", True)
    if row.prompt_only:  # whatever the label says
        row.pass_over(LABEL_COLUMNS)
        return [prompt]
    return [Unpaired(prompt, said, _label(row), finished)]


def read_unpaired(row: Row, want: Want) -> list[Record]:
    return _unpaired(*_answered(row), row)


def read_unpaired_conversation(row: Row, want: Want) -> list[Record]:
    [found] = conversation(row, want)
    if isinstance(found, Demonstration):
        return _unpaired(found.prompt, found.completion, row)
    if want == "prompt":
        return [found]
    raise DataError("a labelled conversation needs an assistant turn")


def _soft_label(value: Any) -> float | None:
    if not holds_something(value):
        return None
    try:
        return check_label(value if isinstance(value, bool) else number(value, "label"))
    except DataError:
        return check_label(value)  # whose words say what a soft label is


def _pair(prompt: Prompt, chosen: str, rejected: str, row: Row) -> list[Record]:
    margin = row.get("margin")
    if holds_something(margin) and number(margin, "margin") < 0:
        row.remarks.append(NEGATIVE)
    return [
        Comparison(
            prompt,
            chosen,
            rejected,
            number(margin, "margin") if holds_something(margin) else None,
            truth(row.get("tie"), "tie", False),
            truth(row.get("chosen_finished"), "chosen_finished", True),
            truth(row.get("rejected_finished"), "rejected_finished", True),
            _checked(row.noted("comparison_meta"), 2, ("safe",)),
            _soft_label(row.get("label")),
        )
    ]


def _with_earlier(prompt: Prompt, row: Row) -> Prompt:
    """With the turns before it, where `prompt` is one question of the conversation that both answers stand in
    (Capybara).
    """
    sides = [unpacked(row[name], name) for name in ("chosen", "rejected")]
    if not all(isinstance(side, list) and len(side) > len(prompt.messages) + 1 for side in sides):
        return prompt
    chosen, rejected = (messages(side, "chosen")[:-1] for side in sides)
    return (
        Prompt(chosen, prompt.meta) if chosen == rejected and set(prompt.messages) <= set(chosen) else prompt
    )


def read_preference(row: Row, want: Want) -> list[Record]:
    prompt = _with_earlier(prompt_of(row), row)
    return _pair(
        prompt,
        completion(row["chosen"], "chosen", prompt, row),
        completion(row["rejected"], "rejected", prompt, row),
        row,
    )


def read_sharegpt_preference(row: Row, want: Want) -> list[Record]:
    column = row.first(CHATS)
    prompt = whole([turn.message for turn in _chat(row, column)], row)
    return _pair(
        prompt,
        completion(row["chosen"], "chosen", prompt, row),
        completion(row["rejected"], "rejected", prompt, row),
        row,
    )


def read_implicit(row: Row, want: Want) -> list[Record]:
    """The prompt is what both conversations begin with."""
    values = [unpacked(row[name], name) for name in ("chosen", "rejected")]
    if all(isinstance(value, str) for value in values) and not is_hh(values[0]):
        return _read_implicit_strings(row)
    chosen, rejected = (
        turns(value, name, row) for value, name in zip(values, ("chosen", "rejected"), strict=True)
    )
    same = 0
    while same < min(len(chosen), len(rejected)) - 1 and chosen[same].message == rejected[same].message:
        same += 1
    if any([turn.message.role for turn in side[same:]] != ["assistant"] for side in (chosen, rejected)):
        raise Useless("chosen and rejected answer different prompts")
    if same == 0 and (column := row.unread_text()):
        raise _unknown_prompt(column)
    return _pair(
        whole([turn.message for turn in chosen[:same]], row),
        _to_learn(chosen[-1]),
        _to_learn(rejected[-1]),
        row,
    )


def _read_implicit_strings(row: Row) -> list[Record]:
    chosen, rejected = text(row["chosen"], "chosen"), text(row["rejected"], "rejected")
    if column := row.unread_text():
        raise _unknown_prompt(column)
    if chosen == rejected:
        raise Useless("chosen and rejected are the same")
    shared = commonprefix([chosen, rejected])
    if not (
        shared[-1:].isspace()
        or (chosen[len(shared) :][:1].isspace() and rejected[len(shared) :][:1].isspace())
    ):
        shared = re.sub(r"\S*\Z", "", shared)  # cut between words, not inside one
    if not shared.strip():
        raise Useless("chosen and rejected share no prompt")
    row.remarks.append(GUESSED)
    return _pair(
        whole([Message("user", shared.rstrip())], row),
        chosen[len(shared) :].strip(),
        rejected[len(shared) :].strip(),
        row,
    )


def _unknown_prompt(column: str) -> DataError:
    return DataError(
        f"the prompt of chosen and rejected is in no column that is known, and {column!r:.60} holds text",
        remedy=(
            f"--columns prompt={column} if that is the prompt; --columns prompt= if both answers begin with "
            "it"
        ),
    )


# --- rankings
# -----------------------------------------------------------------------------------------------------------------------


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
        finished = [
            truth(ended, "finished", True)
            for ended in items(row.get("finished") or [True] * count, "finished")
        ]
        sources = items(self.sources or [""] * count, "sources")
        order = self.ranks if self.ranks is not None else self.scores
        if order is None:
            raise DataError("a ranking needs `ranks` or `scores`")
        if not len(order) == count == len(finished) == len(sources):
            raise DataError(
                f"{count} completions have {len(order)} {'scores' if self.ranks is None else 'ranks'}, "
                f"{len(finished)} `finished` and {len(sources)} sources"
            )
        if None in order:
            raise Useless("a completion without a score")
        numbers = [number(value, "a rank or score") for value in order]
        places = ranks_from_scores(numbers) if self.ranks is None else [int(value) for value in numbers]
        if self.ranks is not None and [float(place) for place in places] != numbers:
            raise DataError(
                f"ranks must be whole numbers, not {shown(self.ranks)}",
                remedy="name the column `scores` if more is better",
            )
        completions = tuple(
            Completion(prompt, said, finished=ended, source=_name(source))
            for said, ended, source in zip(self.texts, finished, sources, strict=True)
        )
        notes = _checked(row.noted("ranking_meta") | self.labels, count) | (
            {"scores": numbers} if self.ranks is None else {}
        )
        return [Ranking(prompt, completions, tuple(places), _name(row.get("annotator")), notes)]


def _name(value: Any) -> str:
    return (
        text(value, "the name of a source or annotator")
        if isinstance(value, str)
        else ""
        if value is None
        else shown(value)
    )


def _checked(notes: dict[str, Any], count: int, names: Sequence[str] = PER_COMPLETION) -> dict[str, Any]:
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
    found = number(value, name)
    return value if isinstance(value, int | float) else found


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
    scores = items(row[score_column], score_column) if score_column else None
    return _Ranked(texts, ranks, scores, row.get("sources") or row.get("models")).records(prompt, row)


def _objects(found: Sequence[Mapping[str, Any]], column: str) -> _Ranked:
    keys = [next((name for name in (*COMPLETIONS, "text") if name in columns_of(item)), "") for item in found]
    texts = [text(item.get(key), f"a text in {column}") for item, key in zip(found, keys, strict=True)]
    ranks = [item["rank"] for item in found] if all("rank" in item for item in found) else None
    return _Ranked(
        texts,
        ranks,
        None if ranks else [_item_score(item) for item in found],
        [item.get("model") or "" for item in found],
    )


def _item_score(item: Mapping[str, Any]) -> float | None:
    """UltraFeedback's overall score, or the mean of its ratings by aspect ("N/A" left out)."""
    if column := next((name for name in ITEM_SCORES if item.get(name) is not None), ""):
        return number(item[column], column)
    aspects = item.get("annotations")
    ratings = (
        [aspect.get("Rating") for aspect in aspects.values() if isinstance(aspect, Mapping)]
        if isinstance(aspects, Mapping)
        else []
    )
    numbers = [
        number(rating, "Rating")
        for rating in ratings
        if not isinstance(rating, str) or re.fullmatch(r"[0-9]+(\.[0-9]+)?", rating)
    ]
    return sum(numbers) / len(numbers) if numbers else None


def read_best_first(row: Row, want: Want) -> list[Record]:
    prompt = prompt_of(row)
    texts = [text(said, "a text in output") for said in row["output"]]
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
    safe = {
        place: column for column in row.columns for place in places if column == f"is_response_{place}_safe"
    }
    safer = _name(row.get("safer_response_id"))
    labels = (
        {"safe": [flag(row[safe[place]]) for place in places]} if set(places) <= safe.keys() else {}
    ) | ({"safer": [1 if place == safer else 2 for place in places]} if safer in places else {})
    found = _Ranked(
        texts, sources=[row[models[place]] if place in models else "" for place in places], labels=labels
    )
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
