"""Prompts as token ids, and token ids as what was said behind a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..models.chat import completion_ids, open_turn, prompt_ids, text_ids
from ..models.chat_template import text_of
from ..records import Prompt


def ids_of(tokenizer: Any, prompt: Prompt | list[int] | str) -> list[int]:
    """What is read of a prompt."""
    if isinstance(prompt, Prompt):
        return prompt_ids(tokenizer, prompt)
    return text_ids(tokenizer, prompt) if isinstance(prompt, str) else list(prompt)


def said_in(tokenizer: Any, prompt: Prompt | list[int] | str) -> list[int]:
    """The last of those: what the assistant has said already in the turn that is gone on with."""
    opened, words = open_turn(prompt) if isinstance(prompt, Prompt) else (prompt, "")
    if not words or not isinstance(opened, Prompt):
        return []
    return completion_ids(tokenizer, opened, words, finished=False)


def text_behind(tokenizer: Any, said: Sequence[int], ids: Sequence[int], *, finished: bool) -> str:
    """What was written, special tokens and all, without the end token; after words that the assistant had
    said already, so that the two together read as one (a space between them is kept).
    """
    written = list(ids[:-1] if finished else ids)
    whole = text_of(tokenizer, [*said, *written])
    if not said:
        return whole
    return whole.removeprefix(text_of(tokenizer, list(said)))
