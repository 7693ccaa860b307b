"""Spellings of text, written and read: how a request is hidden (`data.wrappers`), and what an answer says
once it is decoded. Each reading is tried and has to make sense to whoever asks.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote


@dataclass(frozen=True)
class Spelling:
    """A spelling of text.

    Attributes:
        write: how it is written; `read`: how it is read back, also as others write it (None: nobody could).
            Raises ValueError or KeyError for what is not written so.
        named: how a prompt names it; "" = it needs no word.
        source: who published it, or "folklore".
        lossless: `read` gives every text of plain letters back as it was.
        form: what a whole text must look like for `readings` to try it; "" = never.
    """

    write: Callable[[str], str]
    read: Callable[[str], str] | None
    named: str = ""
    source: str = "folklore"
    lossless: bool = True
    form: str = ""


# text as bytes, bytes as text


def _packed(text: str) -> str:
    return re.sub(r"\s", "", text)


def to_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def unbase64(text: str) -> str:
    """Also with the letters of addresses, `-` and `_`, and without the padding."""
    packed = _packed(text)
    others = b"-_" if re.search(r"[-_]", packed) else None
    padding = "=" * (-len(packed) % 4)
    return base64.b64decode(packed + padding, altchars=others, validate=True).decode()


def to_base32(text: str) -> str:
    return base64.b32encode(text.encode()).decode()


def unbase32(text: str) -> str:
    packed = _packed(text).upper()
    return base64.b32decode(packed + "=" * (-len(packed) % 8)).decode()


def to_hex(text: str) -> str:
    return text.encode().hex()


def unhex(text: str) -> str:
    """Also with `0x` or `\\x` before each byte, and blanks, commas or colons between them."""
    return bytes.fromhex(re.sub(r"0x|\\x|[\s,:]", "", text)).decode()


def binary(text: str) -> str:
    return " ".join(f"{byte:08b}" for byte in text.encode())


def unbinary(text: str) -> str:
    bits = _packed(text)
    if len(bits) % 8 or not re.fullmatch("[01]+", bits):
        raise ValueError("not eight bits per letter")
    return int(bits, 2).to_bytes(len(bits) // 8, "big").decode()


def codes(text: str) -> str:
    return " ".join(str(ord(char)) for char in text)


def uncodes(text: str) -> str:
    """Numbers of bytes, or else of characters."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    try:
        return bytes(numbers).decode()
    except ValueError:
        return "".join(map(chr, numbers))


def percent(text: str) -> str:
    return quote(text, safe="")


# letters for letters


def rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def _shift(char: str, by: int) -> str:
    if not ("a" <= char <= "z" or "A" <= char <= "Z"):
        return char
    first = ord("a" if char.islower() else "A")
    return chr((ord(char) - first + by) % 26 + first)


def caesar(text: str, shift: int = 3) -> str:
    return "".join(_shift(char, shift) for char in text)


def uncaesar(text: str) -> str:
    return caesar(text, -3)


ABC = "abcdefghijklmnopqrstuvwxyz"
ATBASH = str.maketrans(ABC + ABC.upper(), ABC[::-1] + ABC[::-1].upper())
LEET, UNLEET = str.maketrans("aeiostAEIOST", "431057431057"), str.maketrans("013457@$", "oieastas")
HOMOGLYPHS = str.maketrans(
    "aceopxyiACEHOPTX",
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0410\u0421\u0415\u041d\u041e\u0420\u0422\u0425",
)
LATIN = {after: before for before, after in HOMOGLYPHS.items()}
MORSE = dict(
    zip(
        f"{ABC}0123456789.,?'!-",
        (
            ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- "
            "-..- -.-- --.. ----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. "
            ".-.-.- --..-- ..--.. .----. -.-.-- -....-"
        ).split(),
        strict=True,
    )
)
UNMORSE = {code: char for char, code in MORSE.items()}


def atbash(text: str) -> str:
    return text.translate(ATBASH)


def leet(text: str) -> str:
    return text.translate(LEET)


def unleet(text: str) -> str:
    return text.translate(UNLEET)


def homoglyphs(text: str) -> str:
    return text.translate(HOMOGLYPHS)


