"""Markdown of the lecture as plain text, claims and figures filled in: for terminals, and to count words."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it.token import Token

from ..errors import DataError
from .course import Course
from .markdown import parser


def said(tokens: Sequence[Token], course: Course, *, code: bool = True) -> str:
    """What inline tokens say; without `code` and mathematics where sentences are counted."""
    return "".join(_said(token, course, code) for token in tokens)


def _said(token: Token, course: Course, code: bool) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return " "
    if token.type == "text":
        return token.content
    if token.type in ("code_inline", "math"):
        return token.content if code else ""
    if token.type != "role":
        return ""
    return role(token.meta["role"], token.content, course)


def role(name: str, content: str, course: Course) -> str:
    """What a role shows; of a claim that is not there, nothing."""
    shown, _, more = content.partition("|")
    try:
        if name == "claim" and content in course.claims:
            return course.claims[content].sentence()
        if name == "value":
            claim, _, value = shown.strip().rpartition(".")
            return course.claims[claim].shown_as_in_text(value, more) if claim in course.claims else ""
    except DataError:
        return ""
    return shown if name == "term" else more


def text(markdown: str, course: Course) -> str:
    """Paragraphs, rows of tables and code of a piece of Markdown, one below the other."""
    lines: list[str] = []
    row: list[str] | None = None
    for token in parser().parse(markdown):
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row is not None:
            lines.append("   ".join(row))
            row = None
        elif token.type == "inline":
            (lines if row is None else row).append(said(token.children or [], course))
        elif token.type == "fence":
            lines.append(token.content.rstrip())
    return "\n".join(lines)
