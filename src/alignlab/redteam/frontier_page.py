"""The page of compared stacks of defenses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..report import charts
from ..text.escapes import visible
from .words import GLOSSARY, Document, short


def frontier_page(model: str, rows: Sequence[Document], *, provenance: str) -> dict[str, Any]:
    """What the page's template wants of compared stacks of defences."""
    numbered = {f"{number}. {row['stack']}": row for number, row in enumerate(rows, 1)}
    points = {
        name: (row["asr_adaptive"]["mean"] or 0.0, row["helpful"]["mean"] or 0.0)
        for name, row in numbered.items()
    }
    front = {name for name, row in numbered.items() if row["pareto"]}
    table = [
        [
            ("* " if row["pareto"] else "") + name,
            short(row["asr"]),
            short(row["asr_adaptive"]),
            short(row["over_refusal"]),
            short(row["helpful"]),
            f"{row['seconds']:.3f}",
            f"{row['tokens']:.0f}",
            f"{row['queries']:.2f}",
        ]
        for name, row in numbered.items()
    ]
    return {
        "title": f"Defences before {visible(model)}",
        "provenance": provenance,
        "lead": [
            (
                f"{len(rows)} stacks, {len(front)} of them on the Pareto front of attack success, "
                "over-refusal, helpfulness and tokens: no other is at least as good on all four and better "
                "on one."
            )
        ],
        "sections": [
            {
                "title": "What a defence stops and what it costs",
                "text": [],
                "charts": [
                    charts.captioned(
                        charts.plane(
                            points,
                            front,
                            title="Attack success and helpfulness",
                            x="attack success, adaptive attacker",
                            y="helpful",
                        ),
                        (
                            "Up and to the left is better; filled: on the front. Numbers as in the table. A "
                            "stack at the bottom left stops everything because the model is lost."
                        ),
                    )
                ],
                "table": {
                    "heads": [
                        "stack (* on the front)",
                        "any attack",
                        "adaptive",
                        "over-refusal",
                        "helpful",
                        "s an answer",
                        "tokens",
                        "queries",
                    ],
                    "rows": table,
                    "note": (
                        "Adaptive: with what an attacker adds who knows that there is a defence. Time is "
                        "this machine's and decides nothing."
                    ),
                },
            }
        ],
        "glossary": GLOSSARY,
    }
