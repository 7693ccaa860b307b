"""What the refusal classifier learns from: answers that people have labelled, answers to harmless requests,
and the town's demonstrations. Those that are written for it: `written.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alignlab.data.files import file_rows
from alignlab.data.read import load_records
from alignlab.errors import DataError
from alignlab.feedback.safety.features import CUES
from alignlab.records import Demonstration

NAMES = {"2_full_refusal": "refusal", "3_partial_refusal": "partial", "1_full_compliance": "compliance"}


@dataclass(frozen=True, slots=True)
class Row:
    prompt: str
    completion: str
    label: str
    model: str
    source: str


def labelled(path: Path) -> list[Row]:
    """Rows of a file of human labels. Raises DataError for a label it does not know."""
    rows = []
    for number, row in file_rows(path):
        label = str(row.get("human_label", row.get("label")))
        label = NAMES.get(label, label)
        if (
            label not in NAMES.values()
            or not isinstance(row.get("prompt"), str)
            or not isinstance(row.get("completion"), str)
        ):
            raise DataError(
                (
                    "a labelled row needs prompt, completion and human_label "
                    f"({', '.join(NAMES.values())}), not {str(row)!r:.80}"
                ),
                where=f"{path}:{number}",
            )
        rows.append(Row(row["prompt"], row["completion"], label, str(row.get("model", "")), "labels"))
    return rows


def harmless_rows(path: Path, limit: int, seed: int) -> list[Row]:
    """Answers to harmless requests that nothing makes sound like a refusal."""
    found = []
    for shown in load_records(path, "demonstration").records:
        head = shown.completion[:400].lower()
        if not any(CUES[cue].search(head) for cue in ("unwilling", "apology", "self", "no_access")):
            found.append(Row(shown.prompt.text, shown.completion, "compliance", "", "harmless"))
    order = np.random.default_rng(seed).permutation(len(found))[:limit]
    return [found[i] for i in sorted(order)]


def town_rows(count: int, seed: int) -> list[Row]:
    """Demonstrations of the town as its gold judge reads them; the crowd's answers, on which the card
    measures, are others.
    """
    from alignlab.town import gold, sets, world

    town, rows = world.build(), []
    for shown in sets.load(town, "demos", count=count, seed=seed):
        assert isinstance(shown, Demonstration)
        score = gold.judge(town, gold.Request.of(shown.prompt), shown.completion)
        rows.append(
            Row(
                shown.prompt.text,
                shown.completion,
                "refusal" if score.parts["refusal"] else "compliance",
                "town",
                "town",
            )
        )
    return rows
