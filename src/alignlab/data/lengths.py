"""Rows that are longer than a stage's max_length: what is cut, what is lost, and what other lengths would
keep.

    start   the prompt is cut from the left: oldest turns first, then the beginning of the question; the
            system message and the completions stay whole
    end     the completion is cut at its end, and gets no end token: it did not end there
    drop    the row is left out

A row is lost where its way of cutting leaves fewer than `LEAST` tokens of what it cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast

from ..errors import ModelError
from ..models.chat import Rendered, completion_ids, prompt_ids
from ..records import (
    Comparison,
    Completion,
    Demonstration,
    Message,
    Prompt,
    Ranking,
    Record,
    Unpaired,
    prompt_in,
)

R = TypeVar("R", bound=Record)
Truncate = Literal["start", "end", "drop"]
LEAST = 8  # tokens that are left of what is cut
LENGTHS = (128, 256, 512, 1024, 2048, 4096)


def shortened(
    record: R,
    sequences: Sequence[Rendered],
    tokenizer: Any,
    max_length: int,
    how: Truncate,
    encode: Callable[[Any, Any], list[Rendered]],
) -> tuple[R, list[Rendered]] | None:
    """The record cut to `max_length` tokens, and its sequences; None where it is lost. A demonstration's end
    is cut from its sequence alone.
    """
    if how == "drop" or needs(record, sequences, tokenizer, how)[1] > max_length:
        return None
    if how == "start":
        answers = sorted(len(row.ids) - _prompt_length(row) for row in sequences)
        bare = _bare(record, tokenizer) + LEAST
        room = max_length - max([n for n in answers if n + bare <= max_length], default=0)
        prompt = shorter_prompt(prompt_in(record), tokenizer, room)
        if prompt is None:
            return None
        cut = with_prompt(record, prompt)
    elif isinstance(record, Demonstration):
        return record, [Rendered(row.ids[:max_length], row.loss_mask[:max_length]) for row in sequences]
    else:
        cut = _with_ends_cut(record, tokenizer, max_length)
    return cut, encode(cut, tokenizer)


def needs(
    record: Record, sequences: Sequence[Rendered], tokenizer: Any, how: Truncate, below: int = 0
) -> tuple[int, int]:
    """Tokens at which the record is whole, and tokens from which on it is not lost. A ranking is not lost
    while two completions are left.

    Of a record that is whole at `below` tokens nothing more is asked.
    """
    lengths = sorted(len(row.ids) for row in sequences)
    whole = lengths[-1]
    needed = -1  # the longest, but of a ranking two are enough
    if isinstance(record, Ranking) and len(lengths) > 1:
        needed = 1
    stays = lengths[needed]
    if how == "drop" or whole <= below:
        return whole, stays
    if how == "end" and isinstance(record, Prompt):
        return whole, whole
    if how == "end":
        return whole, min(stays, max(map(_prompt_length, sequences)) + LEAST)
    answers = sorted(len(row.ids) - _prompt_length(row) for row in sequences)
    return whole, min(stays, answers[needed] + _bare(record, tokenizer) + LEAST)


@dataclass(frozen=True, slots=True)
class Kept:
    """What one length makes of the rows."""

    max_length: int
    whole: int
    cut: int
    lost: int


def table(rows: Sequence[tuple[int, int]], *, here: int = 0, context: int = 0) -> list[Kept]:
    """What each of `LENGTHS`, the one that is used and the model's context would keep of rows that `needs`
    was asked of; none above the context, nor above what keeps all.
    """
    longest = max((whole for whole, _ in rows), default=0)
    lengths = {n for n in LENGTHS if not context or n < context}
    if here:
        lengths.add(here)
    if 0 < context < 10 * LENGTHS[-1]:
        lengths.add(context)
    shown: list[int] = []
    before = 0
    for n in sorted(lengths):
        if not before or before < longest or n == here:
            shown.append(n)
        before = n
    return [
        Kept(
            n,
            sum(whole <= n for whole, _ in rows),
            sum(least <= n < whole for whole, least in rows),
            sum(least > n for _, least in rows),
        )
        for n in shown
    ]


def told(kept: Iterable[Kept], *, here: int = 0) -> str:
    """A table of lengths for people, the one that is used marked."""
    lines = ["max_length   whole     cut    lost"]
    for row in kept:
        of = max(1, row.whole + row.cut + row.lost)
        shares = f"{row.whole / of:>8.0%}{row.cut / of:>8.0%}{row.lost / of:>8.0%}"
        mark = "   <- here" if row.max_length == here else ""
        lines.append(f"{row.max_length:>10}{shares}{mark}")
    return "\n".join(lines)


def shorter_prompt(prompt: Prompt, tokenizer: Any, room: int) -> Prompt | None:
    """The prompt within `room` tokens: without its oldest turns, and if that is not enough with the end of
    its last question. None if neither will do.

    It begins with a user's turn, behind the system message if there is one.
    """
    system = _system(prompt)
    turns = prompt.messages[len(system) :]
    starts = [i for i, message in enumerate(turns) if message.role == "user"]
    for i in starts:
        if _fits(shorter := replace(prompt, messages=(*system, *turns[i:])), tokenizer, room):
            return shorter
    if not starts:
        return None
    question, rest = turns[starts[-1]], turns[starts[-1] + 1 :]
    ids = tokenizer(question.content, add_special_tokens=False)["input_ids"]
    keep = min(
        len(ids),
        room - _length(replace(prompt, messages=(*system, replace(question, content=""), *rest)), tokenizer),
    )
    while keep > 0:
        text = tokenizer.decode(ids[-keep:]).lstrip("\ufffd").lstrip()
        if text and _fits(
            shorter := replace(prompt, messages=(*system, Message("user", text), *rest)), tokenizer, room
        ):
            return shorter
        keep -= 1
    return None


def with_prompt(record: R, prompt: Prompt) -> R:
    """The record with another prompt."""
    if isinstance(record, Prompt):
        return cast("R", prompt)
    if isinstance(record, Ranking):
        completions = tuple(replace(c, prompt=prompt) for c in record.completions)
        return cast("R", replace(record, prompt=prompt, completions=completions))
    return replace(cast("Any", record), prompt=prompt)


def _with_ends_cut(record: R, tokenizer: Any, max_length: int) -> R:
    """The record with every completion that is too long cut at its end, and not finished."""

    def cut(prompt: Prompt, text: str, finished: bool) -> tuple[str, bool]:
        room = max_length - len(prompt_ids(tokenizer, prompt))
        if len(completion_ids(tokenizer, prompt, text, finished=finished)) <= room:
            return text, finished
        ids = completion_ids(tokenizer, prompt, text, finished=False)
        for keep in range(min(room, len(ids)), 0, -1):
            shorter = tokenizer.decode(ids[:keep]).rstrip("\ufffd")
            if len(completion_ids(tokenizer, prompt, shorter, finished=False)) <= room:
                return shorter, False
        return text, finished  # and so it is lost

    match record:
        case Ranking():
            parts = [cut(record.prompt, c.text, c.finished) for c in record.completions]
            shorter = tuple(
                replace(c, text=text, finished=finished)
                for c, (text, finished) in zip(record.completions, parts, strict=True)
            )
            return cast("R", replace(record, completions=shorter))
        case Comparison():
            chosen, rejected = (
                cut(record.prompt, record.chosen, record.chosen_finished),
                cut(record.prompt, record.rejected, record.rejected_finished),
            )
            return cast(
                "R",
                replace(
                    record,
                    chosen=chosen[0],
                    chosen_finished=chosen[1],
                    rejected=rejected[0],
                    rejected_finished=rejected[1],
                ),
            )
        case Unpaired():
            text, finished = cut(record.prompt, record.completion, record.finished)
            return cast("R", replace(record, completion=text, finished=finished))
        case Completion():
            text, finished = cut(record.prompt, record.text, record.finished)
            return cast("R", replace(record, text=text, finished=finished))
    return record


def _system(prompt: Prompt) -> tuple[Message, ...]:
    """The system message of a prompt, if it has one."""
    return tuple(message for message in prompt.messages[:1] if message.role == "system")


def _prompt_length(row: Rendered) -> int:
    """Tokens before the first that carries the loss."""
    return row.loss_mask.index(1) if 1 in row.loss_mask else len(row.ids)


def _bare(record: Record, tokenizer: Any) -> int:
    """Tokens of the prompt without its earlier turns and the words of its question; very many if the template
    refuses that.
    """
    prompt = prompt_in(record)
    system = _system(prompt)
    last = max((i for i, message in enumerate(prompt.messages) if message.role == "user"), default=None)
    if last is None:
        return 10**9
    return _length(
        replace(prompt, messages=(*system, Message("user", ""), *prompt.messages[last + 1 :])), tokenizer
    )


def _length(prompt: Prompt, tokenizer: Any) -> int:
    try:
        return len(prompt_ids(tokenizer, prompt))
    except ModelError:
        return 10**9


def _fits(prompt: Prompt, tokenizer: Any, room: int) -> bool:
    return _length(prompt, tokenizer) <= room