def latin(text: str) -> str:
    return text.translate(LATIN)


def morse(text: str) -> str:
    """Letters by one space, words by " / "; a character that has no code is left out."""
    words = text.lower().split()
    return " / ".join(" ".join(MORSE[char] for char in word if char in MORSE) for word in words)


def unmorse(text: str) -> str:
    plain = text.strip().replace("\u2013", "-").replace("_", "-")
    words = re.split(r"\s*/\s*|\s{2,}|\n", plain)
    return " ".join("".join(UNMORSE[code] for code in word.split()) for word in words)


# words and letters moved, and filled up


def backwards(text: str) -> str:
    return text[::-1]


def words_reversed(text: str) -> str:
    return " ".join(reversed(text.split()))


def spaced(text: str) -> str:
    """The letters of a word apart, words by two spaces further."""
    return "  ".join(" ".join(word) for word in text.split())


def unspaced(text: str) -> str:
    """Also with dots, dashes, underscores or stars between the letters."""
    words = re.split(r"\s{2,}", text.strip())
    return " ".join(re.sub(r"(\S)[\s.\-_*]", r"\1", word) for word in words)


def hyphened(text: str) -> str:
    return " ".join("-".join(word) for word in text.split())


def stuffed(text: str, filler: str = "hey") -> str:
    """A word of no meaning after every word."""
    return " ".join(f"{word} {filler}" for word in text.split())


def pig_latin(text: str) -> str:
    """A word's first consonants go behind it, then "ay" ("way" if there are none)."""

    def one(match: re.Match[str]) -> str:
        word = match[0]
        tail = word.lstrip("bcdfghjklmnpqrstvwxyzBCDFGHJKLMNPQRSTVWXYZ")
        if not tail:
            return f"{word}ay"
        head = word[: len(word) - len(tail)]
        return f"{tail}{head}ay" if head else f"{word}way"

    return re.sub(r"[A-Za-z]+", one, text)


def no_vowels(text: str) -> str:
    return re.sub(r"(?<=[A-Za-z])[aeiou]", "", text)


def alternating(text: str) -> str:
    return "".join(char.upper() if place % 2 else char.lower() for place, char in enumerate(text))


# what a reader would not see


ZERO_WIDTH, COMBINING = "\u200b", ("\u0300", "\u0301", "\u0302", "\u0303", "\u0308", "\u0323", "\u0331")


def zero_width(text: str) -> str:
    return ZERO_WIDTH.join(text)


def zalgo(text: str) -> str:
    """Marks above and below every letter."""
    letters = list(text)
    for place, char in enumerate(letters):
        if char.isalpha():
            letters[place] = char + COMBINING[place % 7] + COMBINING[(place + 3) % 7]
    return "".join(letters)


def unzalgo(text: str) -> str:
    return "".join(char for char in text if char not in COMBINING)


TAGS = {code: 0xE0000 + code for code in range(32, 127)}
WIDE = {code: 0xFEE0 + code for code in range(33, 127)}
UNTAGS, UNWIDE = ({after: before for before, after in table.items()} for table in (TAGS, WIDE))


def tagged(text: str) -> str:
    """ASCII as tag characters (U+E0000), which most fonts draw as nothing."""
    return text.translate(TAGS)


def untagged(text: str) -> str:
    return text.translate(UNTAGS)


def wide(text: str) -> str:
    return text.translate(WIDE)


def unwide(text: str) -> str:
    return text.translate(UNWIDE)


