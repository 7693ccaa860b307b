"""Answers as OpenAI's documents: whole, or the pieces of a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .places import Name
from .protocol import Ask


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
    kind = "text_completion"
    if ask.chat:
        kind = "chat.completion.chunk" if chunk else "chat.completion"
    row: dict[str, Any] = {
        "id": id,
        "object": kind,
        "created": created,
        "model": ask.model,
        "choices": [_choice(ask, choice, chunk=chunk) for choice in choices],
    }
    if counted is not None:
        row["usage"] = dict(counted)
    return row


def _choice(ask: Ask, choice: Choice, *, chunk: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"index": choice.index}
    if not ask.chat:
        row["text"] = choice.text
    elif chunk:
        row["delta"] = {}
        if choice.text or choice.reason is None:
            row["delta"]["content"] = choice.text
    else:
        row["message"] = {"role": "assistant", "content": choice.text, "refusal": None}
    row["logprobs"] = None
    if choice.tokens is not None:
        row["logprobs"] = _chat_logprobs(choice.tokens) if ask.chat else _text_logprobs(choice.tokens)
    row["finish_reason"] = choice.reason
    if choice.blocked:
        row["alignlab"] = {"blocked_by": choice.blocked}
    return row


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

    content = []
    for token in tokens:
        content.append(one(token.name, token.logprob) | {"top_logprobs": [one(*pair) for pair in token.top]})
    return {"content": content, "refusal": None}


def _text_logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    """Lists side by side, a place for each token; the token itself is always among its likeliest, as OpenAI
    has it.
    """
    return {
        "tokens": [token.name.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [_by_text(token) for token in tokens],
        "text_offset": [token.at for token in tokens],
    }


def _by_text(token: Token) -> dict[str, float] | None:
    """The likeliest in a token's place; of several that read the same (halves of a character, say) the
    likeliest.
    """
    if token.logprob is None:
        return None
    by_text: dict[str, float] = {}
    for name, logprob in [*token.top, (token.name, token.logprob)]:
        by_text[name.text] = max(logprob, by_text.get(name.text, logprob))
    return by_text
