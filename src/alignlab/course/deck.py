"""The slides: one file from the `{slide}` and `{predict}` blocks of the pages, with a clock and notes.

A prediction is a slide that is locked: what really happens shows after P, and there is no way forward before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from .build import asset, policy, template
from .course import Course, Section
from .markdown import Block, Page, Prose
from .writing import Writer


class DeckWriter(Writer):
    """Writes blocks for the wall: without notes, and without what only opens by pressing."""

    def _slide(self, block: Block) -> str:
        return self.blocks(block.body)

    def _predict(self, block: Block) -> str:
        options = "".join(
            f"<li><b>{escape(letter)}</b> <span>{self.inline(tokens[0].children or [])}</span></li>"
            for letter, tokens in block.choices
        )
        return (
            f'<div class="ask">{self.blocks(block.question)}<ul class="choices">{options}</ul></div>'
            f'<div class="answer">{self.blocks(block.body)}</div>'
        )

    def _anchor(self, name: str, *, again: bool = False) -> str:
        return f"{self.page}-{super()._anchor(name, again=again)}"

    def _term(self, content: str) -> str:
        return escape(content.partition("|")[0])

    def _quiz(self, block: Block) -> str:
        return ""


def slides(course: Course) -> str:
    """The whole file `slides.html`."""
    writer = DeckWriter(course)
    parts = [_title(course)]
    for section in course.sections:
        page = course.pages.get(section.page)
        if page and section.minutes:
            parts += _section(page, section, course, writer)
    style, script = asset("common.css") + asset("deck.css"), asset("parts.js") + asset("deck.js")
    data = {
        "lengths": {str(minutes): list(cuts) for minutes, cuts in course.lengths.items()},
        "minutes": course.minutes,
        "notes": [part["notes"] for part in parts],
        "sections": {
            section.page: {str(course.minutes): section.minutes, **section.shorter}
            for section in course.sections
        },
    }
    return template("deck.html.j2").render(
        course=course,
        slides=parts,
        style=style,
        script=script,
        policy=policy(style, script),
        data=json.dumps(data, ensure_ascii=False, sort_keys=True).replace("<", "\\u003c"),
    )


def _title(course: Course) -> dict[str, Any]:
    body = f"<p>{escape(course.about)}</p>"
    return _part(
        course.title, body, kind="first", notes="Press ? for the keys. The clock starts when you go on."
    )


def _section(page: Page, section: Section, course: Course, writer: DeckWriter) -> Iterator[dict[str, Any]]:
    number = 1 + [one.page for one in course.sections].index(page.id)
    shared = {"section": page.id, "head": f"{number} {page.title}"}
    yield _part(page.title, f'<p class="number">{number}</p>', kind="opening", **shared)
    writer.write(Page(page.id, page.title, []))
    for block in _shown(page.blocks):
        title = "" if block.name == "predict" else block.argument
        body = writer.block(block)
        yield _part(
            title,
            body,
            kind=block.name,
            notes=block.options.get("notes", ""),
            minutes=minutes_of(block),
            cut=block.options.get("cut", ""),
            locked='class="answer"' in body,
            **shared,
        )
    if section.break_after:
        yield _part(
            "Break", f"<p>{section.break_after} minutes</p>", kind="opening", pause=section.break_after
        )


def _shown(blocks: Sequence[Prose | Block]) -> Iterator[Block]:
    """The slides and predictions of a page, in their order."""
    for block in blocks:
        if isinstance(block, Block) and block.name in ("slide", "predict"):
            yield block


def minutes_of(block: Block) -> float:
    """Class time of a block; 0 where it says none."""
    try:
        return float(block.options.get("minutes", 0))
    except ValueError:
        return 0.0


def _part(title: str, body: str, **more: Any) -> dict[str, Any]:
    empty = {"section": "", "head": "", "kind": "slide", "notes": "", "minutes": 0.0, "cut": "", "pause": 0}
    return {"title": title, "body": body, "locked": False, **empty, **more}
