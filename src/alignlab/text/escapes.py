"""Text of others (model output, data, names, paths, messages of libraries) as a terminal or a page may show
it.

Nothing that is left can move the cursor, color the screen, or turn the direction of writing.
"""

from __future__ import annotations

import unicodedata

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str, limit: int = 0) -> str:
    """The text with control characters, ANSI escapes, bidirectional and zero-width marks and surrogates
    escaped; line ends and tabs stay.

    Args:
        limit: cut after so many characters, with three dots; 0 = never.
    """
    if limit and len(text) > limit:
        text = text[:limit] + "..."
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(map(_seen, text))


def one_line(text: str, limit: int = 0) -> str:
    """As `visible`, on one line: line ends and tabs are escaped too."""
    return visible(text, limit).replace("\n", "\\n").replace("\t", "\\t")


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line (the second of its lines too, where the first only
    announces it); its kind where it says nothing.
    """
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def hidden(char: str) -> bool:
    """Whether a reader would not see the character, or see something else move."""
    return not (" " <= char <= "~") and unicodedata.category(char) in HIDDEN


def _seen(char: str) -> str:
    """The character, escaped as in Python where it is hidden; line ends and tabs as they are."""
    if char in "\n\t" or not hidden(char):
        return char
    code = ord(char)
    if code < 2**8:
        return f"\\x{code:02x}"
    if code < 2**16:
        return f"\\u{code:04x}"
    return f"\\U{code:08x}"
