"""OpenAI's API as data: request bodies read into an `Ask`, answers and errors written as its documents. No
HTTP and no model in here.

Strict where a wrong value would change what is measured (types, ranges, roles); what is not known here is
left out of account and said so in the answer's header `x-alignlab-ignored`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DataError, UserError
from ..records import Message, Prompt, role_of
from ..sampling.answers import CALLS, WORDS, words
from .places import Name

MOST_N = 128  # completions of a prompt, as OpenAI has it
MOST_COMPLETIONS = 1024  # of all prompts of a request together
MOST_STOPS, MOST_STOP = 16, 256  # stop texts, and characters of one: each is looked for at every token
MOST_NAME = 1000  # characters of a model's name, which stands in every piece of a stream
MOST_IGNORED = 20  # fields that are named
MOST_TOP = 20  # likeliest tokens shown beside each token
COMPLETION_TOKENS = 16  # of /v1/completions where the client names no limit, as OpenAI has it
MEDIA = ("audio", "audios", "image", "images", "video", "videos")  # fields of a message that hold no text
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


class Refusal(Exception):
    """What a client is told in the place of an answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "",
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_after = (
            status,
            message,
            code,
            param,
            retry_after,
        )
        self.kind = kind or ("invalid_request_error" if status < 500 else "server_error")

    def to_json(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    @staticmethod
    def of(error: UserError) -> Refusal:
        """An error of ours that lies with the request: what is wrong and what mends it, in one line."""
        long = "context" in error.what and "fit" in error.what
        said = "; ".join(part for part in (error.what, error.where, error.remedy) if part)
        return Refusal(400, said, code="context_length_exceeded" if long else None)


@dataclass(frozen=True)
class Ask:
    """A request, checked.

    Attributes:
        prompts: messages, or token ids or text to go on with.
        max_tokens: None = the server's own limit.
        stop: None = the server's own.
        top: so many likeliest tokens beside each token; None = no log-probabilities.
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
    n = _whole(row, "n", 1, 1, MOST_N)
    prompts = _chat(row, ignored) if chat else _documents(row)
    if n * len(prompts) > MOST_COMPLETIONS:
        raise Refusal(
            400,
            (
                f"{n * len(prompts)} completions in one request; at most {MOST_COMPLETIONS}: send several "
                "requests"
            ),
            param="n",
        )
    stream, echo = _truth(row, "stream"), not chat and _truth(row, "echo")
    limit = "max_completion_tokens" if row.get("max_completion_tokens") is not None else "max_tokens"
    most = _whole(row, limit, -1, 0 if echo else 1, 2**31)
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
        max_tokens=most if most >= 0 else None if chat else COMPLETION_TOKENS,
        temperature=_number(row, "temperature", 1.0, 0.0, 2.0),
        top_p=_number(row, "top_p", 1.0, 0.0, 1.0, above=True),
        seed=_whole(row, "seed", -1, -(2**63), 2**63 - 1)
        if row.get("seed") is not None
        else secrets.randbits(31),
        stop=_stops(row),
        top=_top(row, chat=chat),
        echo=echo,
        stream=stream,
        usage_in_stream=bool(options and options.get("include_usage")),
        ignored=tuple(sorted(name[:40] for name in ignored)[:MOST_IGNORED]),
    )


def _chat(row: Mapping[str, Any], ignored: set[str]) -> list[Prompt | list[int] | str]:
    found = row.get("messages")
    if not isinstance(found, list) or not found:
        raise Refusal(
            400, 'messages is missing or no list; [{"role": "user", "content": "..."}]', param="messages"
        )
    messages = tuple(_message(item, f"messages[{i}]", ignored) for i, item in enumerate(found))
    opened = messages[-1].role == "assistant" and messages[-1].content != ""
    if opened and len(messages) == 1:
        raise Refusal(
            400, "an assistant message alone asks for nothing; put a user message before it", param="messages"
        )
    if row.get("continue_final_message") is not None and _truth(row, "continue_final_message") != opened:
        raise Refusal(
            400,
            (
                "here an answer goes on from the last message if that is the assistant's, and else begins; "
                "continue_final_message asks for the other"
            ),
            param="continue_final_message",
        )
    if row.get("add_generation_prompt") is not None and _truth(row, "add_generation_prompt") == opened:
        raise Refusal(
            400,
            (
                "a turn of the assistant is begun here unless the last message is one; "
                "add_generation_prompt asks for the other"
            ),
            param="add_generation_prompt",
        )
    return [Prompt(messages)]


def _message(item: Any, where: str, ignored: set[str]) -> Message:
    """A message, as data files are read: the same names of roles, and no calls of tools, since no template
    here renders them.
    """
    role = item.get("role") if isinstance(item, dict) else None
    if not isinstance(role, str):
        raise Refusal(
            400,
            f"{where} has the role {_shown(role)}; it may be system, developer, user or assistant",
            param=f"{where}.role",
        )
    try:
        speaker = role_of(role)
    except DataError as error:
        raise Refusal(400, f"{where} has {error.what}; {error.remedy}", param=f"{where}.role") from None
    for name in item.keys() - {"role", "content", *(("refusal",) if speaker == "assistant" else ())}:
        if item[name] and name in (*CALLS, *MEDIA):
            raise Refusal(
                400,
                (
                    f"{where}.{name} is not supported: a template here writes texts; leave it out, or write "
                    "it into the content"
                ),
                param=f"{where}.{name}",
            )
        if item[name] not in (None, [], ""):
            ignored.add(f"messages.{name}")
    content, refusal = item.get("content"), item.get("refusal")
    if isinstance(content, list):
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if not isinstance(kind, str) or not isinstance(part.get(WORDS.get(kind, "")), str):
                raise Refusal(
                    400,
                    (
                        f'{where}.content must be a text, or a list of {{"type": "text", "text": "..."}}; a '
                        f"part of it is {_shown(part if kind is None else kind)}"
                    ),
                    param=f"{where}.content",
                )
    elif not isinstance(content, str) and not (content is None and speaker == "assistant"):
        raise Refusal(
            400,
            f'{where}.content must be a text, or a list of {{"type": "text", "text": "..."}}',
            param=f"{where}.content",
        )
    if speaker == "assistant" and not isinstance(refusal, str | None):
        raise Refusal(
            400, f"{where}.refusal is {_shown(refusal)}; it must be a text", param=f"{where}.refusal"
        )
    return Message(
        speaker,
        whole(words({"content": content, "refusal": refusal if speaker == "assistant" else None}) or ""),
    )


def _documents(row: Mapping[str, Any]) -> list[Prompt | list[int] | str]:
    found = row.get("prompt")
    if isinstance(found, str):
        return [whole(found)]
    if isinstance(found, list) and found:
        if _are_ids(found):
            return [list(found)]
        if all(isinstance(item, str) for item in found):
            return [whole(item) for item in found]
        if all(isinstance(item, list) and item and _are_ids(item) for item in found):
            return [list(item) for item in found]
    raise Refusal(
        400,
        (
            "prompt must be a text, a list of texts, a list of token ids, or a list of such lists, none of "
            "the lists empty"
        ),
        param="prompt",
    )


def _are_ids(items: Sequence[Any]) -> bool:
    return all(type(item) is int for item in items)


def _stops(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    found = row.get("stop")
    if found is None:
        return None
    found = [found] if isinstance(found, str) else found
    if (
        not isinstance(found, list)
        or len(found) > MOST_STOPS
        or not all(isinstance(item, str) and 0 < len(item) <= MOST_STOP for item in found)
    ):
        raise Refusal(
            400,
            (
                f"stop must be a text or a list of at most {MOST_STOPS} texts, none empty or longer than "
                f"{MOST_STOP} characters; [] = none"
            ),
            param="stop",
        )
    return tuple(whole(item) for item in found)


def _top(row: Mapping[str, Any], *, chat: bool) -> int | None:
    if not chat:
        if isinstance(row.get("logprobs"), bool):
            return 0 if row["logprobs"] else None
        top = _whole(row, "logprobs", -1, 0, MOST_TOP)
        return None if top < 0 else top
    wanted, top = _truth(row, "logprobs"), _whole(row, "top_logprobs", 0, 0, MOST_TOP)
    if top and not wanted:
        raise Refusal(400, "top_logprobs means nothing without logprobs: true", param="top_logprobs")
    return top if wanted else None


def _whole(row: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = row.get(name)
    if value is None:
        return default
    if type(value) is not int or not low <= value <= high:
        raise Refusal(
            400, f"{name} is {_shown(value)}; it must be a whole number from {low} to {high}", param=name
        )
    return value


def _number(
    row: Mapping[str, Any], name: str, default: float, low: float, high: float, *, above: bool = False
) -> float:
    value = row.get(name)
    if value is None:
        return default
    if type(value) not in (int, float) or not low <= value <= high or (above and value == low):
        raise Refusal(
            400,
            (
                f"{name} is {_shown(value)}; it must be a number {'above' if above else 'from'} {low:g} "
                f"{'and at most' if above else 'to'} {high:g}"
            ),
            param=name,
        )
    return float(value)


def _truth(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refusal(400, f"{name} is {_shown(value)}; it must be true or false", param=name)
    return bool(value)


def _shown(value: Any) -> str:
    """A value for a message: short, and of what holds others only that it does (it may be nested deeper than
    can be written).
    """
    return (
        f"a JSON {type(value).__name__}"
        if isinstance(value, list | dict)
        else json.dumps(value[:60] if isinstance(value, str) else value)[:62]
    )


def whole(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, of which JSON can hold one and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text


@dataclass(frozen=True)
class Token:
    """A token of an answer.

    Attributes:
        logprob: None = nothing predicts it.
        top: the likeliest in its place, with their log-probabilities.
        at: where it begins in the text that is given, in characters.
    """

    name: Name
    logprob: float | None
    top: list[tuple[Name, float]]
    at: int


@dataclass
class Choice:
    """One completion of a request. `blocked`: the defence that put its own words there."""

    index: int
    text: str
    reason: str | None
    tokens: list[Token] | None = None
    blocked: str = ""


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def document(
    ask: Ask,
    choices: Sequence[Choice],
    *,
    id: str,
    created: int,
    counted: Mapping[str, int] | None,
    chunk: bool = False,
) -> dict[str, Any]:
    """A whole answer, or (`chunk`) a piece of one that is streamed."""
    kind = ("chat.completion.chunk" if chunk else "chat.completion") if ask.chat else "text_completion"
    row = {
        "id": id,
        "object": kind,
        "created": created,
        "model": ask.model,
        "choices": [_choice(ask, choice, chunk=chunk) for choice in choices],
    }
    return row | ({} if counted is None else {"usage": dict(counted)})


def _choice(ask: Ask, choice: Choice, *, chunk: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"index": choice.index}
    if not ask.chat:
        row["text"] = choice.text
    elif chunk:
        row["delta"] = {"content": choice.text} if choice.text or choice.reason is None else {}
    else:
        row["message"] = {"role": "assistant", "content": choice.text, "refusal": None}
    row["logprobs"] = (
        None
        if choice.tokens is None
        else _chat_logprobs(choice.tokens)
        if ask.chat
        else _text_logprobs(choice.tokens)
    )
    row["finish_reason"] = choice.reason
    return row | ({"alignlab": {"blocked_by": choice.blocked}} if choice.blocked else {})


def opening(ask: Ask, index: int, *, id: str, created: int) -> dict[str, Any]:
    """The first piece of a streamed chat answer: who speaks."""
    delta = {
        "index": index,
        "delta": {"role": "assistant", "content": ""},
        "logprobs": None,
        "finish_reason": None,
    }
    return {
        "id": id,
        "object": "chat.completion.chunk",
        "created": created,
        "model": ask.model,
        "choices": [delta],
    }


def _chat_logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    def one(name: Name, logprob: float | None) -> dict[str, Any]:
        return {"token": name.text, "logprob": logprob, "bytes": list(name.raw)}

    return {
        "content": [
            one(token.name, token.logprob) | {"top_logprobs": [one(*pair) for pair in token.top]}
            for token in tokens
        ],
        "refusal": None,
    }


def _text_logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    """Lists side by side, a place for each token; the token itself is always among its likeliest, as OpenAI
    has it.
    """
    top = [
        None
        if token.logprob is None
        else _by_text(
            [*((name.text, logprob) for name, logprob in token.top), (token.name.text, token.logprob)]
        )
        for token in tokens
    ]
    return {
        "tokens": [token.name.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": top,
        "text_offset": [token.at for token in tokens],
    }


def _by_text(pairs: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Of several tokens that read the same (halves of a character, say) the likeliest."""
    found: dict[str, float] = {}
    for text, logprob in pairs:
        found[text] = max(logprob, found.get(text, logprob))
    return found
