"""What a red-team campaign left in its folder: findings, look-alikes, attempts. Any line may be broken."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import UserError
from ..redteam.finding import Finding, Twin
from ..redteam.judging import Judged, completion_of
from ..text.documents import Malformed
from . import schema
from .heads import Head
from .inside import Inside, row_of
from .paging import ANEW
from .problems import Refused
from .scan import below
from .tail import Tail, first_of

STAGE = "redteam"
MOST_FINDINGS = 5000
MOST_TWINS = 2000
MOST_ATTEMPTS = 200_000
MOST_KEPT = 16  # campaigns whose files are kept
LABELS: Mapping[str, schema.Label] = {
    "compliance": "comply",
    "partial": "partial",
    "refusal": "refuse",
    "void": "void",
}
"""What judges call it -> what people are asked."""
NAME = r"F-\d{3,6}"  # of a finding
SEVERITIES = ("high", "medium", "low")
COMPLIED: schema.Label = "comply"
T = TypeVar("T")
BROKEN = (UserError, ValueError, KeyError, TypeError, AttributeError)
"""What rows raise that are none."""


@dataclass(frozen=True)
class Asked:
    """Where an attempt stands in its file, by what it is known, and what the judge said of it."""

    subject: str
    label: schema.Label | None
    offset: int
    size: int


@dataclass(frozen=True)
class Found:
    """A finding, as it was read, and by what it is known."""

    subject: str
    finding: Finding
    row: Mapping[str, Any]


class Rows(Generic[T]):
    """The lines of a file as things, as many as are kept; `unread` counts lines that are none."""

    def __init__(self, make: Callable[[Mapping[str, Any], int, int], T], most: int) -> None:
        self.make, self.most = make, most
        self.clear()

    def clear(self) -> None:
        self.kept: list[T] = []
        self.unread = 0

    def take(self, offset: int, line: bytes | None) -> None:
        if len(self.kept) >= self.most:
            return
        try:
            if line is None:
                raise Malformed("the line is too long")
            self.kept.append(self.make(row_of(line), offset, len(line)))
        except BROKEN:
            self.unread += 1


class Campaign:
    """The files of one campaign, or of what is left after its last fix."""

    def __init__(self, inside: Inside, folder: str, ending: str) -> None:
        self.inside = inside
        self.findings = Rows(_found, MOST_FINDINGS)
        self.twins = Rows(lambda row, _, __: Twin.from_json(row), MOST_TWINS)
        self.attempts = Rows(_asked, MOST_ATTEMPTS)
        self.paths = {
            name: below(folder, f"data/{name}{ending}.jsonl") for name in ("findings", "twins", "attempts")
        }
        self._tails = {
            "findings": Tail(self.findings),
            "twins": Tail(self.twins),
            "attempts": Tail(self.attempts),
        }
        self._lock = threading.Lock()
        self._made: tuple[Any, tuple[Sequence[Asked], Mapping[str, schema.Label]]] | None = None

    def read(self, *names: str) -> Campaign:
        """What these files hold now; all of them where none is named."""
        with self._lock:
            for name in names or self._tails:
                self._tails[name].catch_up(self.inside, [self.paths[name]])
        return self

    @property
    def generation(self) -> int:
        return sum(tail.generation for tail in self._tails.values())

    @property
    def once(self) -> Sequence[Asked]:
        """Each answer of the attempts once, in an order that has nothing to do with what it is."""
        return self._judged()[0]

    @property
    def labels(self) -> Mapping[str, schema.Label]:
        """What the judge said of each answer, by its subject: findings are what complied."""
        return self._judged()[1]

    def _judged(self) -> tuple[Sequence[Asked], Mapping[str, schema.Label]]:
        """Both, made anew when a file has grown."""
        at = self.generation, len(self.attempts.kept), len(self.findings.kept)
        made = self._made
        if made is None or made[0] != at:
            by_subject = {one.subject: one for one in self.attempts.kept}
            once = [by_subject[subject] for subject in sorted(by_subject)]
            labels: dict[str, schema.Label] = {
                one.subject: one.label for one in once if one.label is not None
            }
            for found in self.findings.kept:
                labels[found.subject] = COMPLIED
            self._made = made = at, (once, labels)
        return made[1]

    def rows(self, asked: Sequence[Asked]) -> list[Mapping[str, Any]]:
        """Attempts, whole. Raises Refused: 409, the file is another by now."""
        file = first_of(self.inside, [self.paths["attempts"]]) if asked else None
        if file is None:
            return []
        with file:
            rows = []
            for one in asked:
                file.seek(one.offset)
                try:
                    rows.append(row_of(file.read(one.size)))
                except Malformed:
                    raise Refused(409, "the campaign was made anew just now", remedy=ANEW) from None
            return rows


class Campaigns:
    """Campaigns that were looked at last."""

    def __init__(self, inside: Inside) -> None:
        self.inside, self._lock = inside, threading.Lock()
        self._kept = OrderedDict[tuple[str, str], Campaign]()

    def of(self, head: Head, *, after: bool = False) -> Campaign:
        """The files of a campaign, to `read`. Raises Refused: 404, the run is none."""
        if head.stage != STAGE:
            raise Refused(404, "this run is no red-team campaign", field="id")
        ending = f"-after-{rounds_of(head)}" if after and rounds_of(head) else ""
        with self._lock:
            key = head.folder, ending
            found = self._kept.setdefault(key, Campaign(self.inside, *key))
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return found


def rounds_of(head: Head) -> int:
    """How many times the target was taught and attacked again; 0 of a campaign without a fix."""
    rounds = head.summary.get("rounds")
    return max(0, len(rounds) - 1) if isinstance(rounds, list) else 0


def _found(row: Mapping[str, Any], offset: int, size: int) -> Found:
    finding = Finding.from_json(row)
    if (
        not re.fullmatch(NAME, finding.id)
        or finding.severity not in SEVERITIES
        or not all(isinstance(said, str) for said in _texts(finding))
    ):
        raise Malformed("this is no finding")
    return Found(subject_of(row), finding, row)


def _texts(finding: Finding) -> tuple[object, ...]:
    f = finding
    return (f.id, f.category, f.family, f.goal, f.completion, f.reason, f.judge, f.residue, *f.attacks)


def _asked(row: Mapping[str, Any], offset: int, size: int) -> Asked:
    label = row["label"]
    return Asked(subject_of(row), LABELS[label] if label is not None else None, offset, size)


def subject_of(row: Mapping[str, Any]) -> str:
    """By what `alignlab redteam judge` knows a row. Raises UserError, TypeError: it has no answer."""
    return Judged(row, completion_of(row)).id
