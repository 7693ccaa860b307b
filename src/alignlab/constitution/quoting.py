"""Text of a candidate or a user inside a question to a judge: none of it reads as the frame."""

from __future__ import annotations

import re

LABELS = ("Principle", "Question", "Answer", "Draft", "Critique", "Revision", "Reason", "Better", "Claim")
HEADS = ("Editor", "Verdict")
_BLANK = r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]"
_BREAKS = re.compile(rf"{_BLANK}*[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]{_BLANK}*")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")
OPTION = re.compile(r"(?<!\w)[(\uff08]\s*([ABab\uff21\uff22])\s*[)\uff09]")
LABEL = re.compile(rf"\b({'|'.join([*LABELS, *(label.upper() for label in LABELS)])})\s*[:\uff1a]")
HEAD = re.compile(rf"(?:^|(?<=[.!?]\s))({'|'.join(HEADS)})\s*\.")
SPECIAL = re.compile(
    r"<(?=\|)|<(?=/?s>)|<(?=(?:start|end)_of_turn>)|<(?=/?(?:bos|eos|pad|unk|user|assistant|system)>)"
    r"|\[(?=/?INST\])|<(?=/?<?SYS>)",
    re.IGNORECASE,
)
ASKED = re.compile(
    (
        r"(?:^|(?<=\s))(?:(?:Human|Assistant|Instruction|Reply [AB]|The reply to it|The principle)\s*:|No "
        r"critique (?:is )?needed|Write only the new reply)"
    ),
    re.IGNORECASE,
)


def breaks_frame(text: str, *, lines: bool = False) -> str:
    """What in a principle's text would break the frame it is put into, in words; "" if nothing does. `lines`
    allows several lines, as examples have.
    """
    if not text.strip():
        return "it is empty"
    if not lines and _BREAKS.search(text):
        return "it has a line break"
    if found := _CONTROL.search(text):
        return f"it has the control character U+{ord(found[0]):04X}"
    if not lines and (found := re.search(r"[{}]", text)):
        return f"it has {found[0]!r}, a gap that nothing fills"
    if found := OPTION.search(text):
        return f"it has {found[0]!r}, which marks an answer that is judged"
    if found := SPECIAL.search(text):
        return f"it has {text[found.start() : found.start() + 12]!r}, a mark of a model's own"
    if found := re.match(rf"\s*(?:({'|'.join(LABELS)})\s*:|({'|'.join(HEADS)})\s*\.)", text, re.IGNORECASE):
        return f"it begins with {found[0].strip()!r}, a label of the frame"
    return ""


def quoted(text: str) -> str:
    """A text of a candidate or of a user as part of a document: one line, and none of it reads as the frame.

    Line breaks become spaces; "(A)" becomes "[A]"; a label's colon becomes a comma, a head's full stop too;
    marks such as <|end|> are pulled apart.
    """
    text = _CONTROL.sub("", _BREAKS.sub(" ", text)).strip()
    return _pulled_apart(HEAD.sub(r"\1,", LABEL.sub(r"\1,", text)))


def quoted_lines(text: str) -> str:
    """The same for a chat: lines and labels are kept, each line behind "> "."""
    plain = _CONTROL.sub("", re.sub(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", "\n", text)).strip()
    return "\n".join(f"> {_pulled_apart(line)}".rstrip() for line in plain.split("\n"))


def _pulled_apart(text: str) -> str:
    return SPECIAL.sub(lambda mark: f"{mark[0]} ", OPTION.sub(r"[\1]", text))
