"""What became of the rows of a source, counted and in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..text.escapes import one_line
from .formats import Reading, Want


@dataclass(slots=True)
class LoadReport:
    """What became of the rows of a source.

    Attributes:
        source: file, folder or hub name; formats: the format of each file, by name.
        read: rows read; kept: records made of them (a ranking may give several comparisons).
        dropped: rows or records that teach nothing, by reason; examples: where each reason was seen first.
        not_read: columns with text that no reader used, with their rows; taken: of those, the column that was
            taken in their place.
        others: columns without text (ids, numbers, what a row is filed under) that no reader used, with their
            rows.
        remarks: rows that were read in a way to know of (a prompt that was guessed), with their number.
    """

    source: str
    want: Want
    read: int = 0
    kept: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    not_read: dict[str, int] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, int] = field(default_factory=dict)

    def note(self, reading: Reading) -> None:
        """Count what a row has that no reader used, and how else it was read."""
        for counts, found in (
            (self.not_read, reading.not_read),
            (self.others, reading.others),
            (self.remarks, reading.remarks),
        ):
            for name in found:
                counts[name] = counts.get(name, 0) + 1
        self.taken.update({name: taken for name, taken in reading.not_read.items() if taken})

    def drop(self, reason: str, where: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self.examples.setdefault(reason, where)

    def __str__(self) -> str:
        plural = {"prompt": "prompts", "unpaired": "unpaired completions"}.get(self.want, f"{self.want}s")
        lines = [f"{self.source}: {self.read} rows ({', '.join(self.formats)}) -> {self.kept} {plural}"]
        if self.dropped:
            lines.append(f"dropped: {self.dropped_text()}")
        lines += [f"{count} {remark}" for remark, count in self.remarks.items()]
        if self.not_read:
            lines.append(f"not read: {self.not_read_text()}")
        others = [name for name in self.others if name not in self.not_read]
        if others:
            lines.append(f"not read, and no text: {_listed(others)}")
        return "\n  ".join(lines)

    def not_read_text(self) -> str:
        columns = []
        for name, count in self.not_read.items():
            taken = f"; {self.taken[name]} was taken" if name in self.taken else ""
            columns.append(f"{name} ({count} row{'s' * (count != 1)}{taken})")
        return _listed(columns)

    def dropped_text(self) -> str:
        return ", ".join(
            f"{count} {reason} (first: {self.examples[reason]})" for reason, count in self.dropped.items()
        )

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def _listed(names: list[str], most: int = 12) -> str:
    listed = ", ".join(one_line(name, 60) for name in names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed
