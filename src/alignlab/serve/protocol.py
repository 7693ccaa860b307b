"""OpenAI's API as data: request bodies read into an `Ask` (answers and errors as its documents: `documents`,
`refusal`). No HTTP and no model in here.

Strict where a wrong value would change what is measured (types, ranges, roles); what is not known here is
left out of account and said so in the answer's header `x-alignlab-ignored`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..records import Prompt
from .fields import integer, number, stops, top, truth
from .messages import chat_of, documents_of
from .refusal import Refusal

MOST_N = 128  # completions of a prompt, as OpenAI has it
MOST_COMPLETIONS = 1024  # of all prompts of a request together
MOST_NAME = 1000  # characters of a model's name, which stands in every piece of a stream
MOST_IGNORED = 20  # fields that are named
COMPLETION_TOKENS = 16  # of /v1/completions where the client names no limit, as OpenAI has it
KNOWN = {
    "model",
    "max_tokens",
    "temperature",
    "top_p",
    "n",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "logprobs",
}
CHAT = KNOWN | {
    "echo",
    "messages",
    "max_completion_tokens",
    "top_logprobs",
    "continue_final_message",
    "add_generation_prompt",
}
TEXT = KNOWN | {"prompt", "echo"}
HARMLESS: dict[str, Callable[[Any], bool]] = {
    "user": lambda _: True,
    "metadata": lambda _: True,
    "store": lambda _: True,
    "service_tier": lambda _: True,
    "safety_identifier": lambda _: True,
    "prompt_cache_key": lambda _: True,
    "parallel_tool_calls": lambda _: True,
    "frequency_penalty": lambda v: v == 0,
    "presence_penalty": lambda v: v == 0,
    "logit_bias": lambda v: not v,
    "best_of": lambda v: v == 1,
    "suffix": lambda v: not v,
    "tools": lambda v: not v,
    "functions": lambda v: not v,
    "tool_choice": lambda v: v in ("none", "auto"),
    "function_call": lambda v: v in ("none", "auto"),
    "response_format": lambda v: v == {"type": "text"},
    "modalities": lambda v: v == ["text"],
}
"""Fields that ask for nothing when they hold such a value."""
REFUSED = {
    "tools": "calls no tools",
    "functions": "calls no functions",
    "response_format": "promises no format",
    "modalities": "writes text only",
}
"""Fields without which the answer would not be what was asked for."""


@dataclass(frozen=True)
class Ask:
    """A request, checked.

    Attributes:
        prompts: messages, or token ids or text to go on with.
        max_tokens: None = the server's own limit.
        stop: None = the server's own.
        top: so many likeliest tokens beside each token; None = no log-probabilities.
        echo: what is gone on with is given back before what is written: the text, or of a chat the last
            message, which is the assistant's.
        ignored: fields that change nothing here.
    """

    model: str
    prompts: list[Prompt | list[int] | str]
    chat: bool
    n: int = 1
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] | None = None
    top: int | None = None
    echo: bool = False
    stream: bool = False
    usage_in_stream: bool = False
    ignored: tuple[str, ...] = ()


def read_json(body: bytes) -> dict[str, Any]:
    """The object that a body holds. Half of a surrogate pair, which no tokenizer takes, becomes U+FFFD."""
    try:
        row = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refusal(
            400, f"the body is not JSON: {error!s:.200}; send one JSON object in UTF-8", code="invalid_json"
        ) from None
    if not isinstance(row, dict):
        raise Refusal(
            400,
            f'the body is a JSON {type(row).__name__}, and an object is expected: {{"model": ..., ...}}',
            code="invalid_json",
        )
    return row


def read_model(row: Mapping[str, Any]) -> str:
    name = row.get("model")
    if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME:
        raise Refusal(
            400,
            (
                f"model is missing, no text, or longer than {MOST_NAME} characters; GET /v1/models lists "
                "those there are"
            ),
            param="model",
        )
    return name


def read_ask(row: Mapping[str, Any], *, chat: bool) -> Ask:
    """A request body as an `Ask`.

    Raises:
        Refusal: 400 with the field, what is wrong with it, and what it may be.
    """
    ignored: set[str] = set()
    for name in row.keys() - (CHAT if chat else TEXT):
        if row[name] is None or (name in HARMLESS and HARMLESS[name](row[name])):
            continue
        if name in REFUSED:
            raise Refusal(
                400,
                f"{name} is not supported: this server {REFUSED[name]}; leave it out",
                param=name,
                code="unsupported_parameter",
            )
        ignored.add(name)
    n = integer(row, "n", 1, 1, MOST_N)
    prompts = chat_of(row, ignored) if chat else documents_of(row)
    if n * len(prompts) > MOST_COMPLETIONS:
        raise Refusal(
            400,
            (
                f"{n * len(prompts)} completions in one request; at most {MOST_COMPLETIONS}: send several "
                "requests"
            ),
            param="n",
        )
    stream, echo = truth(row, "stream"), truth(row, "echo")
    if chat and echo and not _opened(prompts):
        raise Refusal(
            400,
            "a chat is echoed where its last message is the assistant's and is gone on with; leave echo out",
            param="echo",
        )
    limit = "max_completion_tokens" if row.get("max_completion_tokens") is not None else "max_tokens"
    most = integer(row, limit, -1, 0 if echo else 1, 2**31)
    max_tokens = most if most >= 0 else None
    if max_tokens is None and not chat:
        max_tokens = COMPLETION_TOKENS
    options = row.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise Refusal(
            400,
            'stream_options is no object; {"include_usage": true} is what is known',
            param="stream_options",
        )
    return Ask(
        model=read_model(row),
        prompts=prompts,
        chat=chat,
        n=n,
        max_tokens=max_tokens,
        temperature=number(row, "temperature", 1.0, 0.0, 2.0),
        top_p=number(row, "top_p", 1.0, 0.0, 1.0, above=True),
        seed=read_seed(row),
        stop=stops(row),
        top=top(row, chat=chat),
        echo=echo,
        stream=stream,
        usage_in_stream=bool(options and options.get("include_usage")),
        ignored=tuple(sorted(name[:40] for name in ignored)[:MOST_IGNORED]),
    )


def _opened(prompts: Sequence[Prompt | list[int] | str]) -> bool:
    """Whether a chat ends in words of the assistant."""
    last = prompts[0].messages[-1] if isinstance(prompts[0], Prompt) else None
    return last is not None and last.role == "assistant" and last.content != ""


def read_seed(row: Mapping[str, Any]) -> int:
    """What is asked for, or any."""
    if row.get("seed") is None:
        return secrets.randbits(31)
    return integer(row, "seed", -1, -(2**63), 2**63 - 1)
