"""One function turns messages into token ids and a loss mask; everything that trains or samples goes through
it.

A prompt and its completion are tokenized separately and joined, in training as in sampling: no merge across
the boundary, and a completion has the same ids whether it was sampled or read from a file. Templates write
their own special tokens, so none are added (no double BOS). For the town's model:

    >>> question = Prompt.user("What is 2 + 3?")
    >>> row = example(tokenizer, question, "5.")
    >>> for token, id, trained in zip(tokenizer.convert_ids_to_tokens(row.ids), row.ids, row.loss_mask):
    ...     print(f"{token:13} {id:4} {trained}")
    <|user|>         2 0
    ĠWhat          432 0
    Ġis            271 0
    Ġ2             724 0
    Ġ              226 0
    +               16 0
    Ġ3             736 0
    ?               36 0
    <|end|>          1 0
    <|assistant|>    3 0
    Ġ5             671 1
    .               19 1
    <|end|>          1 1
    >>> row.ids == prompt_ids(tokenizer, question) + completion_ids(tokenizer, question, "5.")
    True

The mask is 1 where the model is asked for the token: on the answer and on the token that ends it. Cut at a
limit, the answer is not ended by the model, and so not here:

    >>> example(tokenizer, question, "5.", finished=False).ids == row.ids[:-1]
    True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ModelError
from ..records import Completion, Message, Prompt
from .chat_template import (
    begin_ids,
    end_token_id,
    ids_of,
    marks,
    pulled_apart,
    text_of,
    turn_end,
    written_by_template,
)
from .turns import answer_written, asked


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids and, for each, whether it is trained on (1) or only read (0)."""

    ids: list[int]
    loss_mask: list[int]


def prompt_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The ids a policy is given: the rendered messages, ending where the assistant begins; or, if the last
    turn is its own, within that turn.
    """
    before, begun = open_turn(prompt)
    if begun:
        return prompt_ids(tokenizer, before) + completion_ids(tokenizer, before, begun, finished=False)
    return list(asked(tokenizer, prompt.messages)[1])


def open_turn(prompt: Prompt) -> tuple[Prompt, str]:
    """A prompt whose last turn is the assistant's is gone on with in that turn: the prompt before it, and
    what the assistant has said. Else "" has been said.
    """
    if len(prompt.messages) > 1 and prompt.messages[-1].role == "assistant" and prompt.messages[-1].content:
        return Prompt(prompt.messages[:-1], prompt.meta), prompt.messages[-1].content
    return prompt, ""


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """The ids of the beginning of a document: what the tokenizer puts before a text by itself (a begin token,
    or nothing), and the text.

    What it puts behind one is left out: a document goes on.
    """
    return [*begin_ids(tokenizer), *ids_of(tokenizer, text)]


def completion_ids(tokenizer: Any, prompt: Prompt, completion: str, *, finished: bool = True) -> list[int]:
    """The ids of a completion as the template writes it, with the end token if it is finished. In an open
    turn it stands as it is.
    """
    if not open_turn(prompt)[1]:
        completion = texts(tokenizer, prompt, completion)[1]
    ids = ids_of(tokenizer, completion)
    return [*ids, end_token_id(tokenizer)] if finished else ids


def texts(tokenizer: Any, prompt: Prompt, completion: str) -> tuple[str, str]:
    """The rendered prompt and the completion as the template writes it behind that prompt, up to its end."""
    opened, begun = open_turn(prompt)
    if begun:
        return "".join(texts(tokenizer, opened, begun)), completion
    before = asked(tokenizer, prompt.messages)[0]
    return before, answer_written(tokenizer, prompt.messages, completion, before)


def example(tokenizer: Any, prompt: Prompt, completion: str, *, finished: bool = True) -> Rendered:
    """A prompt and its completion; the mask is 1 on the completion and the end token it wrote, 0 on all else.

    An unfinished completion (cut at a limit) gets no end token: the model never wrote one (TRL #3750). What
    the template writes after the end token is dropped: the model is never asked for it.
    """
    before = prompt_ids(tokenizer, prompt)
    after = completion_ids(tokenizer, prompt, completion, finished=finished)
    return Rendered([*before, *after], [0] * len(before) + [1] * len(after))


def as_written(tokenizer: Any, completion: Completion) -> Rendered:
    """A completion as its writer wrote it, for one who scores it: `example`, but where marks stand in the
    text. Those that were sampled as special tokens are special tokens, those that were spelled out are text.

    Only ids tell the two apart. Ids that are not this tokenizer's are of a writer whose marks are text here;
    of a text without ids every mark that stands whole is a special token, as samplers show them.
    """
    c = completion
    if not c.ids or not marks(tokenizer).search(c.text):
        return example(tokenizer, c.prompt, c.text, finished=c.finished)
    said = list(c.ids[:-1] if c.finished else c.ids)
    if text_of(tokenizer, said) != c.text:
        return example(tokenizer, c.prompt, pulled_apart(tokenizer, c.text), finished=c.finished)
    before, end = prompt_ids(tokenizer, c.prompt), [end_token_id(tokenizer)] * c.finished
    return Rendered([*before, *said, *end], [0] * len(before) + [1] * len([*said, *end]))


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
        ids = ids_of(tokenizer, written_by_template(tokenizer, messages, generation=add_generation_prompt))
        return Rendered(ids, [0] * len(ids))
    if train_on == "last":
        return example(tokenizer, Prompt(messages[: turns[-1]]), messages[turns[-1]].content)
    end = end_token_id(tokenizer)
    ids, mask, done = [], [], ""
    for i in turns:
        before = asked(tokenizer, messages[:i])[0]
        written = answer_written(tokenizer, messages[:i], messages[i].content, before)
        if not before.startswith(done):
            raise ModelError(
                "the chat template writes a turn otherwise once others follow it, so not all can be "
                "trained on at once",
                where=f"message {i + 1}",
                remedy="--train_on last",
            )
        between = ids_of(tokenizer, before[len(done) :])
        answer = [*ids_of(tokenizer, written), end]
        ids += between + answer
        mask += [0] * len(between) + [1] * len(answer)
        done = before + written + turn_end(tokenizer).token_text
    return Rendered(ids, mask)