WEI = "Wei et al. 2023, Jailbroken"
CIPHER = "Yuan et al. 2024, CipherChat"
GARAK = "garak's encoding probes (Derczynski et al. 2024)"
FLIP = "Liu et al. 2024, FlipAttack"
PYRIT = "PyRIT's converters"
BAD_CHARACTERS = "Boucher et al. 2022, Bad Characters"
LETTERS, PERCENT = r"(?s).*[a-zA-Z].*", r"(?s)(?=.*%[0-9a-fA-F]{2}).*"
CODES = r"\d{2,3}(?:[\s,]+\d{2,3})+[\s,]*"
APART = r"(?:[^\s.\-_*][\s.\-_*]+){5,}[^\s.\-_*]?\s*"
# fmt: off
SPELLINGS: dict[str, Spelling] = {
    "base64": Spelling(to_base64, unbase64, "in base64", WEI, form=r"[A-Za-z0-9+/_\s-]+=*\s*"),
    "base32": Spelling(to_base32, unbase32, "in base32", GARAK, form=r"[A-Za-z2-7\s]+=*\s*"),
    "hex": Spelling(to_hex, unhex, "in hexadecimal", GARAK, form=r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s,:]?)+"),
    "binary": Spelling(binary, unbinary, "in binary", GARAK, form=r"[01\s]{16,}"),
    "ascii-codes": Spelling(codes, uncodes, "in ASCII codes", CIPHER, form=CODES),
    "percent": Spelling(percent, unquote, "with percent signs, as in addresses", form=PERCENT),
    "rot13": Spelling(rot13, rot13, "in ROT13", WEI, form=LETTERS),
    "caesar": Spelling(caesar, uncaesar, "with every letter three further", CIPHER),
    "atbash": Spelling(atbash, atbash, "with the alphabet turned round", CIPHER, form=LETTERS),
    "morse": Spelling(morse, unmorse, "in Morse code", CIPHER, form=r"[.\-_\u2013/\s]+"),
    "reversed": Spelling(backwards, backwards, "from right to left", FLIP, form=LETTERS),
    "words-reversed": Spelling(words_reversed, words_reversed, "with the words from last to first", FLIP),
    "spaced": Spelling(spaced, unspaced, "with spaces between the letters", form=APART),
    "hyphened": Spelling(hyphened, lambda text: text.replace("-", ""), "with dashes between the letters"),
    "stuffed": Spelling(stuffed, lambda t: " ".join(t.split()[::2]), "with a word too many after each word"),
    "pig-latin": Spelling(pig_latin, None, "in pig Latin", PYRIT),
    "leet": Spelling(leet, unleet, "", WEI, lossless=False, form=LETTERS),
    "no-vowels": Spelling(no_vowels, None, "without its vowels", WEI),
    "alternating": Spelling(alternating, str.lower, "", PYRIT),
    "homoglyphs": Spelling(homoglyphs, latin, "", BAD_CHARACTERS),
    "zero-width": Spelling(zero_width, lambda text: text.replace(ZERO_WIDTH, ""), "", BAD_CHARACTERS),
    "zalgo": Spelling(zalgo, unzalgo, "", GARAK),
    "full-width": Spelling(wide, unwide, "", PYRIT),
    "tags": Spelling(tagged, untagged, "", "Goodside 2024, ASCII smuggling"),
}
# fmt: on
TRIED = (
    *("binary", "hex", "ascii-codes", "base32", "base64", "morse"),
    *("percent", "rot13", "reversed", "atbash", "leet", "spaced"),
)
"""Those with a form, the narrowest first: what is binary could be read as hexadecimal too."""
PACKED = ("hex", "base32", "base64")


def readings(text: str) -> Iterator[tuple[str, str]]:
    """(name, decoded text) for each spelling that the text could be in: of the whole, and of the longest
    packed piece in it.

    Nothing is yielded that comes out empty, unchanged or with characters that no text has.
    """
    text = text.strip()
    for name in TRIED:
        if decoded := _read(name, text):
            yield name, decoded
    piece = max(re.findall(r"[A-Za-z0-9+/=_-]{16,}", text), key=len, default=text)
    if piece != text:
        for name in sorted(PACKED, key=TRIED.index):
            if decoded := _read(name, piece):
                yield name, decoded


def _read(name: str, text: str) -> str:
    """The text read in a spelling; empty where it cannot be."""
    spelling = SPELLINGS[name]
    if spelling.read is None or not re.fullmatch(spelling.form, text):
        return ""
    try:
        decoded = spelling.read(text)
    except (ValueError, KeyError, binascii.Error, OverflowError):
        return ""
    is_text = all(char.isprintable() or char in "\n\t" for char in decoded)
    return decoded if is_text and decoded.strip() and decoded != text else ""
