"""Prints the rows of LOG.md's table "Figures before and now": each figure that stands in a table of a page,
in its row and column, as it was at a commit and as it is.

python docs/make_changes.py COMMIT [PAGE...]

The last column, why, is left for a person. Rows whose name or column was changed are not found.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent
PAGES = ("results", "all-methods", "studies", "reward-models", "recipes", "constitution", "redteam")
Figures = dict[tuple[str, str, str], str]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def title_of(head: str) -> str:
    """A column's title without its n and its way of decoding, which pages of version 1 did not have."""
    return re.sub(r" *\(n = [\d,]+\)|, greedy$", "", head)


def tables(page: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Of each row of each table: the section that it stands in, its heads, its cells."""
    section, heads = "", []
    for line in page.splitlines():
        if line.startswith("#"):
            section = line.strip("# ")
        if not line.startswith("|"):
            heads = []
        elif not heads:
            heads = [title_of(head) for head in cells(line)]
        elif set(line) - set("|-: "):
            yield section, heads, cells(line)


def figures(page: str) -> Figures:
    """By section, row and column; of two ways of decoding in one cell the first, greedy; the first of a name
    that stands twice.
    """
    found: Figures = {}
    for section, heads, row in tables(page):
        for head, cell in zip(heads[1:], row[1:], strict=False):
            first = cell.split(" / ")[0]
            if re.match(r"[-+]?\d", first):
                found.setdefault((section, row[0], head), first)
    return found


def changes(name: str, before: str, now: str) -> list[str]:
    """Rows of the table: every figure that both have and that differs."""
    old, new = figures(before), figures(now)
    return [
        f"| {name}: {', '.join(part for part in place if part)} | {old[place]} | {new[place]} | |"
        for place in old
        if place in new and old[place] != new[place]
    ]


def main() -> None:
    commit, *names = sys.argv[1:]
    for name in names or PAGES:
        before = subprocess.run(
            ["git", "show", f"{commit}:docs/{name}.md"], cwd=DOCS, check=True, capture_output=True, text=True
        ).stdout
        now = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        print("\n".join(changes(name, before, now)))


if __name__ == "__main__":
    main()
