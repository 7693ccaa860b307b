"""What a model is asked: messages, prompts, and plain text."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import DataError

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
ROLE_NAMES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
}
"""What formats of the field and chat APIs call whom, in data files and in requests to the server alike."""
TOOL_ROLES = (
    "tool",
    "function",
    "function_call",
    "tool_call",
    "tool_calls",
    "observation",
    "function_response",
    "tool_response",
    "ipython",
)


def filled(**columns: Any) -> dict[str, Any]:
    """Those of the columns of a row that hold something."""
    return {name: value for name, value in columns.items() if value}


def role_of(name: Any) -> Role:
    """The role behind the name that a message gives its speaker, however it is capitalized.

    Raises:
        DataError: a tool's turn, which no template here renders, or a name that nobody knows.
    """
    spoken = name.strip().lower() if isinstance(name, str) else None
    if spoken in ROLE_NAMES:
        return ROLE_NAMES[spoken]
    if spoken in TOOL_ROLES:
        raise DataError(
            f"a turn of {spoken!r}: calls of tools and what they return are not rendered",
            remedy="take conversations with tools out, or write what the tool said into a turn of the user",
        )
    raise DataError(f"a turn of {name!r:.40}", remedy=f"roles: {', '.join(ROLE_NAMES)}")


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str

    def to_json(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the policy is given: messages that end with the user's turn.

    `meta` belongs to the source of the prompt (the town puts its request there) and is carried along
    untouched.
    """

    messages: tuple[Message, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def user(text: str, **meta: Any) -> Prompt:
        """A prompt of one user turn."""
        return Prompt((Message("user", text),), meta)

    @property
    def text(self) -> str:
        """The last user turn, for people to read."""
        return self.messages[-1].content if self.messages else ""

    @property
    def id(self) -> str:
        """Sixteen hex digits that depend on the messages alone."""
        joined = "\x1e".join(f"{m.role}\x1f{m.content}" for m in self.messages)
        return hashlib.sha256(joined.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        return {"prompt": [m.to_json() for m in self.messages]} | filled(meta=dict(self.meta))

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Prompt:
        return Prompt(messages_from_json(row["prompt"]), row.get("meta") or {})


SENTENCE_MARKS = str.maketrans(dict.fromkeys(".,;:!?\"'“”„‘’«»…¿¡。，、；：！？", " "))
"""Marks that end and quote sentences: without them a question is the same one."""


def question(prompt: Prompt) -> str:
    """What is asked, in whatever words: the unit by which data is split, drawn anew and avoided.

    A question is a kind and its parameters where `meta` has both (`kind`, `params`, as the town's prompts
    do). Of any other prompt it is who said what, without regard to capitals, blanks and marks of sentences.
    """
    if "kind" in prompt.meta and "params" in prompt.meta:
        asked = [prompt.meta["kind"], prompt.meta["params"]]
    else:
        asked = [[m.role, _letters(m.content)] for m in prompt.messages]
    return json.dumps(asked, sort_keys=True, ensure_ascii=False, default=str)


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold().translate(SENTENCE_MARKS)
    return " ".join(re.findall(r"\w+|[^\w\s]", plain)) or text


def messages_from_json(value: Any) -> tuple[Message, ...]:
    """Messages from a list of `{"role", "content"}`, or from a string, which becomes one user turn."""
    if isinstance(value, str):
        return (Message("user", value),)
    if not isinstance(value, list):
        raise DataError(f"a prompt must be a string or a list of messages, not {type(value).__name__}")
    messages = []
    for item in value:
        role = content = None
        if isinstance(item, Mapping):
            role, content = item.get("role"), item.get("content")
        if not isinstance(role, str) or not isinstance(content, str):
            raise DataError(
                f"a message needs a role ({', '.join(ROLES)}) and a text content, not {item!r:.80}"
            )
        messages.append(Message(role_of(role), content))
    return tuple(messages)


@dataclass(frozen=True, slots=True)
class Text:
    """A document for language modelling."""

    text: str
    meta: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text} | filled(meta=dict(self.meta))

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Text:
        return Text(row["text"], row.get("meta") or {})
