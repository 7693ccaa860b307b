"""What a server that speaks OpenAI's API may answer with, read into texts: whole, in parts, as a refusal,
streamed though nobody asked, by other names.

Shapes seen in the field: a refusal in `message.refusal` (OpenAI), content as a list of parts (text, refusal,
thinking), reasoning beside the content, the end of an answer by other names (Anthropic's, Gemini's and
Cohere's gateways, older vLLM and TGI), a content filter in the place of an answer (Azure), log-probabilities
in the old shape or the new one, events of a stream, usage by other names or none at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

REFUSAL = "I cannot help with that."
"""What stands where somebody other than the model refused, and gave no words."""
FINISHED = frozenset(
    {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "end_of_text", "complete", "completed"}
)
FILTERED = (
    "content_filter",
    "content-filter",
    "contentfilter",
    "content_policy",
    "contentpolicy",
    "safety",
    "image_safety",
    "refusal",
    "prohibited_content",
    "recitation",
    "blocklist",
    "spii",
    "guardrail",
    "error_toxic",
    "moderation",
    "flagged",
    "sensitive",
    "data_inspection_failed",
    "responsibleaipolicyviolation",
)
"""How the names begin by which servers say that a filter ended the answer, or the request. Every other end
(length, max_tokens, tool_calls, abort, none) is no end.
"""
FLAGGED = re.compile(
    r"ContentPolicyViolation|Content Exists Risk|flagged as potentially violating|\binput was flagged\b",
    re.IGNORECASE,
)
"""What LiteLLM, DeepSeek, OpenAI and OpenRouter say of it in words, under a code that says nothing."""
WORDS = {"text": "text", "output_text": "text", "input_text": "text", "refusal": "refusal"}
"""Parts of a message that are words to its reader, and the field that holds them."""
THOUGHTS = ("reasoning", "reasoning_content", "thinking")
CALLS = ("tool_calls", "function_call")
COUNTS = (("total_tokens",), ("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))
"""Names by which servers count tokens: of all, or of what adds up to them."""


class NoAnswer(ValueError):
    """It is not what the API promises, in words."""


def read_answer(body: bytes, *, asked: int, chat: bool) -> dict[str, Any]:
    """`choices` and `tokens` of an answer; `top`, the likeliest first tokens with their log-probabilities,
    where it has them.

    A choice is (text, finished, blocked). A refusal is the answer, wherever it stands. `finished`: it ended
    by itself and says something, so neither one that was cut nor one that calls a tool is. `blocked` names
    the filter that ended it, or is empty; one that a filter left without a word is `REFUSAL`, for it was
    refused. Thoughts and tool calls are no words of it.

    Args:
        asked: bytes of the request, to guess tokens by where the server counts none.
        chat: which shape of log-probabilities is looked for first.

    Raises:
        NoAnswer: it is not what the API promises.
    """
    document = _document(body)
    rows = document.get("choices")
    if not isinstance(rows, list) or not rows:
        raise NoAnswer("no choices")
    choices = [_choice(row) for row in rows]
    letters = asked + sum(len(text) for text, _, _ in choices)
    answer: dict[str, Any] = {"choices": choices, "tokens": _counted(document.get("usage"), letters)}
    if top := likeliest(rows[0], chat=chat):
        answer["top"] = top
    return answer


def words(message: Mapping[str, Any]) -> str | None:
    """What a message says: its content, whole or in parts, and its refusal. None: it has neither, or one that
    cannot be read.
    """
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, list):
        parts = [_part(part) for part in content]
        if None in parts:
            return None
        content = "".join(part for part in parts if part)
    if content is not None and not isinstance(content, str):
        return None
    if refusal and not isinstance(refusal, str) and not (content and content.strip()):
        return REFUSAL
    if not isinstance(refusal, str) or not refusal.strip() or refusal == content:
        return content
    return f"{content.rstrip()}\n{refusal}" if content and content.strip() else refusal


def filtered(body: bytes) -> bool:
    """Whether an error says that a content filter stopped the prompt (Azure: status 400 with this code). That
    is a refusal, by the provider.
    """
    with suppress(ValueError, RecursionError, KeyError, TypeError, AttributeError):
        document = json.loads(body)
        if any(_flags(item) for item in document.get("prompt_filter_results") or []):
            return True
        error = document.get("error") or document
        codes = [error.get("code"), error.get("type")]
        for inner in ("innererror", "inner_error"):
            codes.append((error.get(inner) or {}).get("code"))
        if any(isinstance(code, str) and _is_filter(code) for code in codes):
            return True
        message = error.get("message")
        return isinstance(message, str) and FLAGGED.search(message[:2000]) is not None
    return False


def likeliest(choice: Any, *, chat: bool) -> list[tuple[str, float]]:
    """The likeliest first tokens of a choice, likeliest first; none where the server gives none, or what is
    no log-probability.
    """
    logprobs = choice.get("logprobs") if isinstance(choice, dict) else None
    for read in (_new_shape, _old_shape) if chat else (_old_shape, _new_shape):
        with suppress(KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError):
            pairs = [(clean(token), max(_logprob(p), -1e9)) for token, p in read(logprobs)]
            if pairs:
                return sorted(pairs, key=lambda pair: -pair[1])
    return []


def clean(text: str) -> str:
    """The text without what no file could hold: half of a surrogate pair, NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


