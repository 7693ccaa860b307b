"""One finding of a campaign, and how those of a folder are read; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..records import Prompt, messages_from_json
from ..text.lines import read_lines


@dataclass(frozen=True)
class Finding:
    """One way in which the target fails.

    Attributes:
        attacks: what found it, the most successful first; family: of that one.
        prompt: the shortest prompt that works, with its judge's meta; original: what the attack sent.
        goals, of: on how many goals it worked, of how many it was tried on.
        residue: what of the shortest prompt is not in the plain request: the mechanism.
        human: what a person says of it, once one has looked.
    """

    id: str
    severity: str
    category: str
    attacks: tuple[str, ...]
    family: str
    goal: str
    prompt: Prompt
    original: Prompt
    completion: str
    reason: str
    goals: int
    of: int
    seed: int
    judge: str
    residue: str = ""
    human: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "severity": self.severity,
            "category": self.category,
            "attacks": list(self.attacks),
            "family": self.family,
            "goal": self.goal,
            **self.prompt.to_json(),
            "original": [m.to_json() for m in self.original.messages],
            "completion": self.completion,
            "reason": self.reason,
            "goals": self.goals,
            "of": self.of,
            "seed": self.seed,
            "judge": self.judge,
            "residue": self.residue,
            "human": self.human,
            "notes": dict(self.notes),
        }

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Finding:
        return Finding(
            row["id"],
            row["severity"],
            row["category"],
            tuple(row["attacks"]),
            row["family"],
            row["goal"],
            Prompt.from_json(row),
            Prompt(messages_from_json(row["original"])),
            row["completion"],
            row["reason"],
            row["goals"],
            row["of"],
            row["seed"],
            row["judge"],
            row["residue"],
            row["human"],
            row["notes"],
        )


def findings_of(folder: Path, name: str = "findings") -> list[Finding]:
    """The findings of a campaign's folder (of a fix also `findings-after-N`). Raises DataError where they
    cannot be read.
    """
    file = folder / "data" / f"{name}.jsonl"
    try:
        return [Finding.from_json(row) for _, row in read_lines(file)]
    except FileNotFoundError:
        raise DataError(
            "there are no findings",
            where=str(file),
            remedy="name the folder of a finished `alignlab redteam`",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"the findings cannot be read: {error}", where=str(file), remedy="make the campaign again"
        ) from error
