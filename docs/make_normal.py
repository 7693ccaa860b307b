"""Writes the table of docs/normal.md from the rules themselves: `python docs/make_normal.py`. A test holds
the page to it.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from alignlab.health.rules import RULES, examine

PAGE = Path(__file__).with_name("normal.md")
RUNS = PAGE.parents[1] / "tests" / "fixtures" / "normal.jsonl.gz"
BEGIN, END = "<!-- rules: written by docs/make_normal.py -->\n", "<!-- end of the rules -->\n"
FIGURES, FIGURES_END = "<!-- figures: written by docs/make_normal.py -->\n", "<!-- end of the figures -->\n"


def table() -> str:
    """A row a rule."""
    lines = [
        "| rule | reads | what it is | normal | broken | likely cause | turn |",
        "|---|---|---|---|---|---|---|",
    ]
    for rule in RULES:
        reads = ", ".join(f"`{name}`" if " " not in name else name for name in rule.reads)
        turn = "; else ".join(
            f"`{name}` {way}" if not name.startswith("--") else f"`{name}`: {way}"
            for name, _, way in (t.partition(": ") for t in rule.turn)
        )
        lines.append(
            f"| {rule.name} | {reads} | {rule.means} | {rule.normal} | {rule.broken} | {rule.cause} | "
            f"{turn} |"
        )
    return "\n".join(lines) + "\n"


def kept() -> tuple[str, list[dict[str, Any]]]:
    """How the runs of benchmarks/normal.py were made, and a column per metric of each."""
    with gzip.open(RUNS, "rt", encoding="utf-8") as file:
        first, *runs = map(json.loads, file)
    return first["provenance"], runs


def recorded() -> list[dict[str, Any]]:
    """What the rules read of the runs of benchmarks/normal.py, and `said`: the names of the rules that call
    each broken.
    """
    _, runs = kept()
    for run in runs:
        count = max(map(len, run["rows"].values()))
        run["rows"] = [
            {name: values[i] for name, values in run["rows"].items() if values[i] is not None}
            for i in range(count)
        ]
        run["said"] = [
            f.name
            for f in examine(run["stage"], run["settings"], run["rows"], run["summary"])
            if f.verdict == "broken"
        ]
    return runs


def figures() -> str:
    """How the runs were made, how many faults were named and how many healthy runs heard nothing, and each
    fault with what was said of it.
    """
    provenance, _ = kept()
    runs = recorded()
    lines = [f"> Runs of {provenance}.", ""]
    lines += ["| seed | faults named | healthy runs without an alarm |", "|---|---|---|"]
    for seed in sorted({run["seed"] for run in runs}):
        faults = [r for r in runs if r["seed"] == seed and r["kind"] == "fault"]
        healthy = [r for r in runs if r["seed"] == seed and r["kind"] == "healthy"]
        lines.append(
            f"| {seed} | {sum(named(r) for r in faults)} of {len(faults)} | "
            f"{sum(not r['said'] for r in healthy)} of {len(healthy)} |"
        )
    lines += ["", "| fault | seed: rules that called it broken |", "|---|---|"]
    for name in dict.fromkeys(r["name"] for r in runs if r["kind"] == "fault"):
        of = [r for r in runs if r["name"] == name]
        lines.append(
            f"| {name} | "
            + "; ".join(
                f"{r['seed']}: {', '.join(r['said']) or 'none'}{'' if named(r) else ' (missed)'}" for r in of
            )
            + " |"
        )
    return "\n".join(lines) + "\n"


def named(run: dict[str, Any]) -> bool:
    return bool(set(run["expect"]) & set(run["said"]))


def page(text: str) -> str:
    """The page with its tables written anew."""
    for begin, end, made in ((BEGIN, END, table()), (FIGURES, FIGURES_END, figures())):
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = before + begin + made + end + after
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
