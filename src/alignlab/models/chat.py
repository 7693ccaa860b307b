"""One function turns messages into token ids and a loss mask; everything that trains or samples goes through
it.

A prompt and its completion are tokenised separately and joined, in training as in sampling: no merge across
the boundary, and a completion has the same ids whether it was sampled or read from a file. Templates write
their own special tokens, so none are added (no double BOS). A turn mark in what a user or a tool says is
text: it is pulled apart, so that nobody ends his turn by writing so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from os.path import commonprefix
from pathlib import Path
from typing import Any, Literal

from ..errors import ModelError
from ..records import Message, Prompt
from ..text.escapes import one_line
from .folder import read_file
from .template import LONGEST, TemplateBound, fill

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + (eos_token if m['role'] == 'assistant' else '<|im_end|>') + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML for a model that was never taught it: the marks may be plain text to its tokenizer, and an answer ends with its own end token."""
GEMMA = (
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\\n' + m['content'] + '<end_of_turn>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
"""Gemma's turns, for its base models: their tokenizers know the marks. A system message is read as the user's."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids and, for each, whether it is trained on (1) or only read (0)."""

    ids: list[int]
    loss_mask: list[int]


def prompt_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The ids a policy is given: the rendered messages, ending where the assistant begins; or, if the last
    turn is its own, within that turn.
    """
    before, said = open_turn(prompt)
    if said:
        return prompt_ids(tokenizer, before) + completion_ids(tokenizer, before, said, finished=False)
    return list(_asked(tokenizer, prompt.messages)[1])


def open_turn(prompt: Prompt) -> tuple[Prompt, str]:
    """A prompt whose last turn is the assistant's is gone on with in that turn: the prompt before it, and
    what the assistant has said. Else "" is said.
    """
    if len(prompt.messages) > 1 and prompt.messages[-1].role == "assistant" and prompt.messages[-1].content:
        return Prompt(prompt.messages[:-1], prompt.meta), prompt.messages[-1].content
    return prompt, ""


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """The ids of the beginning of a document: what the tokenizer puts before a text by itself (a begin token,
    or nothing), and the text.

    What it puts behind one is left out: a document goes on.
    """
    return [*begin_ids(tokenizer), *_ids(tokenizer, text)]


def begin_ids(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before a text by itself: mostly a begin token or nothing. That it has a begin
    token does not say that it puts it on.
    """
    whole, bare = tokenizer("a")["input_ids"], _ids(tokenizer, "a")
    return next(
        (whole[:i] for i in range(len(whole) - len(bare) + 1) if whole[i : i + len(bare)] == bare), []
    )


def completion_ids(tokenizer: Any, prompt: Prompt, completion: str, *, finished: bool = True) -> list[int]:
    """The ids of a completion as the template writes it, with the end token if it is finished. In an open
    turn it stands as it is.
    """
    ids = _ids(tokenizer, completion if open_turn(prompt)[1] else texts(tokenizer, prompt, completion)[1])
    return [*ids, end_token_id(tokenizer)] if finished else ids


def texts(tokenizer: Any, prompt: Prompt, completion: str) -> tuple[str, str]:
    """The rendered prompt and the completion as the template writes it behind that prompt, up to its end."""
    opened, said = open_turn(prompt)
    if said:
        return "".join(texts(tokenizer, opened, said)), completion
    before = _asked(tokenizer, prompt.messages)[0]
    return before, _written(tokenizer, prompt.messages, completion, before)


def writes_its_end(tokenizer: Any) -> bool:
    """Whether the chat template writes a special token behind an answer; where it does not, eos stands in."""
    return _turn_end(tokenizer).token is not None


def example(tokenizer: Any, prompt: Prompt, completion: str, *, finished: bool = True) -> Rendered:
    """A prompt and its completion; the mask is 1 on the completion and the end token it wrote, 0 on all else.

    An unfinished completion (cut at a limit) gets no end token: the model never wrote one (TRL #3750). What
    the template writes after the end token is dropped: the model is never asked for it.
    """
    before, after = (
        prompt_ids(tokenizer, prompt),
        completion_ids(tokenizer, prompt, completion, finished=finished),
    )
    return Rendered([*before, *after], [0] * len(before) + [1] * len(after))


def render(
    tokenizer: Any,
    messages: Sequence[Message],
    *,
    train_on: Literal["last", "all"] = "last",
    add_generation_prompt: bool = False,
) -> Rendered:
    """A conversation as ids and loss mask, up to the end token of its last assistant turn.

    Args:
        train_on: "last" is `example` of the last assistant turn; "all" trains on each of them.
        add_generation_prompt: end where the assistant begins; nothing is trained on then, nor in messages
            without an assistant.

    Raises:
        ModelError: no chat template, one that refuses the messages, or for "all" one that writes a turn
            otherwise once others follow it (drops its thinking, say), so that no single sequence shows each
            turn as it is sampled.
    """
    messages = tuple(messages)
    turns = [i for i, message in enumerate(messages) if message.role == "assistant"]
    if add_generation_prompt or not turns:
        ids = _ids(tokenizer, _template(tokenizer, messages, generation=add_generation_prompt))
        return Rendered(ids, [0] * len(ids))
    if train_on == "last":
        return example(tokenizer, Prompt(messages[: turns[-1]]), messages[turns[-1]].content)
    end = end_token_id(tokenizer)
    ids, mask, done = [], [], ""
    for i in turns:
        before = _template(tokenizer, messages[:i], generation=True)
        written = _written(tokenizer, messages[:i], messages[i].content, before)
        if not before.startswith(done):
            raise ModelError(
                (
                    "the chat template writes a turn otherwise once others follow it, so not all can be "
                    "trained on at once"
                ),
                where=f"message {i + 1}",
                remedy="--train_on last",
            )
        between, answer = _ids(tokenizer, before[len(done) :]), [*_ids(tokenizer, written), end]
        ids += between + answer
        mask += [0] * len(between) + [1] * len(answer)
        done = before + written + _turn_end(tokenizer).token_text
    return Rendered(ids, mask)


def end_token_id(tokenizer: Any) -> int:
    """The token that ends an assistant turn: the special token that the template writes after the content,
    else eos.

    Raises:
        ModelError: there is neither.
    """
    token = _turn_end(tokenizer).token if template_of(tokenizer) else None
    if token is None:
        token = tokenizer.eos_token_id
    if token is None:
        raise ModelError(
            f"the tokenizer of {_name(tokenizer)} has no end token",
            remedy="set eos_token in its tokenizer_config.json",
        )
    return token


def install_template(tokenizer: Any, choice: str) -> None:
    """Give a tokenizer a chat template: "chatml", "gemma", or the text of a Jinja file.

    A tokenizer that begins every text with a BOS gets it from the first two as well: a model that never saw a
    text without it (Gemma) is lost without it.

    Raises:
        ModelError: the file cannot be read, chatml has no end token to write, or the tokenizer does not know
            Gemma's marks.
    """
    if choice in ("chatml", "gemma"):
        if choice == "chatml" and tokenizer.eos_token is None:
            raise ModelError(
                f"the tokenizer of {_name(tokenizer)} has no end token",
                remedy="set eos_token in its tokenizer_config.json",
            )
        if choice == "gemma" and any(
            len(_ids(tokenizer, mark)) != 1 for mark in ("<start_of_turn>", "<end_of_turn>")
        ):
            raise ModelError(
                f"the tokenizer of {_name(tokenizer)} does not know Gemma's <start_of_turn>",
                remedy="--model.chat_template chatml",
            )
        begins = tokenizer.bos_token is not None and begin_ids(tokenizer) == [tokenizer.bos_token_id]
        tokenizer.chat_template = ("{{ bos_token }}" if begins else "") + {"chatml": CHATML, "gemma": GEMMA}[
            choice
        ]
        return
    try:
        tokenizer.chat_template = read_file(Path(choice), LONGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"cannot read the chat template: {error}", where=choice, remedy="a Jinja file, chatml or gemma"
        ) from None


def tried(tokenizer: Any) -> Any:
    """The tokenizer, once it has done what it is for: what is odd in its files shows where they are read, not
    rows later.
    """
    tokenizer.decode(tokenizer("a b")["input_ids"])
    marks(tokenizer)
    return tokenizer


def template_of(tokenizer: Any) -> str:
    """The text of the chat template ("" if there is none); of several by name, the one that is called
    default.
    """
    found = getattr(tokenizer, "chat_template", None) or ""
    if isinstance(found, dict):
        found = found.get("default", "")
    if not isinstance(found, str):
        raise ModelError(
            f"the chat template of {_name(tokenizer)} is a {type(found).__name__}, not a text",
            remedy="--model.chat_template FILE",
        )
    return found


def marks(tokenizer: Any) -> re.Pattern[str]:
    """What this model reads as more than text: its special tokens, and what its template opens an answer
    with.
    """
    return _marks_of(tokenizer, template_of(tokenizer))


@lru_cache(maxsize=16)
def _marks_of(tokenizer: Any, template: str) -> re.Pattern[str]:
    """Keyed by the template too, which may be changed."""
    found = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special} | set(
        tokenizer.all_special_tokens
    )
    if template:
        asked = [Message("user", "hello")]
        try:
            shut, opened = (
                _rendered(tokenizer, asked, generation=generation) for generation in (False, True)
            )
        except TemplateBound:
            raise
        except ModelError:  # it will be said where something is rendered in earnest
            shut = opened = ""
        opening = opened[len(shut) :].strip() if opened.startswith(shut) else ""
        found |= {opening} if re.search(r"[^\w\s]", opening) else set()  # a bare word is no mark
    return re.compile(
        "|".join(re.escape(mark) for mark in sorted(found, key=len, reverse=True) if len(mark) > 2) or "(?!)"
    )


