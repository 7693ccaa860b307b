"""The lecture's Markdown: plain Markdown without HTML, roles (`{claim}`id``), blocks (```` ```{slide} Title
````), mathematics and anchors -> a page of blocks. What a block becomes is said elsewhere (`writing`,
`deck`, `check`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_ROLE = re.compile(r"\{(\w+)\}`([^`\n]+(?:\n[^`\n]+)*)`")
_ROW = re.compile(r"^\|.*$", re.MULTILINE)
_MATH = re.compile(r"\$(?!\s)([^$\n]+?)(?<!\s)\$(?!\d)")
_ANCHOR = re.compile(r"\(([a-z][a-z0-9-]*)\)=\s*$")
_INFO = re.compile(r"\{([\w-]+)\}\s*(.*)$")
_OPTION = re.compile(r":([a-z]+):\s*(.*)$")
_CHOICE = re.compile(r"-\s+([A-Z]):\s+(.+)$")


@dataclass
class Prose:
    """A run of ordinary Markdown."""

    tokens: list[Token]
    line: int


@dataclass
class Block:
    """A directive.

    Attributes:
        body: what it holds; of a `predict` what really happens.
        question, choices: of a `predict`.
        options: `:name: value` lines at its head.
    """

    name: str
    argument: str
    line: int
    options: dict[str, str] = field(default_factory=dict)
    body: list[Prose | Block] = field(default_factory=list)
    question: list[Prose | Block] = field(default_factory=list)
    choices: list[tuple[str, list[Token]]] = field(default_factory=list)


@dataclass
class Page:
    """A page: its title, the paragraph after it, and its blocks."""

    id: str
    title: str
    blocks: list[Prose | Block]

    def tokens(self) -> Iterator[tuple[Token, int]]:
        """Every token of the page in reading order, each with its line."""
        yield from _tokens(self.blocks)

    def directives(self, name: str = "") -> Iterator[Block]:
        for block in _directives(self.blocks):
            if name in ("", block.name):
                yield block


def _directives(blocks: Sequence[Prose | Block]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Block):
            yield block
            yield from _directives(block.question)
            yield from _directives(block.body)


def _tokens(blocks: Sequence[Prose | Block]) -> Iterator[tuple[Token, int]]:
    for block in blocks:
        if isinstance(block, Prose):
            for token in block.tokens:
                yield token, block.line + (token.map[0] if token.map else 0)
            continue
        yield from _tokens(block.question)
        for _, tokens in block.choices:
            for token in tokens:
                yield token, block.line
        yield from _tokens(block.body)


@cache
def parser() -> MarkdownIt:
    found = MarkdownIt("commonmark", {"html": False}).enable("table")
    found.inline.ruler.before("backticks", "role", _role)
    found.inline.ruler.before("escape", "math", _math)
    found.block.ruler.before("paragraph", "anchor", _anchor)
    found.block.ruler.before("paragraph", "math_block", _math_block, {"alt": ["paragraph"]})
    return found


def page(name: str, text: str) -> Page:
    """A page of `lecture/pages`. Its first heading is its title."""
    blocks = parse(text)
    title = ""
    if blocks and isinstance(blocks[0], Prose):
        tokens = blocks[0].tokens
        if len(tokens) > 2 and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
            title = tokens[1].content
            blocks[0].tokens = tokens[3:]
    return Page(name, title or name, blocks)


def parse(text: str, line: int = 1) -> list[Prose | Block]:
    """Markdown -> runs of prose and directives, nested as they stand."""
    blocks: list[Prose | Block] = []
    prose: list[Token] = []
    for token in parser().parse(_ROW.sub(_piped, text)):
        found = _INFO.match(token.info) if token.type == "fence" and token.level == 0 else None
        if found is None:
            prose.append(token)
            continue
        if prose:
            blocks.append(Prose(prose, line))
            prose = []
        assert token.map is not None
        blocks.append(_block(found[1], found[2].strip(), token.content, line + token.map[0]))
    if prose:
        blocks.append(Prose(prose, line))
    return blocks


def _piped(row: re.Match[str]) -> str:
    """A row of a table, where a | within a role does not end the cell."""
    return _ROLE.sub(lambda role: re.sub(r"(?<!\\)\|", r"\\|", role[0]), row[0])


def _block(name: str, argument: str, content: str, line: int) -> Block:
    lines = content.splitlines()
    options, head = _options(lines)
    lines, start = lines[head:], line + 1 + head
    block = Block(name, argument, line, options)
    if name == "predict":
        cut = next((at for at, one in enumerate(lines) if one.strip() == "---"), len(lines))
        asked = [one for one in lines[:cut] if not _CHOICE.match(one)]
        block.question = parse("\n".join(asked), start)
        for one in lines[:cut]:
            if choice := _CHOICE.match(one):
                block.choices.append((choice[1], inline(choice[2])))
        lines, start = lines[cut + 1 :], start + cut + 1
    block.body = parse("\n".join(lines), start)
    return block


def _options(lines: Sequence[str]) -> tuple[dict[str, str], int]:
    """The `:name: value` lines at the head of a block, those that are indented being continued; how many
    lines.
    """
    options: dict[str, str] = {}
    last = ""
    for at, line in enumerate(lines):
        if found := _OPTION.match(line):
            last = found[1]
            options[last] = found[2].strip()
        elif last and line.startswith("  ") and line.strip():
            options[last] += " " + line.strip()
        else:
            return options, at
    return options, len(lines)


def inline(text: str) -> list[Token]:
    """One line of Markdown, without a paragraph about it."""
    return parser().parseInline(text)


def _role(state: StateInline, silent: bool) -> bool:
    found = _ROLE.match(state.src, state.pos)
    if not found:
        return False
    if not silent:
        token = state.push("role", "", 0)
        token.meta = {"role": found[1]}
        token.content = " ".join(found[2].split())
    state.pos = found.end()
    return True


def _math(state: StateInline, silent: bool) -> bool:
    found = _MATH.match(state.src, state.pos)
    if not found:
        return False
    if not silent:
        state.push("math", "", 0).content = found[1]
    state.pos = found.end()
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


def _anchor(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    found = _ANCHOR.match(_line(state, start))
    if not found:
        return False
    if not silent:
        token = state.push("anchor", "", 0)
        token.content = found[1]
        token.map = [start, start + 1]
        state.line = start + 1
    return True


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    first = _line(state, start).strip()
    if not first.startswith("$$"):
        return False
    lines = [first[2:]]
    last = start
    while not lines[-1].rstrip().endswith("$$"):
        last += 1
        if last >= end:
            return False
        lines.append(_line(state, last).strip())
    if not silent:
        token = state.push("math_block", "", 0)
        token.content = " ".join(lines).rstrip().removesuffix("$$").strip()
        token.map = [start, last + 1]
        state.line = last + 1
    return True


def words(token: Token) -> str:
    """The plain text of an inline token: without code and mathematics, roles as their own words."""
    return "".join(_words(child) for child in token.children or [])


def _words(token: Token) -> str:
    if token.type == "text":
        return token.content
    if token.type in ("softbreak", "hardbreak"):
        return " "
    if token.type == "role":
        return token.content.partition("|")[2] or token.content
    return ""


def roles(token: Token) -> Iterator[tuple[str, str]]:
    """Name and content of each role of an inline token."""
    for child in token.children or []:
        if child.type == "role":
            yield child.meta["role"], child.content
