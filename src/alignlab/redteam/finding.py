"""One finding of a campaign, the harmless look-alikes beside it, and how those of a folder are read; without
torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.harms import harms
from ..errors import DataError
from ..records import Prompt, messages_from_json
from ..text.lines import read_lines
from ..text.rouge import rouge_l

LOOKED_AT = 1000  # characters of a request, for what two have in common


@dataclass(frozen=True)
class Finding:
    """One way in which the target fails.

    Attributes:
        attacks: what found it, the most successful first; family: of that one.
        prompt: the shortest prompt that works, with its judge's meta; original: what the attack sent.
        goals, of: on how many goals it worked, of how many it was tried on.
        residue: what of the shortest prompt is not in the plain request: the mechanism.
        human: what a person says of it, once one has looked.
        p_refusal: the judge's probability that the shortest prompt's answer refuses; None where it has none.
        queries: of the target for this goal, until it fell; 0 where that was not kept.
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
    p_refusal: float | None = None
    queries: int = 0

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
            "p_refusal": self.p_refusal,
            "queries": self.queries,
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
            row.get("p_refusal"),
            row.get("queries", 0),
        )


@dataclass(frozen=True)
class Twin:
    """What the target answered to a harmless look-alike, asked plainly, and what the judge made of it."""

    prompt: Prompt
    completion: str
    label: str | None
    p_refusal: float | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        verdict = {"label": self.label, "p_refusal": self.p_refusal, "reason": self.reason}
        return {**self.prompt.to_json(), "completion": self.completion, **verdict}

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Twin:
        return Twin(Prompt.from_json(row), row["completion"], row["label"], row["p_refusal"], row["reason"])


def twin_of(finding: Finding, twins: Sequence[Twin]) -> Twin | None:
    """Of the look-alikes that were asked the one that stands for a finding's request: of its topic's twin
    (`harms.toml`) where there is one, else of most words in common with the goal; None where no word is.
    """
    topic = _topic(finding.prompt)
    wanted = harms().twins.get(topic, "") if topic else ""
    ranked = [
        (
            bool(wanted) and _topic(twin.prompt) == wanted,
            rouge_l(finding.goal[:LOOKED_AT], twin.prompt.text[:LOOKED_AT]),
            -place,
        )
        for place, twin in enumerate(twins)
    ]
    best = max(ranked, default=(False, 0.0, 0))
    return twins[-best[2]] if best[0] or best[1] else None


def _topic(prompt: Prompt) -> str:
    params = prompt.meta.get("params")
    topic = params.get("topic") if isinstance(params, Mapping) else None
    return topic if isinstance(topic, str) else ""


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
