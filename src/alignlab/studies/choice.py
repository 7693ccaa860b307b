"""A question whose answers are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import DataError
from ..records import Prompt


@dataclass(frozen=True)
class Choice:
    """A question with the answers that are listed.

    Attributes:
        asked: a prompt, which each answer replies to and ends its turn; or the beginning of a document, which
            each answer goes on with, blanks between them included ("" = the answer is all there is).
        names: what each answer stands for: a value, a side, a topic.
        right: the place of the right one; None where none is.
        unit: what it is a case of, for intervals: a fact, a matter, a topic.
    """

    id: str
    asked: Prompt | str
    answers: tuple[str, ...]
    names: tuple[str, ...]
    unit: str
    right: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises DataError for less than two answers, equal ones, and a right one that is not listed."""
        listed = len(self.answers)
        if listed < 2 or len(set(self.answers)) < listed or len(self.names) != listed:
            raise DataError(
                f"the choice {self.id!r} lists {listed} answers under {len(self.names)} names",
                remedy="two or more different answers, and a name for each",
            )
        if self.right is not None and not 0 <= self.right < listed:
            raise DataError(f"the right answer of {self.id!r} is number {self.right} of {listed}")

    def to_json(self) -> dict[str, Any]:
        plain = {key: getattr(self, key) for key in ("id", "names", "answers", "unit", "right")}
        asked = self.asked if isinstance(self.asked, str) else self.asked.to_json()
        return plain | {"asked": asked, "meta": dict(self.meta)}

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Choice:
        asked = row["asked"] if isinstance(row["asked"], str) else Prompt.from_json(row["asked"])
        answers, called = tuple(row["answers"]), tuple(row["names"])
        return Choice(row["id"], asked, answers, called, row["unit"], row.get("right"), row.get("meta") or {})