# below: how


def _document(body: bytes) -> dict[str, Any]:
    """The answer as one object; events of a stream are put together. Deep nesting and numbers of thousands of
    digits are no JSON here.
    """
    if body.lstrip()[:6].startswith((b"data:", b"event:", b":", b"id:")):
        return _stream(body)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise NoAnswer("not JSON") from None
    if not isinstance(document, dict):
        raise NoAnswer("no choices")
    return document


def _stream(body: bytes) -> dict[str, Any]:
    """The events of a stream as the answer they are the pieces of. Raises NoAnswer: it was cut, or says that
    something went wrong.
    """
    choices: dict[int, dict[str, Any]] = {}
    usage, ended = None, False
    for line in body.decode("utf-8", "replace").split("\n"):
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        ended = ended or data == "[DONE]"
        if not data or ended:
            continue
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise NoAnswer("an event of its stream is not JSON") from None
        pieces = _pieces(event)
        usage = event.get("usage") or usage
        for piece in pieces:
            empty = {"texts": {"content": [], "refusal": []}, "message": {}}
            _add(choices.setdefault(piece.get("index") or 0, empty), piece)
    if not choices:
        raise NoAnswer("no choices")
    if not ended and not all(_end(choice) for choice in choices.values()):
        raise NoAnswer("a stream that does not end")
    for choice in choices.values():
        for name, parts in choice.pop("texts").items():
            choice["message"][name] = "".join(parts)
    return {"choices": [choices[place] for place in sorted(choices)], "usage": usage}


def _pieces(event: Any) -> list[dict[str, Any]]:
    """What one event adds, each to a choice by number."""
    pieces = event.get("choices", []) if isinstance(event, dict) and "error" not in event else None
    if not isinstance(pieces, list):
        raise NoAnswer("an event of its stream is no piece of an answer")
    for piece in pieces:
        if not isinstance(piece, dict) or type(piece.get("index") or 0) is not int:
            raise NoAnswer("an event of its stream is no piece of an answer")
    return pieces


