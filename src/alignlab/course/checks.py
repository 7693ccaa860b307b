"""What `alignlab lecture check` tells: claims that fail, numbers without a source, what is named and is not
there, words before they are explained, and pages that are hard to read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it.token import Token

from ..errors import DataError
from . import plain
from .build import Site, build
from .course import Course, Problem
from .deck import minutes_of
from .markdown import Page, parser, roles
from .writing import find_term

HARDEST, LONGEST = 9.0, 20.0  # school grade (Flesch-Kincaid) of a page, words of its mean sentence
SERVED = 62  # bullets of the outline
_FIGURE = re.compile(r"[+-]?\d+\.\d\d+(\s*\\to\s*[+-]?\d+\.\d+)?$")
_NUMBER = re.compile(r"(?<![\w.,/–-])\d[\d,]*(?:\.\d+)?(?:\s?%)?(?![\w])")
_OPEN_ROLE = re.compile(r"\{(?:claim|value|term|cite|page)\}`")
_YEAR = re.compile(r"(?:19|20)\d\d$")
_SENTENCE = re.compile(r"[.!?]+(?=\s|$)")
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
_VOWELS = re.compile(r"[aeiouy]+")


def check(course: Course) -> tuple[list[Problem], list[str]]:
    """What is to be mended, and lines on how hard each page is to read."""
    site = build(course)
    problems = list(site.problems)
    problems += _claims(course)
    problems += _plan(course)
    problems += _numbers(course)
    problems += _order(course)
    problems += _outline(course, site)
    problems += _papers(course)
    problems += _misconceptions(course)
    hard, said = _reading(course)
    return [*dict.fromkeys([*problems, *hard])], said


def _claims(course: Course) -> Iterator[Problem]:
    used = {paper.get("ours", "") for paper in course.papers.values()}
    for token in _inlines(course):
        for role, content in roles(token):
            used.add(content.split("|")[0].rpartition(".")[0] if role == "value" else content)
    for claim in course.claims.values():
        try:
            claim.sentence()
            if not claim.stands:
                yield Problem("claim", claim.id, f"{claim.holds} {claim.verdict}, not in as many as it says")
        except DataError as error:
            yield Problem("claim", claim.id, error.what)
        if claim.id not in used:
            yield Problem("claim", claim.id, "no page shows it")


def _inlines(course: Course) -> Iterator[Token]:
    """Every piece of text of pages and quizzes."""
    for page in course.pages.values():
        yield from (token for token, _ in page.tokens())
    for items in course.quizzes.values():
        for item in items:
            for text in (item["question"], item["why"]):
                yield from parser().parse(text)


def _plan(course: Course) -> Iterator[Problem]:
    """Sections whose slides take more class time than the plan has for them."""
    for section in course.sections:
        if page := course.pages.get(section.page):
            for length, cuts in course.lengths.items():
                has = section.shorter.get(length, section.minutes)
                shown = [block for block in page.directives() if block.options.get("cut", "") not in cuts]
                takes = sum(map(minutes_of, shown))
                if has and takes > has:
                    yield Problem(
                        "plan",
                        page.id,
                        f"its slides take {takes:g} minutes of {has} in the lecture of {length}",
                    )


def _numbers(course: Course) -> Iterator[Problem]:
    """Numbers that are typed where only a claim, a paper, code or a formula may have one."""
    for page in course.pages.values():
        for token, line in page.tokens():
            for child in token.children or []:
                where = f"{page.id}, line {line}"
                if child.type == "math" and _FIGURE.match(child.content):
                    yield Problem(
                        "number", where, f"{child.content} stands without a source: it is no formula"
                    )
                if child.type != "text":
                    continue
                if _OPEN_ROLE.search(child.content):
                    yield Problem("format", where, "a role does not end; in a table its | is written \\|")
                for number in _NUMBER.findall(child.content):
                    if not _is_free(number):
                        yield Problem("number", where, f"{number} stands without a source")


def _is_free(number: str) -> bool:
    plain = number.replace(",", "")
    if not plain.isdigit():
        return False
    return int(plain) <= 20 or bool(_YEAR.match(number))


def _order(course: Course) -> Iterator[Problem]:
    """Words of the glossary that a page uses before any page has explained them."""
    explained: set[str] = set()
    told: set[str] = set()
    patterns = {
        term: re.compile(rf"(?<![\w-]){re.escape(term)}(?![\w-])", re.IGNORECASE) for term in course.glossary
    }
    for page in course.pages.values():
        for token, line in page.tokens():
            for child in token.children or []:
                if child.type == "role" and child.meta["role"] == "term":
                    shown, _, word = child.content.partition("|")
                    explained.add(find_term(word or shown, course.glossary))
                elif child.type == "text":
                    for term in patterns.keys() - explained - told:
                        if patterns[term].search(child.content):
                            told.add(term)
                            yield Problem(
                                "order", f"{page.id}, line {line}", f"{term!r} comes before its {{term}}"
                            )


def _outline(course: Course, site: Site) -> Iterator[Problem]:
    for bullet in course.outline:
        page, _, anchor = bullet.get("page", "").partition("#")
        if page not in site.anchors or (anchor and anchor not in site.anchors[page]):
            yield Problem("outline", bullet.get("text", "?"), f"has no place at {bullet.get('page', '')!r}")
    if len(course.outline) != SERVED:
        yield Problem("outline", "outline.toml", f"has {len(course.outline)} bullets, not {SERVED}")


def _papers(course: Course) -> Iterator[Problem]:
    for key, paper in course.papers.items():
        if (ours := paper.get("ours")) and ours not in course.claims:
            yield Problem("paper", key, f"names a claim that is not there: {ours}")
        if paper.get("verdict") and paper["verdict"] not in ("agrees", "disagrees", "cannot say"):
            yield Problem("paper", key, f"{paper['verdict']!r} is no verdict")


def _misconceptions(course: Course) -> Iterator[Problem]:
    for name, items in course.quizzes.items():
        for item in items:
            for option in item.get("options", []):
                if (key := option.get("misconception", "")) and key not in course.misconceptions:
                    yield Problem(
                        "quiz", f"quiz/{name}.toml, {item['id']}", f"no misconception is called {key}"
                    )


def _reading(course: Course) -> tuple[list[Problem], list[str]]:
    problems, lines = [], []
    for page in course.pages.values():
        grade, mean = reading(prose(page, course))
        lines.append(f"{page.id:<16} school grade {grade:.1f}, {mean:.1f} words a sentence")
        if grade > HARDEST:
            problems.append(Problem("reading", page.id, f"school grade {grade:.1f}, above {HARDEST:g}"))
        if mean > LONGEST:
            problems.append(Problem("reading", page.id, f"{mean:.1f} words a sentence, above {LONGEST:g}"))
    return problems, lines


def prose(page: Page, course: Course) -> list[str]:
    """The paragraphs of a page as they are read, claims filled in; without tables, code and mathematics."""
    found, table = [], False
    for token, _ in page.tokens():
        if token.type in ("table_open", "table_close"):
            table = token.type == "table_open"
        if token.type == "inline" and not table:
            found.append(plain.said(token.children or [], course, code=False).strip())
    return [text for text in found if text]


def reading(paragraphs: list[str]) -> tuple[float, float]:
    """Flesch-Kincaid grade (0.39 words a sentence + 11.8 syllables a word - 15.59) and words a sentence."""
    sentences, words, syllables = 0, 0, 0
    for paragraph in paragraphs:
        for sentence in _SENTENCE.split(paragraph):
            found = _WORD.findall(sentence)
            sentences += bool(found)
            words += len(found)
            syllables += sum(map(_syllables, found))
    if not words:
        return 0.0, 0.0
    return 0.39 * words / sentences + 11.8 * syllables / words - 15.59, words / sentences


def _syllables(word: str) -> int:
    word = word.lower()
    count = len(_VOWELS.findall(word))
    if word.endswith("e") and not word.endswith(("le", "ee", "ye")) and count > 1:
        count -= 1
    if word.endswith("ed") and not word.endswith(("ted", "ded")) and count > 1:
        count -= 1
    return max(1, count)
