"""Where the tokens of an answer begin in its text, and what each is called."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..models.chat_template import text_of

MOST_PARTS = 4  # tokens that one character may take: it has at most so many bytes
BEFORE = 8  # tokens before a text that are looked at: two characters at the least
_PLAIN = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = {chr(byte): byte for byte in _PLAIN} | {
    chr(256 + i): byte for i, byte in enumerate(sorted(set(range(256)) - set(_PLAIN)))
}
"""Byte-level vocabularies (GPT-2's and all after it) write each byte as one of these characters."""


@dataclass(frozen=True, slots=True)
class Name:
    """What a token is called: its text, or as OpenAI has it `bytes:\\xe2\\x80` for one that is part of a
    character.
    """

    text: str
    raw: bytes

    @staticmethod
    def of(text: str) -> Name:
        return Name(text, text.encode("utf-8", "replace"))


class Names:
    """Names of a vocabulary's tokens as they stand in the middle of a text."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._known: dict[int, Name] = {}

    def __getitem__(self, token: int) -> Name:
        if token not in self._known:
            self._known[token] = self._name(token)
        return self._known[token]

    def _name(self, token: int) -> Name:
        text, inner = text_of(self.tokenizer, [token]), str(self.tokenizer.convert_ids_to_tokens(token))
        if "\ufffd" in text and (raw := _bytes(inner)) is not None:
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                spelled = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw)
                return Name(f"bytes:{spelled}", raw)
        if not text:
            text = inner if inner.strip("\u0120\u2581") else " " * len(inner)
        elif inner.startswith(("\u0120", "\u2581")) and not text.startswith(" "):
            text = f" {text}"  # a decoder strips a text's first blank
        return Name.of(text)


class Places:
    """Finds where tokens begin in the text that they write, one after the other.

    A token's piece of the text is what is decoded with it and the tokens before it, and not without it:
    blanks that a decoder adds or drops at the beginning of a text are then nobody's. Tokens that are parts of
    one character all begin where it does, and the last of them ends it.

    Args:
        before: tokens before the first one, whose text is none of this; the last few matter.
    """

    def __init__(self, tokenizer: Any, *, before: Sequence[int] = ()) -> None:
        self.tokenizer, self.at = tokenizer, 0
        self._before, self._parts = list(before[-BEFORE:]), []

    def next(self, token: int, text: str) -> tuple[int, str]:
        """Where the token begins, and its piece of the text; empty for part of a character, and for what is
        not shown.

        Args:
            text: what they all write, as far as it is known.
        """
        self._parts.append(token)
        head, whole = (text_of(self.tokenizer, ids) for ids in (self._before, self._before + self._parts))
        piece, start = whole[len(head) :], self.at
        if piece.endswith("\ufffd") and len(self._parts) < MOST_PARTS and self._goes_on(text[start:], piece):
            return start, ""
        alone = len(self._parts) == 1
        if piece:
            self._before, self.at = self._parts, start + len(piece)
        elif not text_of(self.tokenizer, self._parts):
            # the blank before a text: with it before them, others keep theirs
            self._before = self._before + self._parts
        self._parts = []
        return start, piece if alone else ""

    def _goes_on(self, text: str, piece: str) -> bool:
        """Whether the rest of a character is still to come: by the bytes of its parts, where they have names,
        else by the text.
        """
        raws = [_bytes(str(self.tokenizer.convert_ids_to_tokens(token))) for token in self._parts]
        if None in raws:
            return not text.startswith(piece)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(b"".join(raw for raw in raws if raw))
        except UnicodeDecodeError:
            return False
        return decoder.getstate()[0] != b""


def spans(tokenizer: Any, text: str) -> list[tuple[int, str]] | None:
    """Where the tokens of a text begin in it, and their pieces of it, as its tokenizer cut it up: also where
    it reads other characters than stand there. None: it does not say.

    A blank before a word, which some tokenizers leave out of the word's span, is the word's.
    """
    if not getattr(tokenizer, "is_fast", False):
        return None
    found, end = [], 0
    for start, stop in tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)[
        "offset_mapping"
    ]:
        found.append(min(start, end))
        end = max(end, stop)
    return [(start, text[start:stop]) for start, stop in zip(found, [*found[1:], len(text)], strict=True)]


def tail(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """The last of these ids that are whole characters: a text that goes on is decoded behind these."""
    return next(
        (list(ids[-k:]) for k in range(1, BEFORE + 1) if "\ufffd" not in text_of(tokenizer, ids[-k:])),
        list(ids[-1:]),
    )


def _bytes(name: str) -> bytes | None:
    """The bytes of a token by its name in the vocabulary; None where it has no such name."""
    if found := re.fullmatch("<0x([0-9A-Fa-f]{2})>", name):
        return bytes([int(found[1], 16)])
    return bytes(BYTES[char] for char in name) if all(char in BYTES for char in name) else None
