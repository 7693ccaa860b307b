"""The course -> a folder of HTML files that need nothing else: no server, no request, no font."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..run.outputs import check_file, is_page, whole_file
from .claims import Claim
from .course import Course, Problem
from .places import HERE
from .records import Record
from .writing import Writer, own_figures, slug


@dataclass(frozen=True)
class Site:
    """The pages of a course by file name, and what was wrong with what they name."""

    files: Mapping[str, str]
    problems: list[Problem]
    anchors: Mapping[str, set[str]]


def build(course: Course) -> Site:
    """Every page of a course; the same course gives the same letters."""
    writer = Writer(course)
    rows = [
        {"id": section.page, "title": course.pages[section.page].title, "minutes": section.minutes}
        for section in course.sections
        if section.page in course.pages
    ]
    files = {}
    for place, row in enumerate(rows):
        page = row["id"]
        body = writer.write(course.pages[page])
        files[f"{page}.html"] = whole(
            course,
            id=page,
            title=row["title"],
            body=body,
            rows=rows,
            headings=writer.headings[page],
            when=_when(course, page, row["minutes"]),
            terms=[(key, term, course.glossary[term]) for key, term in sorted(writer.terms.items())],
            before=rows[place - 1] if place else None,
            after=rows[place + 1] if place + 1 < len(rows) else None,
        )
    writer.check_links()
    for name, title, kind, body in (
        ("index", course.title, "", _index(course, rows)),
        ("glossary", "Glossary", "", _glossary(course)),
        ("receipts", "Receipts", "receipts", _receipts(course)),
        ("papers", "Papers", "", _papers(course)),
    ):
        files[f"{name}.html"] = whole(course, id=name, title=title, kind=kind, body=body, rows=rows)
    return Site(files, [*course.problems, *writer.problems], writer.anchors)


def save(files: Mapping[str, str], out: Path) -> None:
    """Write files, by name, into a folder.

    Raises:
        UserError: a file of that name is there which no page of ours is. ResourceError: the disk is full.
    """
    for name in files:
        check_file(out / name, ours=is_page)
    for name, text in files.items():
        with whole_file(out / name) as staging:
            staging.write_text(text, encoding="utf-8")


def _when(course: Course, page: str, minutes: int) -> str:
    if not minutes:
        return "To be read at home"
    begins = course.begins(page)
    return f"{_clock(begins)} to {_clock(begins + minutes)} · {minutes} minutes"


def _clock(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02d}"


@cache
def asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """What a policy names a script or style by."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {digest(style)}; script-src {digest(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def template(name: str) -> Any:
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(asset(name))


MOVING = ("dynamics", "calculator")
"""What has a style and a script of its own (`NAME.css`, `NAME.js`), on the pages that show it."""


def whole(course: Course, **shown: Any) -> str:
    style, script = asset("common.css") + asset("course.css"), asset("parts.js") + asset("course.js")
    for name in MOVING:
        if f'class="{name}"' in shown["body"]:
            style, script = style + asset(f"{name}.css"), script + asset(f"{name}.js")
    empty = {"kind": "", "headings": [], "when": "", "terms": [], "before": None, "after": None}
    return template("page.html.j2").render(
        course=course, style=style, script=script, policy=policy(style, script), **(empty | shown)
    )


def _index(course: Course, rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        when = _clock(course.begins(row["id"])) if row["minutes"] else ""
        minutes = f"{row['minutes']} min" if row["minutes"] else "at home"
        link = f'<a href="{row["id"]}.html">{escape(row["title"])}</a>'
        lines.append(f"<tr><td>{when}</td><td>{link}</td><td>{minutes}</td></tr>")
    held = sum(_stands(claim) for claim in course.claims.values())
    return (
        f'<p class="lead">{escape(course.about)}</p>'
        '<div class="scroll"><table class="plan"><thead><tr><th>begins</th><th>section</th>'
        f"<th>class time</th></tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        f'<p><a href="slides.html">The slides</a> hold the same in {course.minutes} minutes, with a clock. '
        f"Every figure on these pages comes from a measured run: {held} of {len(course.claims)} claims hold "
        'as they are written, and each has <a href="receipts.html">its receipt</a>. '
        "Words with a dotted line are explained when you press them, and in the "
        '<a href="glossary.html">glossary</a>.</p>'
    )


def _stands(claim: Claim) -> bool:
    try:
        return claim.stands
    except DataError:
        return False


def _glossary(course: Course) -> str:
    rows = sorted(course.glossary.items(), key=lambda row: row[0].lower())
    words = "".join(
        f'<dt id="{slug(term)}">{escape(term)}</dt><dd>{escape(meaning)}</dd>' for term, meaning in rows
    )
    return f'<dl class="words">{words}</dl>' if rows else "<p>No word is in it yet.</p>"


def _papers(course: Course) -> str:
    sections = []
    for key, paper in course.papers.items():
        facts = [
            ("where", f"{paper.get('where', '')}, {paper.get('year', '')}"),
            ("claims", paper.get("claims", "")),
        ]
        shown = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(str(text))}</dd>" for name, text in facts if text
        )
        if (ours := course.claims.get(paper.get("ours", ""))) and _stands(ours) and paper.get("verdict"):
            shown += (
                f"<dt>measured here</dt><dd>{escape(ours.sentence())} "
                f'<a class="receipt" href="receipts.html#{ours.id}">{escape(ours.verdict)}</a></dd>'
                f"<dt>so this course</dt><dd><b>{escape(paper['verdict'])}</b></dd>"
            )
        sections.append(
            f'<section id="{escape(key, quote=True)}"><h2>{escape(paper.get("title", key))}</h2>'
            f'<p>{escape(paper.get("authors", ""))}</p><dl class="facts">{shown}</dl></section>'
        )
    return f'<div class="receipts">{"".join(sections)}</div>' if sections else "<p>No paper is named yet.</p>"


