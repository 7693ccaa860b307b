"""Writes the table of docs/normal.md from the rules themselves: `python docs/make_normal.py`. A test holds the page to it."""

from __future__ import annotations

from pathlib import Path

from alignlab.normal import RULES

PAGE = Path(__file__).with_name("normal.md")
BEGIN, END = "<!-- rules: written by docs/make_normal.py -->\n", "<!-- end of the rules -->\n"


def table() -> str:
    """A row a rule."""
    lines = ["| rule | reads | what it is | normal | broken | likely cause | turn |", "|---|---|---|---|---|---|---|"]
    for rule in RULES:
        reads = ", ".join(f"`{name}`" if " " not in name else name for name in rule.reads)
        turn = "; else ".join(f"`{name}` {way}" if not name.startswith("--") else f"`{name}`: {way}" for name, _, way in (t.partition(": ") for t in rule.turn))
        lines.append(f"| {rule.name} | {reads} | {rule.means} | {rule.normal} | {rule.broken} | {rule.cause} | {turn} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with its table written anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