def _template(tokenizer: Any, messages: Sequence[Message], *, generation: bool) -> str:
    """The rendered messages; marks in those of users and tools are pulled apart: "<|end|>" becomes "<
    |end|>".
    """
    known = marks(tokenizer)
    said = [
        replace(m, content=known.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", m.content))
        if m.role in ("user", "tool") and known.search(m.content)
        else m
        for m in messages
    ]
    return _rendered(tokenizer, said, generation=generation)


def _asked(tokenizer: Any, messages: Sequence[Message]) -> tuple[str, tuple[int, ...]]:
    """The rendered messages up to where the assistant begins, and their ids."""
    return _asked_of(tokenizer, template_of(tokenizer), tuple(messages))


@lru_cache(maxsize=64)
def _asked_of(tokenizer: Any, template: str, messages: tuple[Message, ...]) -> tuple[str, tuple[int, ...]]:
    """Kept, as the completions of a prompt are read one after the other. Keyed by the template too, which may
    be changed.
    """
    text = _template(tokenizer, messages, generation=True)
    return text, tuple(_ids(tokenizer, text))


def _rendered(tokenizer: Any, messages: Sequence[Message], *, generation: bool) -> str:
    if not (template := template_of(tokenizer)):
        raise ModelError(
            f"the tokenizer of {_name(tokenizer)} has no chat template",
            remedy="--model.chat_template chatml, or a file with a Jinja template",
        )
    text = fill(template, messages, tokenizer.special_tokens_map, generation=generation)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ModelError(
            "the chat template writes half of a surrogate pair, which no tokenizer takes",
            where="the chat template of the model",
            remedy="another template: --model.chat_template FILE",
        )
    return text


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _name(tokenizer: Any) -> str:
    return tokenizer.name_or_path or "this model"


def _written(tokenizer: Any, prompt: Sequence[Message], completion: str, before: str) -> str:
    """What stands behind the rendered prompt `before` when the completion is given: as the template writes it
    (trimmed, say, or behind an empty thought).

    What the prompt has opened already (a thought, as R1's and QwQ's templates do) is not written again. A
    completion whose thought the template leaves out stands as it is, for so the model would say it. Where the
    prompt's own messages are written otherwise once they are answered (Mistral's templates show the system's
    to the last question alone), the completion is written as behind a plain question.

    Raises:
        ModelError: the template does not repeat the completion's words.
    """
    whole, suffix = (
        _template(tokenizer, (*prompt, Message("assistant", completion)), generation=False),
        _turn_end(tokenizer).suffix,
    )
    opened = "" if whole.startswith(before) else _opened(tokenizer, tuple(prompt), before)
    if opened and len(before) - len(opened) < len(
        commonprefix([before, _template(tokenizer, prompt, generation=False)])
    ):  # messages, and no opening
        if tuple(prompt) != _PLAIN:
            return _written(tokenizer, _PLAIN, completion, _asked(tokenizer, _PLAIN)[0])
        opened = ""
    start = before.removesuffix(opened)
    if whole.startswith(start) and whole[len(start) :].endswith(suffix):
        shown = whole[len(start) : len(whole) - len(suffix)]
    else:  # it writes the prompt, or the end, otherwise around this answer
        shown = completion if _words(completion) in _words(whole) else ""
    said, words = _words(shown), _words(completion)
    if words in said:
        mark = _MARK.match(words)
        if mark and _words(start + shown).endswith(
            f"{mark[0]}{mark[1]}/{mark[2]}{words}"
        ):  # an empty thought before an answer that has one, cut before its end
            return _without(
                before[before.rindex(mark[0]) :] if _words(before).endswith(mark[0]) else opened, completion
            )
        return _without(opened, shown)
    if words.endswith(said):
        left_out = words[: len(words) - len(said)]
        if _words(before).endswith(left_out):
            return shown
        if _END_MARK.search(left_out):
            return _without(opened, completion)
    raise _not_repeated(completion)


_MARK = re.compile(r"([<[])([^][<>]+[]>])")
_END_MARK = re.compile(r"(</[^<>]+>|\[/[^][]+\]|<[|｜][^<>]+[|｜]>)$")


def _words(text: str) -> str:
    """The text without its blanks, which templates trim and add."""
    return "".join(text.split())


def _not_repeated(completion: str) -> ModelError:
    return ModelError(
        (
            f"the chat template does not repeat what the assistant said, {one_line(completion, 60)!r}: it "
            "leaves words out or changes them"
        ),
        where="the chat template of the model",
        remedy="a template that writes message['content'] as it is: --model.chat_template FILE",
    )


def _opened(tokenizer: Any, prompt: tuple[Message, ...], before: str) -> str:
    """The end of the rendered prompt with which no answer begins where the template writes one."""
    answered = _template(tokenizer, (*prompt, Message("assistant", _PROBE)), generation=False)
    return before[len(commonprefix([before, answered])) :]


def _without(opened: str, answer: str) -> str:
    """The answer behind a prompt that has opened something: it does not open that again."""
    if answer.startswith(opened):
        return answer[len(opened) :]
    mark, rest = opened.strip(), answer.lstrip()
    if not mark or not rest.startswith(mark):
        return answer
    rest = rest[len(mark) :]
    return rest.lstrip() if opened[-1].isspace() else rest


@dataclass(frozen=True, slots=True)
class _TurnEnd:
    """What a template writes after an assistant's words: all of it, and of that the end token and the text up
    to where it ends.
    """

    suffix: str
    token: int | None
    token_text: str


_PROBE = "alignlab probe"
_PLAIN = (Message("user", "hello"),)


def _turn_end(tokenizer: Any) -> _TurnEnd:
    return _turn_end_of(tokenizer, template_of(tokenizer))


@lru_cache(maxsize=16)
def _turn_end_of(tokenizer: Any, template: str) -> _TurnEnd:
    """Keyed by the template too, which may be changed."""
    whole = _rendered(tokenizer, (Message("user", "hello"), Message("assistant", _PROBE)), generation=False)
    if _PROBE not in whole:
        raise _not_repeated(_PROBE)
    suffix = whole[whole.rindex(_PROBE) + len(_PROBE) :]
    first = next(iter(_ids(tokenizer, suffix.lstrip())), None)
    if first is None or not (
        first in tokenizer.all_special_ids
        or getattr(tokenizer.added_tokens_decoder.get(first), "special", False)
    ):
        return _TurnEnd(suffix, None, "")
    text = tokenizer.convert_ids_to_tokens(first)
    return _TurnEnd(suffix, first, suffix[: suffix.index(text) + len(text)])
