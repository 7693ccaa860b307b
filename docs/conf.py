"""How `make docs` builds these pages: Sphinx, MyST for Markdown, Furo for looks; no network, no warnings.

The docstrings of this project are plain text in Google's order. `as_rst` makes reStructuredText of them, so
that an equation stays as it is written and no `*` or `|` in it means anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from alignlab import __version__

project = "alignlab"
release = __version__
html_title = "alignlab"
html_theme = "furo"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False
python_maximum_signature_line_length = 80

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):( .*)?")
ITEM = re.compile(r"([*\w][\w.*, ]*): +(.+)")


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", plain)


def plain(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """What autodoc asks for each docstring: its lines are replaced."""
    lines[:] = as_rst(lines)


def as_rst(lines: Sequence[str]) -> list[str]:
    """A docstring of ours as reStructuredText: paragraphs, examples, blocks as written, sections as lists."""
    written: list[str] = []
    for block in blocks(lines):
        section = SECTION.fullmatch(block[0])
        if section:
            written += [f"**{section[1]}:** {escaped((section[2] or '').strip())}".rstrip(), ""]
            written += listed(block[1:])
        elif block[0].startswith(">>>"):
            written += block
        elif block[0].startswith(" "):
            written += ["::", "", *(f"    {line}" for line in block if line)]
        else:
            written += [escaped(line) for line in block]
        written.append("")
    return written


def blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Lines that belong together: a paragraph, an example, an indented block, a section with its items."""
    block: list[str] = []
    for line in lines:
        inside = bool(block) and SECTION.fullmatch(block[0]) is not None and (line[:1] in ("", " "))
        indented = bool(block) and block[0].startswith(" ") and (line[:1] in ("", " "))
        begins = line.startswith(" ") != block[0].startswith(" ") if block else False
        if block and not inside and not indented and (not line or begins or SECTION.fullmatch(line)):
            yield block
            block = []
        if line or block:
            block.append(line)
    if block:
        yield block


def listed(lines: Sequence[str]) -> list[str]:
    """The items of a section, each with what is said of it; text that names no item as a paragraph."""
    items: list[list[str]] = []
    for line in lines:
        text = line.strip()
        begins = line.startswith("    ") and not line.startswith("     ") and ITEM.fullmatch(text)
        if begins:
            items.append([f"**{escaped(begins[1])}**: {escaped(begins[2])}"])
        elif text and items:
            items[-1].append(escaped(text))
        elif text:
            items.append([escaped(text)])
    return [f"- {' '.join(item)}" for item in items]


def escaped(text: str) -> str:
    """Text in which nothing but `code` means anything."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        f"`{part}`" if part.startswith("`") else re.sub(r"([\\*|_`<>])", r"\\\1", part) for part in parts
    )
