"""The page of compared stacks of defenses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..report import charts
from ..text.escapes import visible
from .words import GLOSSARY, Document, short, void_lines


def frontier_lines(rows: Sequence[Document]) -> list[str]:
    """Compared stacks for the terminal."""
    width = max(len(row["stack"]) for row in rows)
    columns = "any attack | adaptive | over-refusal | helpful | s, tokens and queries an answer"
    lines, voids = [f"  {'stack':<{width}}  {columns}"], []
    for row in rows:
        figures = ("asr", "asr_adaptive", "over_refusal", "helpful")
        shares = " | ".join(f"{row[figure]['mean']:.3f}" for figure in figures)
        costs = f"{row['seconds']:.4f}, {row['tokens']:.0f}, {row['queries']:.2f}"
        mark = "*" if row["pareto"] else " "
        lines.append(f"{mark} {row['stack']:<{width}}  {shares} | {costs}")
        voids += [f"{row['stack']}: {line}" for line in void_lines(row)]
    return [*lines, *voids, "* on the Pareto front of attack success, over-refusal, helpfulness and tokens"]


def frontier_page(model: str, rows: Sequence[Document], *, provenance: str) -> dict[str, Any]:
    """What the page's template wants of compared stacks of defences."""
    points: dict[str, tuple[float, float]] = {}
    front: set[str] = set()
    table = []
    for number, row in enumerate(rows, 1):
        name = f"{number}. {row['stack']}"
        points[name] = row["asr_adaptive"]["mean"] or 0.0, row["helpful"]["mean"] or 0.0
        shares = [short(row[figure]) for figure in ("asr", "asr_adaptive", "over_refusal", "helpful")]
        costs = [f"{row['seconds']:.3f}", f"{row['tokens']:.0f}", f"{row['queries']:.2f}"]
        mark = ""
        if row["pareto"]:
            front.add(name)
            mark = "* "
        table.append([mark + name, *shares, *costs])
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