def _add(choice: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """One piece of a stream, to the choice that it is of."""
    delta = piece.get("delta") or piece.get("message") or {"content": piece.get("text")}
    if not isinstance(delta, dict):
        raise NoAnswer("an event of its stream is no piece of an answer")
    for name, parts in choice["texts"].items():
        parts.append(words({"content": delta.get(name)}) or "")
    for name in CALLS:
        if delta.get(name):
            choice["message"][name] = True
    for name in ("finish_reason", "stop_reason", "logprobs"):
        if piece.get(name) and not choice.get(name):
            choice[name] = piece[name]


def _choice(choice: Any) -> tuple[str, bool, str]:
    """(text, finished, blocked) of a choice."""
    if not isinstance(choice, dict):
        raise NoAnswer("a choice without text")
    message = choice.get("message") or choice.get("delta")
    calls = False
    if isinstance(message, dict):
        text, calls = _spoken(message), any(message.get(name) for name in CALLS)
    else:
        text = choice.get("text")
    end, blocked = _end(choice), ""
    if _is_filter(end) or (not text and _stopped(choice)):
        blocked = _blocker(choice)
    if isinstance(text, str):
        text = clean(text)
    elif blocked:
        text = ""
    else:
        raise NoAnswer("a choice without text")
    if blocked and not text:
        return REFUSAL, True, blocked
    return text, end in FINISHED and text != "" and not calls, blocked


def _spoken(message: Mapping[str, Any]) -> str | None:
    """The words of a message; empty where it only calls a tool, thinks or says that it has none. None: it has
    nothing.
    """
    text = words(message)
    if text is not None:
        return clean(text).strip()
    calls = any(message.get(name) for name in CALLS)
    thinks = any(isinstance(message.get(name), str) for name in THOUGHTS)
    return "" if calls or thinks or ("content", None) in message.items() else None


def _part(part: Any) -> str | None:
    """The words of one part of a message; empty for what is none (a thought, a call, a picture). None: it is
    no part.
    """
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return None
    kind = part.get("type", "text")
    if not isinstance(kind, str):
        return None
    text = part.get(WORDS.get(kind, ""), "")
    if isinstance(text, dict):  # as OpenAI's assistants have it
        text = text.get("value")
    return text if isinstance(text, str) else None


def _end(choice: Mapping[str, Any]) -> str:
    """Why a choice ended, in lower case; empty where it does not say."""
    for name in ("finish_reason", "stop_reason"):
        if isinstance(end := choice.get(name), str) and end:
            return re.sub(r"^finish_?reason[._]", "", end.lower())
    return ""


def _is_filter(end: str) -> bool:
    return end.lower().startswith(FILTERED)


def _flags(item: Mapping[str, Any]) -> bool:
    """Whether one of Azure's filters says that it stopped something."""
    return any(
        isinstance(result, dict) and result.get("filtered") is True
        for result in item.get("content_filter_results", {}).values()
    )


def _stopped(choice: Mapping[str, Any]) -> bool:
    """Whether a choice without a word says elsewhere than in its end that a filter stopped it: Azure's
    filters, OpenRouter's error and the provider's own end.
    """
    with suppress(TypeError, AttributeError):
        native = choice.get("native_finish_reason")
        return (
            _flags(choice)
            or (isinstance(native, str) and _is_filter(native))
            or ("error" in choice and filtered(json.dumps({"error": choice["error"]}).encode()))
        )
    return False


def _blocker(choice: Mapping[str, Any]) -> str:
    """The defence that our own server names; of others, that it was a filter."""
    ours = choice.get("alignlab")
    name = ours.get("blocked_by") if isinstance(ours, dict) else None
    return clean(name)[:60] if isinstance(name, str) and name else "content_filter"


def _counted(usage: Any, letters: int) -> int:
    """Tokens as the server counts them; a quarter of the letters where it does not."""
    counted: dict[str, Any] = usage if isinstance(usage, dict) else {}
    for names in COUNTS:
        counts = [counted.get(name, -1) for name in names]
        if all(type(count) is int and 0 <= count < 10**9 for count in counts):
            return sum(counts)
    return letters // 4


def _new_shape(logprobs: Any) -> Sequence[tuple[str, float]]:
    """`content`: an entry for each token, with those likeliest in its place."""
    first = logprobs["content"][0]
    return [(entry["token"], entry["logprob"]) for entry in first.get("top_logprobs") or [first]]


def _old_shape(logprobs: Any) -> Sequence[tuple[str, float]]:
    """Lists side by side: `tokens`, `token_logprobs`, `top_logprobs`."""
    top = logprobs.get("top_logprobs")
    if top and top[0]:
        return list(top[0].items())
    return [(logprobs["tokens"][0], logprobs["token_logprobs"][0])]


def _logprob(value: Any) -> float:
    """Raises TypeError or ValueError for what is none; NaN is not <= anything."""
    if isinstance(value, bool) or not value <= 1e-3:
        raise ValueError
    return float(value)
