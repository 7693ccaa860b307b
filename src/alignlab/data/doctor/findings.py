"""What the checks look at, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ...errors import DataError, ModelError
from ...models.chat import Rendered
from ...models.reader import Reader
from ...records import (
    Comparison,
    Completion,
    Demonstration,
    Message,
    Ranking,
    Record,
    Text,
    Unpaired,
    prompt_in,
)
from ..formats import completions_of
from ..lengths import Kept, Truncate
from ..load_report import LoadReport

Verdict = Literal["broken", "look", "note"]
RARE = 0.01  # a share of the records above which a flaw of single rows is worth a look
SHOWN = 3  # examples a finding


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: which check, how bad, what and how often, where first, and what mends it.

    Attributes:
        rows: places in the records, for the view of tokens and mask.
    """

    check: str
    verdict: Verdict
    what: str
    remedy: str
    count: int = 0
    examples: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.verdict:<7}{self.check}: {self.what}",
                *(f"       {example}" for example in self.examples),
                f"       remedy: {self.remedy}",
            ]
        )

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"examples": list(self.examples), "rows": list(self.rows)}


@dataclass(slots=True)
class Diagnosis:
    """All findings, the worst first, the checks that found nothing, and the figures they rest on: `lengths`
    is what each max_length keeps, by `truncate`.
    """

    source: str
    kind: str
    records: int
    findings: list[Finding] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    tokens: dict[str, float] = field(default_factory=dict)
    truncate: str = "drop"
    lengths: list[Kept] = field(default_factory=list)

    @property
    def broken(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict == "broken"]

    def to_json(self) -> dict[str, Any]:
        return {
            "data": self.source,
            "kind": self.kind,
            "records": self.records,
            "tokens": self.tokens,
            "truncate": self.truncate,
            "lengths": [asdict(row) for row in self.lengths],
            "broken": len(self.broken),
            "findings": [finding.to_json() for finding in self.findings],
            "passed": self.passed,
        }


@dataclass(slots=True)
class Patient:
    """What the checks look at."""

    records: Sequence[Record]
    places: Sequence[str]
    report: LoadReport | None
    broken: Sequence[DataError]
    reader: Reader
    max_length: int
    reward: Reader | None
    against: Sequence[Record]
    against_name: str
    sequences: list[list[Rendered]] = field(
        default_factory=list
    )  # empty lists where the template refused the record
    refused: dict[int, ModelError] = field(default_factory=dict)
    needs: list[tuple[int, int]] = field(
        default_factory=list
    )  # for each sequence, tokens at which the record is whole and at which it is not lost

    @property
    def truncate(self) -> Truncate:
        """What training does by default with rows of this kind that are too long."""
        return "end" if self.records and isinstance(self.records[0], Demonstration | Text) else "start"

    def found(
        self,
        check: str,
        verdict: Verdict,
        what: str,
        remedy: str,
        rows: Sequence[int] = (),
        said: Callable[[int], str] | None = None,
    ) -> list[Finding]:
        """A finding in these rows, if there are any; `what` goes behind how many of the records they are."""
        if not rows:
            return []
        describe = said or (lambda i: excerpt(self.records[i]))
        examples: list[str] = []
        for i in rows[:SHOWN]:
            examples.append(f"{self.places[i]}  {describe(i)}")
        what = f"{len(rows)} of {len(self.records)} {what}"
        return [Finding(check, verdict, what, remedy, len(rows), tuple(examples), tuple(rows[:SHOWN]))]

    def rare(self, rows: Sequence[int]) -> Verdict:
        return look_if(len(rows) > RARE * len(self.records))


def excerpt(record: Record) -> str:
    return f"{prompt_in(record).text!r:.70}"


def look_if(doubtful: bool) -> Verdict:
    """The verdict on what may well be meant so."""
    return "look" if doubtful else "note"


def messages_of(record: Record) -> tuple[Message, ...]:
    return prompt_in(record).messages


def ends(record: Record) -> list[bool]:
    """Whether each completion of the record is finished."""
    match record:
        case Comparison():
            return [record.chosen_finished, record.rejected_finished]
        case Ranking():
            return [completion.finished for completion in record.completions]
        case Completion() | Unpaired():
            return [record.finished]
    return [True] * len(completions_of(record))


def texts_of(record: Record) -> list[str]:
    return [*(message.content for message in messages_of(record)), *completions_of(record)]


def folded(record: Record) -> str:
    """A prompt's words without case and blanks, to find it again."""
    return " ".join(" ".join(message.content for message in messages_of(record)).casefold().split())
