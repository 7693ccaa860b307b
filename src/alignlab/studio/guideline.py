"""A guideline as typed blocks: what its author wrote in Markdown is never markup on a page."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from . import schema
from .inside import text

_MARKS = {"strong_open": "strong", "em_open": "emphasis"}
_LISTS = ("bullet_list_open", "ordered_list_open")


def blocks_of(markdown: str) -> list[schema.Block]:
    """Headings, paragraphs, points, quotes and code, in order. A link is its words and its address, a picture
    its words; HTML is text.
    """
    parser = MarkdownIt("commonmark", {"html": False})
    return [block for block in _blocks(parser.parse(markdown)) if any(span.text for span in block.spans)]


def changes_of(before: str, after: str) -> list[schema.Rewritten]:
    """The stretches of blocks that are not as they were."""
    old, new = ([_plain(block) for block in blocks_of(each)] for each in (before, after))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    return [
        schema.Rewritten(before="\n".join(old[a:b]), after="\n".join(new[c:d]))
        for what, a, b, c, d in matcher.get_opcodes()
        if what != "equal"
    ]


def _plain(block: schema.Block) -> str:
    return "".join(span.text for span in block.spans)


def _blocks(tokens: Sequence[Token]) -> Iterator[schema.Block]:
    numbers: list[int | None] = []  # of each list that is open, the number of its newest point
    first = False  # whether the next text is the first of its point
    quoted, level = 0, 0
    for token in tokens:
        if token.type in _LISTS:
            ordered = token.type == "ordered_list_open"
            numbers.append(int(token.attrs.get("start", 1)) - 1 if ordered else None)
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            numbers.pop()
        elif token.type == "list_item_open":
            first, number = True, numbers[-1]
            numbers[-1] = None if number is None else number + 1
        elif token.type in ("blockquote_open", "blockquote_close"):
            quoted += 1 if token.nesting == 1 else -1
        elif token.type == "heading_open":
            level = int(token.tag[1:])
        elif token.type == "heading_close":
            level = 0
        elif token.type in ("fence", "code_block"):
            code = schema.Span(text=text(token.content.rstrip("\n")), mark="code")
            yield schema.Block(kind="code", spans=[code])
        elif token.type == "inline":
            spans = list(_spans(token.children or ()))
            if level:
                yield schema.Block(kind="heading", level=level, spans=spans)
            elif first:
                yield schema.Block(kind="point", level=len(numbers), number=numbers[-1], spans=spans)
            else:
                yield schema.Block(kind="quote" if quoted else "paragraph", spans=spans)
            first = False


def _spans(tokens: Sequence[Token]) -> Iterator[schema.Span]:
    marks: list[str] = []
    address = ""
    for token in tokens:
        if token.type in _MARKS:
            marks.append(_MARKS[token.type])
        elif token.type in ("strong_close", "em_close"):
            marks.pop()
        elif token.type == "link_open":
            address = str(token.attrs.get("href", ""))
        elif token.type == "link_close":
            yield schema.Span(text=f" ({text(address)})", mark="plain")
        else:
            found = " " if token.type in ("softbreak", "hardbreak") else token.content
            mark = "code" if token.type == "code_inline" else next(reversed(marks), "plain")
            yield schema.Span.model_validate({"text": text(found), "mark": mark})
