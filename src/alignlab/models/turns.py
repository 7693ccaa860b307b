"""An assistant's turn as its chat template writes it: trimmed, behind an empty thought, without the thought it
had, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from os.path import commonprefix
from typing import Any

from ..records import Message
from .chat_template import PLAIN, PROBE, ids_of, not_repeated, template_of, turn_end, written_by_template

_MARK = re.compile(r"([<[])([^][<>]+[]>])")
_END_MARK = re.compile(r"(</[^<>]+>|\[/[^][]+\]|<[|｜][^<>]+[|｜]>)$")


def asked(tokenizer: Any, messages: Sequence[Message]) -> tuple[str, tuple[int, ...]]:
    """The rendered messages up to where the assistant begins, and their ids."""
    return _asked_of(tokenizer, template_of(tokenizer), tuple(messages))


@lru_cache(maxsize=64)
def _asked_of(tokenizer: Any, template: str, messages: tuple[Message, ...]) -> tuple[str, tuple[int, ...]]:
    """Kept, as the completions of a prompt are read one after the other. Keyed by the template too, which may
    be changed.
    """
    text = written_by_template(tokenizer, messages, generation=True)
    return text, tuple(ids_of(tokenizer, text))


def answer_written(tokenizer: Any, prompt: Sequence[Message], completion: str, before: str) -> str:
    """What stands behind the rendered prompt `before` when the completion is given: as the template writes it
    (trimmed, say, or behind an empty thought).

    What the prompt has opened already (a thought, as R1's and QwQ's templates do) is not written again. A
    completion whose thought the template leaves out stands as it is, for so the model would say it. Where the
    prompt's own messages are written otherwise once they are answered (Mistral's templates show the system's
    to the last question alone), the completion is written as behind a plain question.

    Raises:
        ModelError: the template does not repeat the completion's words.
    """
    whole = written_by_template(tokenizer, (*prompt, Message("assistant", completion)), generation=False)
    suffix = turn_end(tokenizer).suffix
    opened = ""
    if not whole.startswith(before):
        opened = _opened(tokenizer, tuple(prompt), before)
    if opened and _reaches_into_messages(tokenizer, prompt, before, opened):
        if tuple(prompt) != PLAIN:
            return answer_written(tokenizer, PLAIN, completion, asked(tokenizer, PLAIN)[0])
        opened = ""
    start = before.removesuffix(opened)
    if whole.startswith(start) and whole[len(start) :].endswith(suffix):
        shown = whole[len(start) : len(whole) - len(suffix)]
    elif _words(completion) in _words(
        whole
    ):  # it writes the prompt, or the end, otherwise around this answer
        shown = completion
    else:
        shown = ""
    shown_words, words = _words(shown), _words(completion)
    if words in shown_words:
        mark = _MARK.match(words)
        if mark and _words(start + shown).endswith(f"{mark[0]}{mark[1]}/{mark[2]}{words}"):
            # An empty thought before an answer that has one, cut before its end.
            if _words(before).endswith(mark[0]):
                opened = before[before.rindex(mark[0]) :]
            return _without(opened, completion)
        return _without(opened, shown)
    if words.endswith(shown_words):
        left_out = words.removesuffix(shown_words)
        if _words(before).endswith(left_out):
            return shown
        if _END_MARK.search(left_out):
            return _without(opened, completion)
    raise not_repeated(completion)


def _opened(tokenizer: Any, prompt: tuple[Message, ...], before: str) -> str:
    """The end of the rendered prompt with which no answer begins where the template writes one."""
    answered = written_by_template(tokenizer, (*prompt, Message("assistant", PROBE)), generation=False)
    return before[len(commonprefix([before, answered])) :]


def _reaches_into_messages(tokenizer: Any, prompt: Sequence[Message], before: str, opened: str) -> bool:
    """Whether what seems to be opened is part of the messages, and no opening of an answer."""
    unopened = written_by_template(tokenizer, prompt, generation=False)
    return len(before) - len(opened) < len(commonprefix([before, unopened]))


def _words(text: str) -> str:
    """The text without its blanks, which templates trim and add."""
    return "".join(text.split())


def _without(opened: str, answer: str) -> str:
    """The answer behind a prompt that has opened something: it does not open that again."""
    if answer.startswith(opened):
        return answer[len(opened) :]
    mark, rest = opened.strip(), answer.lstrip()
    if not mark or not rest.startswith(mark):
        return answer
    rest = rest[len(mark) :]
    return rest.lstrip() if opened[-1].isspace() else rest
