"""One function turns messages into token ids and a loss mask; everything that trains or samples goes through it.

A prompt and its completion are tokenised separately and joined, in training as in sampling: no merge across the boundary,
and a completion has the same ids whether it was sampled or read from a file. Templates write their own special tokens, so
none are added (no double BOS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ..errors import ModelError
from ..records import Message, Prompt

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + (end if m['role'] == 'assistant' else '<|im_end|>') + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids and, for each, whether it is trained on (1) or only read (0)."""

    ids: list[int]
    loss_mask: list[int]


def _template(tokenizer: Any, messages: Sequence[Message], *, generation: bool) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template",
                         remedy="--model.chat_template chatml, or a file with a Jinja template")
    try:
        return tokenizer.apply_chat_template([m.to_json() for m in messages], tokenize=False, add_generation_prompt=generation)
    except Exception as error:  # jinja raises what the template's author chose
        raise ModelError(f"the chat template cannot render these messages: {error}", where=" / ".join(m.role for m in messages),
                         remedy="check the order of the roles, or give another template") from error


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def prompt_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The ids a policy is given: the rendered messages, ending where the assistant begins."""
    return _ids(tokenizer, _template(tokenizer, prompt.messages, generation=True))


def completion_ids(tokenizer: Any, prompt: Prompt, completion: str, *, finished: bool = True) -> list[int]:
    """The ids of a completion as the template writes it, with the end token if it is finished."""
    before = _template(tokenizer, prompt.messages, generation=True)
    whole = _template(tokenizer, (*prompt.messages, Message("assistant", completion)), generation=False)
    if whole.startswith(before):
        rest = whole[len(before):]
        content, found, _ = rest.rpartition(_after_content(tokenizer)) if _after_content(tokenizer) else (rest, "", "")
        text = content if found else completion
    else:  # the template rewrites what came before (strips thinking, say): the completion itself is still what was said
        text = completion
    ids = _ids(tokenizer, text)
    return [*ids, end_token_id(tokenizer)] if finished else ids


def example(tokenizer: Any, prompt: Prompt, completion: str, *, finished: bool = True) -> Rendered:
    """A prompt and its completion; the mask is 1 on the completion and the end token it wrote, 0 on all else.

    An unfinished completion (cut at a limit) gets no end token: the model never wrote one (TRL #3750).
    """
    before, after = prompt_ids(tokenizer, prompt), completion_ids(tokenizer, prompt, completion, finished=finished)
    return Rendered([*before, *after], [0] * len(before) + [1] * len(after))


def render(tokenizer: Any, messages: Sequence[Message], *, train_on: Literal["last", "all"] = "last", add_generation_prompt: bool = False) -> Rendered:
    """A conversation as ids and loss mask.

    Args:
        train_on: "last" masks all but the last assistant turn; "all" trains on each.
        add_generation_prompt: end where the assistant begins; nothing is trained on then.
    """
    messages = tuple(messages)
    if add_generation_prompt:
        ids = prompt_ids(tokenizer, Prompt(messages))
        return Rendered(ids, [0] * len(ids))
    turns = [i for i, m in enumerate(messages) if m.role == "assistant"]
    if not turns:
        ids = _ids(tokenizer, _template(tokenizer, messages, generation=False))
        return Rendered(ids, [0] * len(ids))
    ids, mask, text_done = [], [], ""
    for i in turns:
        before = _template(tokenizer, messages[:i], generation=True)
        if not before.startswith(text_done):
            raise ModelError("the chat template rewrites earlier turns, so not all of them can be trained on", remedy="--train_on last")
        between = _ids(tokenizer, before[len(text_done):])
        answer = completion_ids(tokenizer, Prompt(messages[:i]), messages[i].content)
        ids += between + answer
        mask += [0] * len(between) + [int(train_on == "all" or i == turns[-1])] * len(answer)
        end = tokenizer.convert_ids_to_tokens(end_token_id(tokenizer))
        whole = _template(tokenizer, messages[: i + 1], generation=False)
        text_done = whole[: whole.rindex(end) + len(end)] if end in whole[len(before):] else whole
    return Rendered(ids, mask)


def end_token_id(tokenizer: Any, generation_config: Any = None) -> int:
    """The token that ends an assistant turn: the special token that the template writes after the content, else eos."""
    token = _end_of_turn(tokenizer)
    if token is not None:
        return token
    if tokenizer.eos_token_id is None:
        raise ModelError(f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no end token", remedy="set eos_token in its tokenizer_config.json")
    return tokenizer.eos_token_id


_PROBE = "alignlab probe"


def _after_content(tokenizer: Any) -> str:
    """What the template writes after an assistant's words."""
    return _suffix(tokenizer, str(getattr(tokenizer, "chat_template", "")))


@lru_cache(maxsize=64)
def _suffix(tokenizer: Any, template: str) -> str:
    whole = _template(tokenizer, (Message("user", "hello"), Message("assistant", _PROBE)), generation=False)
    return whole[whole.rindex(_PROBE) + len(_PROBE):]


def _end_of_turn(tokenizer: Any) -> int | None:
    if not getattr(tokenizer, "chat_template", None):
        return None
    ids = _ids(tokenizer, _after_content(tokenizer).strip())
    return ids[0] if ids and ids[0] in tokenizer.all_special_ids else None


def install_template(tokenizer: Any, choice: str) -> None:
    """Give a tokenizer a chat template: "chatml", or the text of a Jinja file."""
    if choice == "chatml":
        has_end = "<|im_end|>" in tokenizer.get_vocab()
        tokenizer.chat_template = "{% set end = '" + ("<|im_end|>" if has_end else str(tokenizer.eos_token)) + "' %}" + CHATML
        return
    try:
        tokenizer.chat_template = Path(choice).read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"cannot read the chat template: {error.strerror}", where=choice, remedy="a Jinja file, or chatml") from None
