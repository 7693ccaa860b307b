"""A tokenizer's chat template: which it is, what it gets for want of one, the marks that are more than text,
and messages as it writes them.

A turn mark in what a user or a tool says is text: it is pulled apart, so that nobody ends his turn by writing
so. One that a model writes is shown: whoever reads its text sees what it wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..records import Message
from ..text.escapes import one_line
from .headers import read_file
from .template import LONGEST, TemplateBound, fill

CHATML = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] }}"
    "{{ (eos_token if m['role'] == 'assistant' else '<|im_end|>') + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML for a model that was never taught it: the marks may be plain text to its tokenizer, and an answer
ends with its own end token."""
GEMMA = (
    "{% for m in messages %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\\n' }}"
    "{{ m['content'] + '<end_of_turn>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
"""Gemma's turns, for its base models: their tokenizers know the marks. A system message is read as the
user's."""
TEMPLATES = {"chatml": CHATML, "gemma": GEMMA}

PROBE = "alignlab probe"
PLAIN = (Message("user", "hello"),)


def name_of(tokenizer: Any) -> str:
    return tokenizer.name_or_path or "this model"


def ids_of(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text with nothing around it."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def text_of(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of ids with every special token visible, as judges, reward models and people read it. So is a
    NUL, which no file of ours may hold.
    """
    text = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


def piece_of(tokenizer: Any, before: int | None, token: int) -> str:
    """What a token adds to the text behind the one before it: alone, some decoders take the blank off its
    front. Part of a character is spelled as the vocabulary spells it, and so is a token without a text.
    """
    piece = text_of(tokenizer, [token])
    if before is not None:
        both, first = text_of(tokenizer, [before, token]), text_of(tokenizer, [before])
        if both.startswith(first):
            piece = both[len(first) :]
    if "\ufffd" in piece or not piece:
        return str(tokenizer.convert_ids_to_tokens(token))
    return piece


def begin_ids(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before a text by itself: mostly a begin token or nothing. That it has a begin
    token does not say that it puts it on.
    """
    whole, bare = tokenizer("a")["input_ids"], ids_of(tokenizer, "a")
    for i in range(len(whole) - len(bare) + 1):
        if whole[i : i + len(bare)] == bare:
            return whole[:i]
    return []


def template_of(tokenizer: Any) -> str:
    """The text of the chat template ("" if there is none); of several by name, the one that is called
    default.
    """
    template = getattr(tokenizer, "chat_template", None) or ""
    if isinstance(template, dict):
        template = template.get("default", "")
    if not isinstance(template, str):
        raise ModelError(
            f"the chat template of {name_of(tokenizer)} is a {type(template).__name__}, not a text",
            remedy="--model.chat_template FILE",
        )
    return template


def install_template(tokenizer: Any, choice: str) -> None:
    """Give a tokenizer a chat template: "chatml", "gemma", or the text of a Jinja file.

    A tokenizer that begins every text with a BOS gets it from the first two as well: a model that never saw a
    text without it (Gemma) is lost without it.

    Raises:
        ModelError: the file cannot be read, chatml has no end token to write, or the tokenizer does not know
            Gemma's marks.
    """
    if choice not in TEMPLATES:
        tokenizer.chat_template = _template_in(Path(choice))
        return
    if choice == "chatml" and tokenizer.eos_token is None:
        raise no_end_token(tokenizer)
    if choice == "gemma" and not _knows(tokenizer, "<start_of_turn>", "<end_of_turn>"):
        raise ModelError(
            f"the tokenizer of {name_of(tokenizer)} does not know Gemma's <start_of_turn>",
            remedy="--model.chat_template chatml",
        )
    begins = tokenizer.bos_token is not None and begin_ids(tokenizer) == [tokenizer.bos_token_id]
    tokenizer.chat_template = ("{{ bos_token }}" if begins else "") + TEMPLATES[choice]


def _knows(tokenizer: Any, *marks: str) -> bool:
    """Whether each of the marks is one token."""
    return all(len(ids_of(tokenizer, mark)) == 1 for mark in marks)


def _template_in(file: Path) -> str:
    try:
        return read_file(file, LONGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"cannot read the chat template: {error}", where=str(file), remedy="a Jinja file, chatml or gemma"
        ) from None


def no_end_token(tokenizer: Any) -> ModelError:
    return ModelError(
        f"the tokenizer of {name_of(tokenizer)} has no end token",
        remedy="set eos_token in its tokenizer_config.json",
    )


def tried(tokenizer: Any) -> Any:
    """The tokenizer, once it has done what it is for: what is odd in its files shows where they are read, not
    rows later.
    """
    tokenizer.decode(tokenizer("a b")["input_ids"])
    marks(tokenizer)
    return tokenizer


def marks(tokenizer: Any) -> re.Pattern[str]:
    """What this model reads as more than text: its special tokens, and what its template opens an answer
    with.
    """
    return _marks_of(tokenizer, template_of(tokenizer))


@lru_cache(maxsize=16)
def _marks_of(tokenizer: Any, template: str) -> re.Pattern[str]:
    """Keyed by the template too, which may be changed."""
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    special |= set(tokenizer.all_special_tokens)
    if template:
        opening = _opening(tokenizer)
        if re.search(r"[^\w\s]", opening):  # a bare word is no mark
            special.add(opening)
    return _any_of(mark for mark in special if len(mark) > 2)


def _opening(tokenizer: Any) -> str:
    """What the template opens an answer with."""
    try:
        shut = rendered(tokenizer, PLAIN, generation=False)
        opened = rendered(tokenizer, PLAIN, generation=True)
    except TemplateBound:
        raise
    except ModelError:  # it will be said where something is rendered in earnest
        return ""
    return opened[len(shut) :].strip() if opened.startswith(shut) else ""


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Any of the words, the longest first; without words, nothing."""
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def written_by_template(tokenizer: Any, messages: Sequence[Message], *, generation: bool) -> str:
    """The messages as the template writes them; marks in those of users and tools are pulled apart: "<|end|>"
    becomes "< |end|>".
    """
    told_apart = []
    for message in messages:
        if message.role in ("user", "tool"):
            message = replace(message, content=pulled_apart(tokenizer, message.content))
        told_apart.append(message)
    return rendered(tokenizer, told_apart, generation=generation)


def pulled_apart(tokenizer: Any, text: str) -> str:
    """The text with its marks as text: no tokenizer reads them as special tokens."""
    return marks(tokenizer).sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)


def rendered(tokenizer: Any, messages: Sequence[Message], *, generation: bool) -> str:
    """The messages as the template writes them, every mark in them as it stands.

    Raises:
        ModelError: there is no template, or one that refuses the messages.
    """
    if not (template := template_of(tokenizer)):
        raise ModelError(
            f"the tokenizer of {name_of(tokenizer)} has no chat template",
            remedy="--model.chat_template chatml, or a file with a Jinja template",
        )
    text = fill(template, messages, tokenizer.special_tokens_map, generation=generation)
    if re.search("[\ud800-\udfff]", text):
        raise ModelError(
            "the chat template writes half of a surrogate pair, which no tokenizer takes",
            where="the chat template of the model",
            remedy="another template: --model.chat_template FILE",
        )
    return text


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """What a template writes after an assistant's words: all of it, and of that the end token and the text up
    to where it ends.
    """

    suffix: str
    token: int | None
    token_text: str


def turn_end(tokenizer: Any) -> TurnEnd:
    return _turn_end_of(tokenizer, template_of(tokenizer))


@lru_cache(maxsize=16)
def _turn_end_of(tokenizer: Any, template: str) -> TurnEnd:
    """Keyed by the template too, which may be changed."""
    whole = rendered(tokenizer, (*PLAIN, Message("assistant", PROBE)), generation=False)
    if PROBE not in whole:
        raise not_repeated(PROBE)
    suffix = whole[whole.rindex(PROBE) + len(PROBE) :]
    behind = ids_of(tokenizer, suffix.lstrip())
    if not behind or not _is_special(tokenizer, behind[0]):
        return TurnEnd(suffix, None, "")
    text = tokenizer.convert_ids_to_tokens(behind[0])
    return TurnEnd(suffix, behind[0], suffix[: suffix.index(text) + len(text)])


def _is_special(tokenizer: Any, token: int) -> bool:
    added = tokenizer.added_tokens_decoder.get(token)
    return token in tokenizer.all_special_ids or (added is not None and added.special)


def writes_its_end(tokenizer: Any) -> bool:
    """Whether the chat template writes a special token behind an answer; where it does not, eos stands in."""
    return turn_end(tokenizer).token is not None


def end_token_id(tokenizer: Any) -> int:
    """The token that ends an assistant turn: the special token that the template writes after the content,
    else eos.

    Raises:
        ModelError: there is neither.
    """
    token = turn_end(tokenizer).token if template_of(tokenizer) else None
    if token is None:
        token = tokenizer.eos_token_id
    if token is None:
        raise no_end_token(tokenizer)
    return token


def not_repeated(completion: str) -> ModelError:
    return ModelError(
        f"the chat template does not repeat what the assistant said, {one_line(completion, 60)!r}: it "
        "leaves words out or changes them",
        where="the chat template of the model",
        remedy="a template that writes message['content'] as it is: --model.chat_template FILE",
    )
