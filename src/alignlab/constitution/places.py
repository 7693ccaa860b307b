"""Where the principles of a TOML text stand, and each of their fields: for whoever edits them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..text.documents import Malformed, from_toml

FIELDS = ("id", "critique", "revise", "compare", "tags")
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|\n|[\[\]{}]',
    re.DOTALL,
)
_TABLE = re.compile(r"\s*\[\[?\s*([^\]]*?)\s*\]")
_KEY = re.compile(r"""\s*(["']?)(\w+)\1\s*=""")


@dataclass
class Place:
    """The lines of a principle, from 1: where it begins, and the first and last of each field."""

    line: int
    fields: dict[str, tuple[int, int]] = field(default_factory=dict)


def places(text: str) -> list[Place]:
    """The places of all principles, in order; none if they are not written as `[[principles]]` with a line or
    more for each field, or the text is no TOML.
    """
    try:
        rows = from_toml(text).get("principles")
    except Malformed:
        return []
    found: list[Place] = []
    within = False
    for first, last, line in _logical(text):
        if table := _TABLE.match(line):
            within = table[1] == "principles" and line.lstrip().startswith("[[")
            if within:
                found.append(Place(first))
        elif within and (key := _KEY.match(line)) and key[2] in FIELDS:
            found[-1].fields[key[2]] = first, last
    lines = text.split("\n")
    if not isinstance(rows, list) or len(rows) != len(found):
        return []
    for row, place in zip(rows, found, strict=True):
        for name, (first, last) in place.fields.items():
            if not _says(lines[first - 1 : last], name, row):
                return []
    return found


def _says(lines: list[str], name: str, row: object) -> bool:
    """Whether these lines by themselves say of a field what the whole document says."""
    try:
        return isinstance(row, dict) and from_toml("\n".join(lines)) == {name: row[name]}
    except (Malformed, KeyError):
        return False


def _logical(text: str) -> Iterator[tuple[int, int, str]]:
    """First line, last line and text of each stretch between line ends that are not within a string or
    brackets.
    """
    number = first = 1
    begun = depth = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark == "\n" and depth <= 0:
            yield first, number, text[begun : token.start()]
            number += 1
            first, begun, depth = number, token.end(), 0
            continue
        number += mark.count("\n")
        depth += (mark in "[{") - (mark in "]}") if len(mark) == 1 else 0
    yield first, number, text[begun:]