def _receipts(course: Course) -> str:
    by_record: dict[str, list[Claim]] = {}
    for claim in course.claims.values():
        by_record.setdefault(claim.record.name, []).append(claim)
    parts = [
        "<p>One for each claim of the course: what was run, on what, with which seeds, and what came out in "
        "each. A claim that fails in a seed says so in its own words. The dotted names are paths into the "
        "record.</p>"
    ]
    for name, claims in sorted(by_record.items()):
        parts.append(f'<h2 id="record-{escape(name)}">{escape(name)}</h2>{_measured(claims[0].record)}')
        parts += [_receipt(claim, course) for claim in claims]
    return "".join(parts)


def _measured(record: Record) -> str:
    """What all claims on a record share."""
    said = record.document
    return _facts(
        ("command", f"<code>{escape(str(said.get('command', '')))}</code>"),
        ("figures in", f"<code>record/{escape(record.name)}.json</code>"),
        ("seeds", escape(", ".join(record.seeds))),
        ("measured on", escape(str(said.get("set") or said.get("measured_on") or ""))),
        ("n", escape(_counts(said.get("n")))),
        ("processor time", escape(_seconds(said.get("seconds")))),
        ("machine", escape(str(said.get("machine", "")))),
        ("commit", escape(str(said.get("commit") or "not kept with these runs"))),
    )


def _facts(*facts: tuple[str, str]) -> str:
    shown = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts if text)
    return f'<dl class="facts">{shown}</dl>'


def _receipt(claim: Claim, course: Course) -> str:
    try:
        sentence, verdict, by_seed = claim.sentence(), claim.verdict, claim.by_seed
    except DataError as error:
        return (
            f'<section id="{claim.id}"><h3>{claim.id}</h3><p class="fails">{escape(error.what)}</p></section>'
        )
    heads = "".join(f"<th>{escape(f'seed {seed}' if seed else 'all seeds')}</th>" for seed in by_seed)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td>{_figure(values[name])}</td>" for values in by_seed.values())
        + f"<td><code>{escape(path.removeprefix('figures.*.'))}</code></td></tr>"
        for name, path in claim.values.items()
    )
    kept = "".join(f"<td>{'yes' if ok else 'no'}</td>" for ok in claim.held.values())
    mark = "" if claim.stands else ' class="fails"'
    facts = _facts(
        ("the contrary", escape(claim.says or "the last line of the table, false")),
        ("yours", escape(own_figures(claim, course))),
    )
    return (
        f'<section id="{claim.id}"><h3>{claim.id}</h3><p>{escape(sentence)} '
        f"<span{mark}>({escape(verdict)})</span></p>"
        '<div class="scroll"><table class="figures">'
        f"<thead><tr><th>figure</th>{heads}<th>where it stands</th></tr></thead>"
        f"<tbody>{rows}<tr><td><code>{escape(claim.holds)}</code></td>{kept}<td></td></tr></tbody></table></div>"
        f"{facts}</section>"
    )


def _figure(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _counts(n: Any) -> str:
    if isinstance(n, Mapping):
        return ", ".join(f"{name} {count:,}" for name, count in n.items())
    return f"{n:,}" if isinstance(n, int) else ""


def _seconds(seconds: Any) -> str:
    if not isinstance(seconds, int | float) or not seconds:
        return ""
    return f"{seconds:,.0f} seconds of one core, all seeds together"
