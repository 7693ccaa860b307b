"""How formats of what was liked are read: labelled completions, pairs, rankings."""

from __future__ import annotations

import re
from os.path import commonprefix
from typing import Any

from ...errors import DataError
from ...records import Comparison, Demonstration, Message, Prompt, Record, Unpaired, check_label
from .messages import is_hh, messages, turns, unpacked
from .rankings import checked_notes
from .readers import Useless, Want, answered, chat, completion, conversation, prompt_of, to_learn, whole
from .rows import CHATS, LABEL_COLUMNS, Row, holds_something
from .values import LABEL_WORDS, flag, number, shown, text, truth

GUESSED = "prompts guessed from what chosen and rejected both begin with"
NEGATIVE = "pairs have a margin below 0: somebody liked what is rejected better"


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
    return _unpaired(*answered(row), row)


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
            checked_notes(row.noted("comparison_meta"), 2, ("safe",)),
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
    if chosen == rejected and set(prompt.messages) <= set(chosen):
        return Prompt(chosen, prompt.meta)
    return prompt


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
    prompt = whole([turn.message for turn in chat(row, column)], row)
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
        to_learn(chosen[-1]),
        to_learn(rejected[-1]),
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
