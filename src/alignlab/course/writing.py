"""A page of blocks -> HTML. Text is escaped by the parser, which allows no HTML; what a role or a block
names is looked up in the course, and what is not there is marked on the page and kept as a problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from markdown_it.token import Token

from ..errors import DataError
from . import figures, mathml, quizzes
from .claims import Claim
from .course import Course, Problem
from .markdown import Block, Page, Prose, parse, parser, words

_NOT_A_SLUG = re.compile(r"[^a-z0-9]+")
_CONTROL = re.compile(r"</?(?:a|button)\b[^>]*>")  # what is itself pressed has none inside


def slug(text: str) -> str:
    return _NOT_A_SLUG.sub("-", text.lower()).strip("-") or "section"


class Writer:
    """Writes the pages of a course, one after the other.

    Attributes:
        problems: what was named and is not there.
        anchors: by page, every id that a link can lead to.
        headings: by page, (id, text) of its sections.
        terms: the words of the glossary that the page being written names.
    """

    def __init__(self, course: Course) -> None:
        self.course = course
        self.problems: list[Problem] = []
        self.anchors: dict[str, set[str]] = {}
        self.headings: dict[str, list[tuple[str, str]]] = {}
        self.terms: dict[str, str] = {}
        self.page = ""
        self.line = 0
        self._figures = 0
        self._links: list[tuple[str, str, str]] = []

    def write(self, page: Page) -> str:
        """The body of a page, below its title."""
        self.page, self.terms = page.id, {}
        self.anchors[page.id], self.headings[page.id] = set(), []
        return self.blocks(page.blocks)

    def check_links(self) -> None:
        """To be asked when all pages are written: links between them that lead nowhere are problems."""
        for where, page, anchor in self._links:
            if page not in self.anchors:
                self.problems.append(Problem("link", where, f"there is no page {page}"))
            elif anchor and anchor not in self.anchors[page]:
                self.problems.append(Problem("anchor", where, f"there is no {anchor} on the page {page}"))

    def blocks(self, blocks: Sequence[Prose | Block]) -> str:
        return "".join(self.prose(one) if isinstance(one, Prose) else self.block(one) for one in blocks)

    def prose(self, prose: Prose) -> str:
        html = []
        for token in prose.tokens:
            if token.map:
                self.line = prose.line + token.map[0]
            if token.type == "heading_open":
                inline = prose.tokens[prose.tokens.index(token) + 1]
                html.append(self._heading(token, inline))
            elif token.type == "inline":
                html.append(self.inline(token.children or []))
            elif token.type == "anchor":
                html.append(f'<span class="anchor" id="{self._anchor(token.content)}"></span>')
            elif token.type == "math_block":
                html.append(f'<div class="formula">{self._math(token.content, display=True)}</div>')
            elif token.type == "fence":
                html.append(self._code(token))
            elif token.type == "table_open":
                html.append('<div class="scroll"><table>')
            elif token.type == "table_close":
                html.append("</table></div>\n")
            else:
                html.append(parser().renderer.render([token], parser().options, {}))
        return "".join(html)

    def _heading(self, token: Token, inline: Token) -> str:
        text = words(inline)
        anchor = self._anchor(slug(text), again=True)
        if token.tag == "h2":
            self.headings[self.page].append((anchor, text))
        return f'<{token.tag} id="{anchor}">'

    def _anchor(self, name: str, *, again: bool = False) -> str:
        there = self.anchors[self.page]
        if name in there and not again:
            self.problem("anchor", f"two places are called {name}")
        number = 2
        found = name
        while found in there:
            found = f"{name}-{number}"
            number += 1
        there.add(found)
        return found

    def _code(self, token: Token) -> str:
        kind = escape(token.info.split(" ")[0] or "text", quote=True)
        return f'<pre class="{kind}"><code>{escape(token.content)}</code></pre>\n'

    def inline(self, tokens: Sequence[Token]) -> str:
        html = []
        for token in tokens:
            if token.type == "role":
                html.append(self._role(token.meta["role"], token.content))
            elif token.type == "math":
                html.append(self._math(token.content))
            elif token.type == "image":
                self.problem("format", "pictures are named by {figure}, not by a link")
                html.append(escape(token.content))
            else:
                html.append(parser().renderer.render([token], parser().options, {}))
        return "".join(html)

    def _math(self, latex: str, *, display: bool = False) -> str:
        try:
            return mathml.mathml(latex, display=display)
        except mathml.NotPlain as reason:
            self.problem("math", f"{latex}: {reason}")
            return f"<code>{escape(latex)}</code>"

    def _role(self, role: str, content: str) -> str:
        write: dict[str, Callable[[str], str]] = {
            "claim": self.claim,
            "value": self._value,
            "term": self._term,
            "cite": self._cite,
            "page": self._page_link,
        }
        if role not in write:
            return self.missing("format", f"there is no role {role}")
        return write[role](content)

    def claim(self, name: str) -> str:
        """A claim's sentence with its receipt, and the figure of a run of the reader's own."""
        if not (claim := self._claim(name)):
            return self.missing("claim", f"there is no claim {name}")
        try:
            sentence, verdict = claim.sentence(), claim.verdict
        except DataError as error:
            return self.missing("claim", error.what)
        short = verdict.removeprefix("held in ")
        return (
            f'<span class="claim">{escape(sentence)} <a class="receipt" href="receipts.html#{name}" '
            f'title="the receipt of this claim">{escape(short)}</a>{self._own(claim)}</span>'
        )

    def _own(self, claim: Claim) -> str:
        figures = own_figures(claim, self.course)
        if not figures:
            return ""
        links = ", ".join(map(_run, self.course.own[claim.record.name].document["folders"]))
        return f' <span class="own">yours: {escape(figures)}, in {links}</span>'

    def _value(self, content: str) -> str:
        asked, _, how = content.partition("|")
        name, _, value = asked.strip().rpartition(".")
        if not (claim := self._claim(name)):
            return self.missing("claim", f"there is no claim {name} (of the value {asked})")
        try:
            shown = claim.shown_as_in_text(value, how)
        except DataError as error:
            return self.missing("claim", error.what)
        return f'<a class="value" href="receipts.html#{name}">{escape(shown)}</a>'

    def _claim(self, name: str) -> Claim | None:
        return self.course.claims.get(name)

    def _term(self, content: str) -> str:
        shown, _, word = content.partition("|")
        term = find_term(word or shown, self.course.glossary)
        if not term:
            return self.missing("term", f"the glossary does not know {content!r}", shown)
        key = slug(term)
        self.terms[key] = term
        return f'<button type="button" class="term" popovertarget="term-{key}">{escape(shown)}</button>'

    def _cite(self, content: str) -> str:
        key, _, text = content.partition("|")
        paper = self.course.papers.get(key.strip())
        if not paper:
            return self.missing("paper", f"there is no paper {key}", text or key)
        shown = text or f"{paper.get('authors', key)} ({paper.get('year', '')})"
        inner = self.text(shown)
        named = f"{paper.get('authors', '')} {paper.get('year', '')}: {paper.get('title', '')}"
        link = f'href="papers.html#{escape(key.strip())}" title="{escape(named, quote=True)}"'
        return f'<a class="cite" {link}>{inner}</a>'

    def _page_link(self, content: str) -> str:
        target, _, text = content.partition("|")
        page, _, anchor = target.strip().partition("#")
        page = page or self.page
        self._links.append((f"{self.page}, line {self.line}", page, anchor))
        if not text:
            text = self.course.pages[page].title if page in self.course.pages else page
        tail = f"#{anchor}" if anchor else ""
        return f'<a href="{escape(page)}.html{escape(tail)}">{escape(text)}</a>'

    def block(self, block: Block) -> str:
        self.line = block.line
        write: dict[str, Callable[[Block], str]] = {
            "slide": self._slide,
            "predict": self._predict,
            "quiz": self._quiz,
            "figure": self._figure,
            "demo": self._demo,
        }
        if block.name not in write:
            return f"<p>{self.missing('format', f'there is no block {block.name}')}</p>"
        return write[block.name](block)

    def _slide(self, block: Block) -> str:
        anchor = self._anchor(slug(block.argument), again=True)
        title = self.text(block.argument)
        notes = ""
        if said := block.options.get("notes"):
            notes = (
                f'<details class="notes"><summary>For the teacher</summary><p>{self.text(said)}</p></details>'
            )
        body = self.blocks(block.body)
        return f'<section class="slide" id="{anchor}"><h3>{title}</h3>{body}{notes}</section>\n'

    def _predict(self, block: Block) -> str:
        anchor = self._anchor(f"predict-{slug(block.argument)}")
        options = "".join(
            f'<button type="button" class="option" aria-pressed="false"><b>{escape(letter)}</b>'
            f"<span>{_CONTROL.sub('', self.inline(tokens[0].children or []))}</span></button>"
            for letter, tokens in block.choices
        )
        if len(block.choices) < 2:
            self.problem("format", f"predict {block.argument} has {len(block.choices)} options")
        return (
            f'<section class="predict" id="{anchor}"><p class="label">Predict first</p>'
            f'{self.blocks(block.question)}<div class="options">{options}</div>'
            '<details class="answer"><summary>What really happens</summary>'
            f"{self.blocks(block.body)}</details>"
            "</section>\n"
        )

    def _quiz(self, block: Block) -> str:
        items = self.course.quizzes.get(block.argument)
        if not items:
            return f"<p>{self.missing('quiz', f'there is no quiz {block.argument}')}</p>"
        asked = "".join(quizzes.item(item, number, self) for number, item in enumerate(items, 1))
        return f'<section class="quiz" id="{self._anchor("quiz", again=True)}">{asked}</section>\n'

    def text(self, markdown: str) -> str:
        """Markdown from a table: in the line where it is one paragraph, as blocks otherwise."""
        blocks = parse(markdown.strip(), self.line)
        if len(blocks) == 1 and isinstance(blocks[0], Prose) and len(blocks[0].tokens) == 3:
            return self.inline(blocks[0].tokens[1].children or [])
        return self.blocks(blocks)

    def _figure(self, block: Block) -> str:
        anchor = self._anchor(f"figure-{slug(block.argument)}", again=True)
        try:
            drawn = figures.drawn(block.argument, self.course)
        except DataError as error:
            return f"<p>{self.missing('figure', error.what)}</p>"
        self._figures += 1  # a name in a drawing is another one wherever it stands
        drawn = drawn.replace('"fig-', f'"fig{self._figures}-').replace("#fig-", f"#fig{self._figures}-")
        caption = self.blocks(block.body)
        return f'<figure id="{anchor}">{drawn}<figcaption>{caption}</figcaption></figure>\n'

    def _demo(self, block: Block) -> str:
        demo = self.course.demos.get(block.argument)
        if not demo:
            return f"<p>{self.missing('demo', f'there is no demo {block.argument}')}</p>"
        anchor = self._anchor(f"demo-{demo.number}", again=True)
        return (
            f'<aside class="demo" id="{anchor}"><p class="label">Demo {escape(demo.number)}, about '
            f"{demo.seconds} seconds</p><h3>{escape(demo.title)}</h3><p>{escape(demo.says)}</p>"
            f'<pre class="text"><code>alignlab lecture demo {escape(demo.name)}\n'
            f"alignlab lecture demo {escape(demo.name)} --full</code></pre>"
            f'<p class="quiet">The full form takes about {demo.full} seconds.</p>'
            f"{self.blocks(block.body)}</aside>\n"
        )

    def problem(self, kind: str, what: str) -> None:
        self.problems.append(Problem(kind, f"{self.page}, line {self.line}", what))

    def missing(self, kind: str, what: str, shown: str = "") -> str:
        self.problem(kind, what)
        return f'<mark class="missing">{escape(shown or what)}</mark>'


def find_term(word: str, glossary: dict[str, str]) -> str:
    """The glossary's own spelling of a word; its plural counts; empty where it has none."""
    spelled = {term.lower(): term for term in glossary}
    word = word.strip().lower()
    for form in (word, word.removesuffix("s"), word.removesuffix("es"), f"{word}s"):
        if form in spelled:
            return spelled[form]
    if word.endswith("ies"):
        return spelled.get(f"{word[:-3]}y", "")
    return ""


def _run(folder: str) -> str:
    """A link to the page of a run, or to its folder."""
    page = Path(folder) / "report.html"
    uri = (page if page.exists() else page.parent).as_uri()
    return f'<a href="{escape(uri, quote=True)}">{escape(page.parent.name)}</a>'


def own_figures(claim: Claim, course: Course) -> str:
    """The figures of a claim's sentence in the reader's own runs, and whether it holds in them; empty where
    they do not give every figure.
    """
    record = course.own.get(claim.record.name)
    if not record:
        return ""
    own = Claim(claim.id, claim.text, record, claim.values, claim.holds)
    try:
        figures = ", ".join(own.shown_as_in_text(name) for name in own.named)
        return f"{figures} ({own.verdict})" if figures else ""
    except DataError:
        return ""
