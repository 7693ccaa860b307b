"""An index of a run's samples in memory: some numbers a row, while the texts stay in the file."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from ..text.documents import Malformed
from . import schema
from .inside import clean, number, row_of, text

COLUMNS = ("step", "proxy", "gold", "kl", "length")
FLAGS = {"misleading": 1, "unfinished": 2, "shown": 4}
WHOLE = 128  # flag of a row that could be read
_NONE = math.nan
_KNOWN = frozenset(
    ("step", "place", "prompt", "completion", "question", "continuation", "finished", "proxy", "gold", "kl")
) | {"tokens", "reason", "misleading", "shown"}
MOST_MESSAGES = 8  # of a prompt in a list, the last
MOST_OTHERS = 20  # values of a row in a list that no field of ours holds


class Index:
    """Where each row stands in the file, and the numbers by which rows are sorted and found. A row that could
    not be read keeps its number and is in no list.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.rows = 0
        self.offsets, self.sizes, self.places = array("q"), array("q"), array("q")
        self.flags = array("B")
        self.columns = {name: array("d") for name in COLUMNS}

    def take(self, offset: int, line: bytes | None) -> None:
        try:
            row: Mapping[str, Any] = row_of(line or b"")
            flags = WHOLE
        except Malformed:
            row, flags = {}, 0
        for name in ("step", "proxy", "gold", "kl"):
            value = number(row.get(name))
            self.columns[name].append(_NONE if value is None else value)
        self.columns["length"].append(length_of(row)[0])
        for name, flag in FLAGS.items():
            flags |= flag if flag_of(row, name) else 0
        self.flags.append(flags)
        self.offsets.append(offset)
        self.sizes.append(len(line or b""))
        self.places.append(place_of(row))
        self.rows += 1

    def column(self, name: str, count: int) -> np.ndarray:
        """A column of the first rows; "gap" is proxy less gold."""
        if name == "gap":
            return self.column("proxy", count) - self.column("gold", count)
        return np.array(self.columns[name][:count])

    def whole(self, count: int, *, flags: int = 0) -> np.ndarray:
        """The numbers of those rows among the first that could be read and have all of these flags."""
        wanted = WHOLE | flags
        return np.flatnonzero((np.array(self.flags[:count], np.uint8) & wanted) == wanted)

    def at(self, step: int, place: int) -> int | None:
        """The row of a rollout."""
        steps, places = np.array(self.columns["step"][: self.rows]), np.array(self.places[: self.rows])
        found = np.flatnonzero((steps == step) & (places == place))
        return int(found[-1]) if len(found) else None

    def read(self, file: BinaryIO, row: int) -> Mapping[str, Any]:
        """What a row holds. Raises Malformed: it is not there any more."""
        file.seek(self.offsets[row])
        return row_of(file.read(self.sizes[row]))

    def containing(self, file: BinaryIO, q: str, count: int) -> np.ndarray:
        """The numbers of rows among the first whose last message or answer has a text in it; letters of ASCII
        in either case.
        """
        needle = escaped(q).lower()
        starts = np.array(self.offsets[:count])
        ends = starts + np.array(self.sizes[:count])
        found: list[int] = []
        row = 0
        while row < count:
            start = int(starts[row])
            end = max(row + 1, int(np.searchsorted(ends, start + _AT_ONCE, "right")))
            file.seek(start)
            lines = file.read(int(ends[end - 1]) - start)
            data = lines.lower()
            at = data.find(needle)
            while at >= 0:
                one = row + int(np.searchsorted(starts[row:end], start + at, "right")) - 1
                after = int(ends[one]) - start
                if says(lines[int(starts[one]) - start : after], q.lower()):
                    found.append(one)
                at = data.find(needle, after)
            row = end
        return np.array(found, int)


def says(line: bytes, q: str) -> bool:
    """Whether the last message or the answer of a row has a text of small letters in it."""
    try:
        said = row_of(line)
    except Malformed:
        return False
    if q in completion_of(said).lower():
        return True
    prompt = prompt_of(said)
    return bool(prompt) and q in prompt[-1].content.lower()


_AT_ONCE = 2**23  # bytes that are searched at once


def escaped(q: str) -> bytes:
    """A text as it stands inside a string of `text.lines.as_json`."""
    return json.dumps(q, ensure_ascii=False)[1:-1].encode("utf-8", "replace")


def flag_of(row: Mapping[str, Any], name: str) -> bool:
    if name == "unfinished":
        return row.get("finished") is False
    if name == "shown":  # a run made before all rollouts were kept has those alone that a report shows
        return row.get("shown", "completion" in row) is True
    return row.get(name) is True


def place_of(row: Mapping[str, Any]) -> int:
    """The place in its step's batch; -1 for none."""
    place = row.get("place")
    return place if isinstance(place, int) and 0 <= place < 2**31 else -1


def length_of(row: Mapping[str, Any]) -> tuple[int, bool]:
    """How long an answer is, and whether in tokens."""
    tokens = row.get("tokens")
    if isinstance(tokens, int) and 0 <= tokens < 2**31:
        return int(tokens), True
    return len(completion_of(row)), False


def completion_of(row: Mapping[str, Any]) -> str:
    said = row.get("completion")
    return text(said if isinstance(said, str) else row.get("continuation"))


def prompt_of(row: Mapping[str, Any]) -> list[schema.Said]:
    """The messages of a prompt."""
    given = row.get("prompt", row.get("question"))
    if isinstance(given, str):
        return [schema.Said(role="user", content=text(given))]
    if not isinstance(given, list):
        return []
    messages = [message for message in given if isinstance(message, dict)]
    return [
        schema.Said(role=text(message.get("role"), 40), content=text(message.get("content")))
        for message in messages
    ]


def sample_of(number_: int, row: Mapping[str, Any]) -> schema.Sample:
    """A row, whole."""
    meta, place = row.get("meta"), place_of(row)
    length, tokens = length_of(row)
    return schema.Sample(
        row=number_,
        step=number(row.get("step")),
        place=None if place < 0 else place,
        prompt=prompt_of(row),
        completion=completion_of(row),
        cut=False,
        finished=row.get("finished") is not False,
        proxy=number(row.get("proxy")),
        gold=number(row.get("gold")),
        kl=number(row.get("kl")),
        length=length,
        tokens=tokens,
        reason=text(row.get("reason")),
        misleading=flag_of(row, "misleading"),
        shown=flag_of(row, "shown"),
        kind=text(meta.get("kind"), 100) if isinstance(meta, dict) else "",
        others=clean({key: value for key, value in row.items() if key not in _KNOWN}),
    )


def in_list(sample: schema.Sample) -> schema.Sample:
    """A sample as a list has it: texts cut, and of other values only those that are short."""
    prompt, cut = cut_prompt(sample.prompt)
    short = {key: value for key, value in sample.others.items() if not isinstance(value, (dict, list))}
    others = clean(dict(list(short.items())[:MOST_OTHERS]), 200)
    completion, reason = sample.completion[: schema.CUT], sample.reason[: schema.CUT]
    cut = cut or len(completion) < len(sample.completion) or len(reason) < len(sample.reason)
    texts = {"prompt": prompt, "completion": completion, "reason": reason, "others": others}
    return sample.model_copy(update=texts | {"cut": cut})


def cut_prompt(prompt: list[schema.Said]) -> tuple[list[schema.Said], bool]:
    """The last messages, each cut; and whether anything is missing."""
    last = prompt[-MOST_MESSAGES:]
    short = [schema.Said(role=said.role, content=said.content[: schema.CUT]) for said in last]
    return short, short != prompt
