"""Writes the figures of docs/studies.md from the summaries of the studies.

    python docs/make_studies.py runs/studies

The folder holds NAME/summary.json, as `alignlab study NAME --out runs/studies/NAME` writes it. A study
without a summary in the folder keeps what the page says of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "studies.md"


def section(summary: dict[str, Any]) -> str:
    """What one study found, as Markdown: its conclusion, in how many seeds each claim held, its tables."""
    seeds, machine = summary["seeds"], summary["machine"]
    many = f"seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    lines = [
        f"Measured on {many}, {machine['cores']} cores"
        + ("; mean ± standard deviation over seeds." if len(seeds) > 1 else "; one seed, no spread."),
        "",
    ]
    lines += [f"- {sentence}" for sentence in summary["conclusion"]]
    lines += [
        "",
        "| claim | held in |",
        "|---|---|",
        *(f"| {cell(bar['claim'])} | {bar['held']} of {bar['of']} seeds |" for bar in summary["bars"]),
    ]
    for table in summary["tables"]:
        lines += [
            "",
            f"**{table['title']}**",
            "",
            "| " + " | ".join(map(cell, table["heads"])) + " |",
            "|" + "---|" * len(table["heads"]),
            *("| " + " | ".join(map(cell, row)) + " |" for row in table["rows"]),
        ]
        lines += ["", table["note"]] if table.get("note") else []
    return "\n".join(lines)


def cell(text: str) -> str:
    return str(text).replace("|", "\\|")


def put(page: str, name: str, text: str) -> str:
    """The page with the figures of one study between its marks."""
    begin, end = f"<!-- figures: {name} -->", f"<!-- /figures: {name} -->"
    if begin not in page or end not in page:
        raise SystemExit(f"docs/studies.md has no marks for the study {name}")
    return page[: page.index(begin)] + f"{begin}\n{text}\n{end}" + page[page.index(end) + len(end) :]


def main(folder: Path, page: Path = PAGE) -> list[str]:
    """Put every summary below the folder into the page; returns the names of the studies."""
    text, names = page.read_text(encoding="utf-8"), []
    for file in sorted(folder.glob("*/summary.json")):
        summary = json.loads(file.read_text(encoding="utf-8"))
        if "study" in summary:
            text = put(text, summary["study"], section(summary))
            names.append(summary["study"])
    if not names:
        raise SystemExit(f"no summary of a study below {folder}")
    page.write_text(text, encoding="utf-8")
    return names


if __name__ == "__main__":
    print("docs/studies.md:", ", ".join(main(Path(sys.argv[1]))))
