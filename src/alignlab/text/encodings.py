"""Texts that are hidden in others: what an answer says once it is decoded. Each reading is tried and has to
make sense to whoever asks.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

MORSE = {
    code: letter
    for letter, code in zip(
        "abcdefghijklmnopqrstuvwxyz0123456789",
        (
            ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
            "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
        ).split(),
        strict=True,
    )
}
LEET = str.maketrans("013457@$", "oieastas")


def _bytes(data: bytes) -> str:
    return data.decode("utf-8")


def _base64(text: str) -> str:
    packed = re.sub(r"\s", "", text)
    return _bytes(
        base64.b64decode(
            packed + "=" * (-len(packed) % 4),
            altchars=b"-_" if re.search(r"[-_]", packed) else None,
            validate=True,
        )
    )


def _base32(text: str) -> str:
    packed = re.sub(r"\s", "", text).upper()
    return _bytes(base64.b32decode(packed + "=" * (-len(packed) % 8)))


def _hex(text: str) -> str:
    return _bytes(bytes.fromhex(re.sub(r"0x|\\x|[\s,:]", "", text)))


def _binary(text: str) -> str:
    bits = re.sub(r"\s", "", text)
    if len(bits) % 8 or not re.fullmatch(r"[01]{16,}", bits):
        raise ValueError("not eight bits a letter")
    return _bytes(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def _decimal(text: str) -> str:
    return _bytes(bytes(int(number) for number in re.findall(r"\d+", text)))


def _morse(text: str) -> str:
    words = re.split(r"\s*/\s*|\s{2,}|\n", text.strip().replace("\u2013", "-").replace("_", "-"))
    return " ".join("".join(MORSE[code] for code in word.split()) for word in words)


FORMS: tuple[
    tuple[str, str, Callable[[str], str]], ...
] = (  # name, what the whole text must look like, how it is read
    ("binary", r"[01\s]{16,}", _binary),
    ("hex", r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s,:]?)+", _hex),
    ("decimal", r"\d{2,3}(?:[\s,]+\d{2,3})+[\s,]*", _decimal),
    ("base32", r"[A-Za-z2-7\s]+=*\s*", _base32),
    ("base64", r"[A-Za-z0-9+/_\s-]+=*\s*", _base64),
    ("morse", r"[.\-_\u2013/\s]+", _morse),
    ("percent", r"(?s)(?=.*%[0-9a-fA-F]{2}).*", unquote),
    ("rot13", r"(?s).*[a-zA-Z].*", lambda text: codecs.decode(text, "rot13")),
    ("backwards", r"(?s).*[a-zA-Z].*", lambda text: text[::-1]),
    ("atbash", r"(?s).*[a-zA-Z].*", lambda text: text.translate(ATBASH)),
    ("leet", r"(?s).*[a-zA-Z].*", lambda text: text.translate(LEET)),
    (
        "spaced",
        r"(?:[^\s.\-_*][\s.\-_*]+){5,}[^\s.\-_*]?\s*",
        lambda text: " ".join(
            re.sub(r"(\S)[\s.\-_*]", r"\1", word) for word in re.split(r"\s{2,}", text.strip())
        ),
    ),
)
ABC = "abcdefghijklmnopqrstuvwxyz"
ATBASH = str.maketrans(ABC + ABC.upper(), ABC[::-1] + ABC[::-1].upper())


def readings(text: str) -> Iterator[tuple[str, str]]:
    """(name, decoded text) for each encoding that the text could be in: of the whole, and of the longest
    packed piece in it.

    Nothing is yielded that comes out empty, unchanged or with characters that no text has.
    """
    text = text.strip()
    pieces = [text, *sorted(re.findall(r"[A-Za-z0-9+/=_-]{16,}", text), key=len, reverse=True)[:1]]
    for place, piece in enumerate(dict.fromkeys(pieces)):
        for name, form, decode in FORMS:
            if place and name not in ("hex", "base32", "base64") or not re.fullmatch(form, piece):
                continue
            try:
                found = decode(piece)
            except (ValueError, KeyError, binascii.Error, OverflowError):
                continue
            if (
                found.strip()
                and found != piece
                and all(char.isprintable() or char in "\n\t" for char in found)
            ):
                yield name, found
