"""Measures the studies and writes the figures of docs/studies.md.

    python docs/make_studies.py runs/studies

A study whose summary of these seeds and of the exam is there already is not measured again; one that was
interrupted goes on. All of them take hours. What stands after `--` goes to each study (`-- --fast`).

    python docs/make_studies.py runs/studies --read-only

The second measures nothing and writes what is in the folder, NAME/summary.json. A study without a summary
keeps what the page says of it. One table has every bar of the six debates; why one was missed is prose, and
stands in missed_bars.toml.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from alignlab.studies.catalogue import STUDIES, reads
from alignlab.studies.page import beside_papers, claims_of
from alignlab.town.exam import SEEDS, measured, with_head

PAGE = Path(__file__).parent / "studies.md"
SET = "town:exam"
DEBATES = {
    "specification-gaming": "specification_gaming.claims:claims",
    "oversight": "oversight.claims:bars",
    "depth": "depth.bars:claims",
    "alignment-tax": "alignment_tax.claims:claims",
    "sycophancy": "sycophancy.claims:bars",
    "whose-values": "whose_values.claims:claims",
}
"""The six debates, and what makes the bars of each, below `alignlab.studies`."""
REASONS = Path(__file__).parent / "missed_bars.toml"
UNMEASURED = "not measured yet"


def measure(folder: Path, names: Sequence[str], seeds: Sequence[int], more: Sequence[str]) -> None:
    """Run each study on these seeds and the exam, unless its summary is there. Raises SystemExit if one
    fails.
    """
    from alignlab import cli

    for name in names:
        out = folder / name
        if (out / "summary.json").exists():
            summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
            test = summary["settings"].get("test", SET)
            if summary["seeds"] == list(seeds) and test == SET:
                continue
        words = ["study", name, "--seeds", ",".join(map(str, seeds)), "--out", str(out), *more]
        if "test" in reads(name):
            words += ["--test", SET, "--runs", str(folder / "shared")]
        if code := cli.main(words):
            raise SystemExit(code)


def section(summary: dict[str, Any]) -> str:
    """What one study found, as Markdown: its conclusion, in how many seeds each claim held, its tables."""
    lines = [f"{summary['measured_on']} {summary['machine']['cores']} cores.", ""]
    lines += [f"- {sentence}" for sentence in (*summary.get("failures", ()), *summary["conclusion"])]
    lines += ["", *rows_of(claims_of(summary))]
    for part in beside_papers(summary):
        lines += ["", f"**{part['title']}**", "", *part["text"], "", *rows_of(part["table"])]
    for table in summary["tables"]:
        lines += ["", f"**{table['title']}**", "", *rows_of(table)]
    return "\n".join(lines)


def all_bars(summaries: Mapping[str, Mapping[str, Any]], page: str) -> str:
    """Every bar of the six debates, as Markdown: of a study without a summary what the page has, and where it
    has nothing the wording alone.
    """
    reasons = reasons_of(REASONS)
    lines = ["| study | bar | held in | measured | control | |", "|---|---|---|---|---|---|"]
    for name in DEBATES:
        if name in summaries:
            found = summaries[name]["bars"]
            lines += [row_of(name, bar, reason_for(bar, reasons.get(name, {}))) for bar in found]
            continue
        there = [line for line in page.splitlines() if line.startswith(f"| {name} | ")]
        measured = [line for line in there if not line.endswith(f"| {UNMEASURED} |")]
        lines += measured or [row_of(name, {"claim": claim}, "") for claim in wordings(name)]
    return "\n".join(lines)


def row_of(study: str, bar: Mapping[str, Any], reason: str) -> str:
    """One bar in a row: met in every seed, or in how many it was missed, and why."""
    if "held" not in bar:
        cells = [bar["claim"], "-", "-", "-", UNMEASURED]
    else:
        missed = bar["of"] - bar["held"]
        verdict = "met"
        if missed:
            verdict = f"missed in {missed}: {reason}" if reason else f"missed in {missed}"
        seeds = f"{bar['held']} of {bar['of']}"
        cells = [bar["claim"], seeds, bar.get("effect", "-"), bar.get("control", "-"), verdict]
    return "| " + " | ".join(map(cell, (study, *cells))) + " |"


def reason_for(bar: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    """Why a bar was missed: what is written of it, or else why it could not be computed."""
    found = [why for piece, why in reasons.items() if piece in bar["claim"]]
    return found[0] if found else bar.get("why", "")


def reasons_of(file: Path) -> dict[str, dict[str, str]]:
    """By study, piece of a claim to why it was missed. Raises SystemExit for one that is of no claim, or of
    several.
    """
    found = tomllib.loads(file.read_text(encoding="utf-8"))
    for name, reasons in found.items():
        for piece in reasons:
            if sum(piece in claim for claim in wordings(name)) != 1:
                raise SystemExit(f"{file.name}: {piece!r} is of no claim of {name}, or of several")
    return found


def wordings(name: str) -> list[str]:
    """The claims of a debate, as its code words them."""
    module, _, function = DEBATES[name].partition(":")
    return [bar.claim for bar in getattr(import_module(f"alignlab.studies.{module}"), function)([])]


def rows_of(table: Mapping[str, Any]) -> list[str]:
    """A table as Markdown, its note below."""
    lines = [
        "| " + " | ".join(map(cell, table["heads"])) + " |",
        "|" + "---|" * len(table["heads"]),
        *("| " + " | ".join(map(cell, row)) + " |" for row in table["rows"]),
    ]
    return [*lines, "", table["note"]] if table.get("note") else lines


def cell(text: str) -> str:
    return str(text).replace("|", "\\|")


def put(page: str, name: str, text: str) -> str:
    """The page with the figures of one study between its marks."""
    begin, end = f"<!-- figures: {name} -->", f"<!-- /figures: {name} -->"
    if begin not in page or end not in page:
        raise SystemExit(f"docs/studies.md has no marks for {name}")
    return page[: page.index(begin)] + f"{begin}\n{text}\n{end}" + page[page.index(end) + len(end) :]


def write(folder: Path, page: Path = PAGE) -> list[str]:
    """Put every summary below the folder into the page; returns the names of the studies."""
    text = page.read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = {}
    of_exam: list[dict[str, Any]] = []
    for file in sorted(folder.glob("*/summary.json")):
        summary = json.loads(file.read_text(encoding="utf-8"))
        if "study" in summary:
            text = put(text, summary["study"], section(summary))
            found[summary["study"]] = summary
            of_exam += [summary] if summary.get("settings", {}).get("test") == SET else []
    if not found:
        raise SystemExit(f"no summary of a study below {folder}")
    text = put(text, "all bars of the debates", all_bars(found, text))
    if of_exam:  # each study says its own n
        text = with_head(text, measured(of_exam[0]["seeds"], {SET: 0}))
    page.write_text(text, encoding="utf-8")
    return list(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--studies", nargs="+", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--read-only", action="store_true", help="measure nothing: write what is there")
    parser.add_argument("more", nargs="*", help="after --: options of `alignlab study`")
    asked = parser.parse_args()
    if not asked.read_only:
        measure(asked.folder, asked.studies, asked.seeds, asked.more)
    print("docs/studies.md:", ", ".join(write(asked.folder)))


if __name__ == "__main__":
    main()
