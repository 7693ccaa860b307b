"""Checks of rows, one by one: what could not be read, what is damaged, what teaches nothing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from ...records import Prompt, Unpaired
from ..formats import GUESSED, NEGATIVE, REPEATED, TEMPLATED
from ..layouts import ORDER, parts
from .findings import RARE, SHOWN, Finding, Patient, look_if, messages_of, texts_of


def unreadable_rows(p: Patient) -> list[Finding]:
    if not p.broken:
        return []
    reasons = Counter(error.what.split("(")[0].strip() for error in p.broken)
    said = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(4))
    examples = tuple(f"{error.where}  {error.what}" for error in p.broken[:SHOWN])
    rows = p.report.read if p.report else len(p.broken)
    return [
        Finding(
            "unreadable-rows",
            "broken",
            f"{len(p.broken)} of {rows} rows cannot be read: {said}",
            p.broken[0].remedy or "mend the rows, or take them out",
            len(p.broken),
            examples,
        )
    ]


def mixed_formats(p: Patient) -> list[Finding]:
    if p.report is None or len(p.report.formats) < 2:
        return []
    said = ", ".join(f"{count} {name}" for name, count in p.report.formats.items())
    return [
        Finding(
            "mixed-formats",
            "broken",
            f"the rows are in different formats: {said}",
            "put each format into a file of its own, and name them as a mixture",
            min(p.report.formats.values()),
        )
    ]


def teaches_nothing(p: Patient) -> list[Finding]:
    """Rows that the loader drops: empty or identical completions, ties."""
    if p.report is None or not p.report.dropped:
        return []
    dropped = sum(p.report.dropped.values())
    verdict = look_if(dropped > RARE * p.report.read)
    if not p.records and not p.broken:
        verdict = "broken"
    return [
        Finding(
            "teaches-nothing",
            verdict,
            f"{dropped} of {p.report.read} rows teach nothing and are dropped: {p.report.dropped_text()}",
            "look at what wrote the rows if there are many of them",
            dropped,
        )
    ]


def columns_not_read(p: Patient) -> list[Finding]:
    """Columns with text that no reader used: a part of the prompt, perhaps, or marks on messages."""
    if p.report is None or not p.report.not_read:
        return []
    what = "text that nobody reads"
    if p.records and isinstance(p.records[0], Prompt):
        what = "text that is no part of the prompt, but goes with it for a scorer,"
    return [
        Finding(
            "columns-not-read",
            "look",
            f"{what} stands in: {p.report.not_read_text()}",
            (
                "nothing, if neither prompt nor answer is made of it; --columns system=THEIRS (or prompt, "
                "input, completion) if one is"
            ),
            max(p.report.not_read.values()),
        )
    ]


DOUBTS = {
    GUESSED: ("guessed-prompts", "a column `prompt`, if the answers do not begin with theirs"),
    TEMPLATED: (
        "templated-prompts",
        "the texts alone: the model's own template is put around them, here and elsewhere",
    ),
    REPEATED: (
        "prompts-in-answers",
        "take the prompt off the answers: the model is given it, and need not say it again",
    ),
    NEGATIVE: ("negative-margins", "look at what the margins are; swap the answers if they are meant so"),
}


def doubtful_rows(p: Patient) -> list[Finding]:
    """Rows that were read, and teach something else if they are not meant as they were read."""
    if p.report is None:
        return []
    findings = []
    for remark, (check, remedy) in DOUBTS.items():
        if count := p.report.remarks.get(remark, 0):
            verdict = look_if(count > RARE * p.report.read)
            findings.append(Finding(check, verdict, f"{count} {remark}", remedy, count))
    return findings


def damaged_text(p: Patient) -> list[Finding]:
    damages: dict[int, str] = {}
    for i, record in enumerate(p.records):
        damage = next(filter(None, map(damage_of, texts_of(record))), "")
        if damage:
            damages[i] = damage
    return p.found(
        "damaged-text",
        p.rare(list(damages)),
        "hold text that was damaged on its way here",
        "write the file again from its source as UTF-8, or take the rows out",
        list(damages),
        damages.__getitem__,
    )


MOJIBAKE = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014"
    "\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]{1,3}"
)


def damage_of(text: str) -> str:
    """What is broken in the characters of a text, with the first place, or nothing: UTF-8 read as
    Windows-1252, lost characters, control codes.
    """
    if text.isascii() and text.isprintable():
        return ""
    for match in MOJIBAKE.finditer(text):
        raw = b"".join(_byte(char) for char in match[0])
        try:
            return f"{match[0]!r} stands for {raw.decode()!r}: UTF-8 read as Windows-1252"
        except UnicodeDecodeError:
            pass
    if "\ufffd" in text:
        return f"a lost character (U+FFFD) in {text[max(0, text.index(chr(0xFFFD)) - 20) :][:40]!r}"
    control = next((char for char in text if unicodedata.category(char) == "Cc" and char not in "\t\n\r"), "")
    return f"a control character, U+{ord(control):04X}" if control else ""


def _byte(char: str) -> bytes:
    try:
        return char.encode("cp1252")
    except UnicodeEncodeError:  # bytes that Windows-1252 leaves free are read as Latin-1 does
        return bytes([ord(char)]) if ord(char) < 256 else b"?"


def roles_out_of_order(p: Patient) -> list[Finding]:
    rows = [i for i, record in enumerate(p.records) if ORDER in parts(record)]

    def said(i: int) -> str:
        return ", ".join(message.role for message in messages_of(p.records[i]))

    return p.found(
        "roles-out-of-order",
        "look",
        "have turns that do not alternate between user and assistant after at most one system turn",
        "join turns of one role, or take the rows out: few templates were made for them",
        rows,
        said,
    )


def labels_alike(p: Patient) -> list[Finding]:
    labels = Counter(record.label for record in p.records if isinstance(record, Unpaired))
    if not labels or min(labels.values()) >= 0.1 * labels.total() and len(labels) == 2:
        return []
    liked = labels[True]
    what = f"{liked} of {labels.total()} completions are labelled as liked"
    if len(labels) < 2:
        return [
            Finding(
                "labels-alike",
                "broken",
                what + ": there is nothing to tell apart",
                "add completions with the other label, or use sft on the liked ones",
                labels.total(),
            )
        ]
    return [
        Finding(
            "labels-alike",
            "look",
            what,
            "weigh the rarer label up (KTO's desirable and undesirable weights)",
            min(labels.values()),
        )
    ]
