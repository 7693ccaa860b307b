"""How each format of the field is read: a row -> records of the kind that its format holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from ...errors import DataError
from ...records import Demonstration, Message, Prompt, Record, Text
from .messages import HH_TURN, Turn, is_hh, last_learnt, messages, turns, unpacked
from .rows import CHATS, COMPLETIONS, HISTORIES, INPUTS, PROMPTS, PROMPTS_BESIDE, SYSTEMS, Row
from .values import items, shown, text, truth

Want = Literal["text", "prompt", "demonstration", "comparison", "ranking", "unpaired"]
WANTS: tuple[Want, ...] = get_args(Want)
CUT_BACK = "conversations cut back to the last answer that is to be learnt"
NOT_LEARNT = "marked as not to be learnt"
BEGUN = "answers go on from words that the prompt ends with, of which nothing is learnt"


class Useless(Exception):
    """A sound row with nothing to learn from; its text is the reason, in the words of the load report."""


def whole(found: Sequence[Message], row: Row, *, is_begun: bool = False) -> Prompt:
    """The prompt of these turns, with what other columns say before them: a system message, earlier turns.
    `is_begun`: it ends within the answer.
    """
    if not found or found[-1].role != "user" and not is_begun:
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
    `context`) below it. Beside answers, messages may end with the words that these go on from, as in TRL.
    """
    column = row.first(PROMPTS) or row.first(PROMPTS_BESIDE)
    value = row[column]
    if column == "instruction" and isinstance(unpacked(value, column), str | None):
        found = (Message("user", text(value, column)),)  # a task may begin as HH's turns do
    else:
        found = messages(value, column, row)
    if is_hh(value) and len(found) > 1 and found[-1] == Message("assistant", ""):
        found = found[:-1]  # HH prompts end with the cue "Assistant:"
    elif column in PROMPTS[1:] and len(found) == 1 and found[0].role == "user" and not is_hh(value):
        about = row.first(
            [name for name in INPUTS if column == "instruction" or isinstance(row.columns.get(name), str)],
            filled=True,
        )
        parts = [found[0].content]
        if about:
            parts.append(text(row[about], about))
        found = (Message("user", "\n".join(filter(None, parts))),)
    is_begun = not row.prompt_only and len(found) > 1 and found[-1].role == "assistant"
    if is_begun:
        row.remarks.append(BEGUN)
    return whole(found, row, is_begun=is_begun)


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
    return to_learn(last)


def to_learn(turn: Turn) -> str:
    if not turn.learnt:
        raise Useless(NOT_LEARNT)
    return turn.message.content


def read_string(row: str, want: Want) -> list[Record]:
    whole_text = text(row, "the row")
    if want == "text":
        return [Text(whole_text)]
    return [whole(messages(whole_text, "the row"), Row({}))]


def read_text(row: Row, want: Want) -> list[Record]:
    return [Text(text(row["text"], "text"), row.notes_on_prompt)]


def read_prompt(row: Row, want: Want) -> list[Record]:
    return [prompt_of(row)]


def conversation(row: Row, want: Want) -> list[Record]:
    """The last assistant turn that is to be learnt as a demonstration; as a prompt, a conversation that ends
    with the user stays whole.
    """
    column = row.first(CHATS)
    found = chat(row, column)
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


def answered(row: Row) -> tuple[Prompt, str]:
    prompt = prompt_of(row)
    column = row.first([name for name in COMPLETIONS if name not in row.of_prompt])
    if row.prompt_only:  # a reference answer may be anything: a number, a list of wordings
        row.pass_over([column])
        return prompt, ""
    return prompt, completion(row[column], column, prompt, row)


def chat(row: Row, column: str) -> list[Turn]:
    value = unpacked(row[column], column)
    if value == []:
        raise Useless("empty conversation")
    if isinstance(value, str) and not is_hh(value):
        raise DataError(
            f"{column} must be a list of messages, not text ({shown(value)})",
            remedy=(
                f"--columns prompt={column} if it is one question; a transcript has to be cut into messages"
            ),
        )
    return turns(value, column, row)


def read_demonstration(row: Row, want: Want) -> list[Record]:
    prompt, said = answered(row)
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
