"""What a request asks to be answered or gone on with: the messages of a chat, or texts and token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DataError
from ..records import Message, Prompt, role_of
from ..sampling.answers import CALLS, WORDS, words
from .fields import shown, truth, whole
from .refusal import Refusal

MEDIA = ("audio", "audios", "image", "images", "video", "videos")  # fields of a message that hold no text


def chat_of(row: Mapping[str, Any], ignored: set[str]) -> list[Prompt | list[int] | str]:
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
    if row.get("continue_final_message") is not None and truth(row, "continue_final_message") != opened:
        raise Refusal(
            400,
            (
                "here an answer goes on from the last message if that is the assistant's, and else begins; "
                "continue_final_message asks for the other"
            ),
            param="continue_final_message",
        )
    if row.get("add_generation_prompt") is not None and truth(row, "add_generation_prompt") == opened:
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
            f"{where} has the role {shown(role)}; it may be system, developer, user or assistant",
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
    content, refusal = item.get("content"), None
    if speaker == "assistant":
        refusal = item.get("refusal")
    if isinstance(content, list):
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if not isinstance(kind, str) or not isinstance(part.get(WORDS.get(kind, "")), str):
                raise Refusal(
                    400,
                    (
                        f'{where}.content must be a text, or a list of {{"type": "text", "text": "..."}}; a '
                        f"part of it is {shown(part if kind is None else kind)}"
                    ),
                    param=f"{where}.content",
                )
    elif not isinstance(content, str) and not (content is None and speaker == "assistant"):
        raise Refusal(
            400,
            f'{where}.content must be a text, or a list of {{"type": "text", "text": "..."}}',
            param=f"{where}.content",
        )
    if not isinstance(refusal, str | None):
        raise Refusal(
            400, f"{where}.refusal is {shown(refusal)}; it must be a text", param=f"{where}.refusal"
        )
    return Message(speaker, whole(words({"content": content, "refusal": refusal}) or ""))


def documents_of(row: Mapping[str, Any]) -> list[Prompt | list[int] | str]:
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
