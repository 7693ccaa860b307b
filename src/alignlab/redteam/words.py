"""A campaign and a fix in words, for the terminal and as Markdown; what a model or an attacker wrote is shown
with its control characters escaped. Longer words lie in `words.toml`, the Markdown in `report.md.j2`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..stages.stage import rate
from ..text.escapes import visible
from ..text.figures import with_interval
from .finding import Finding

Document = Mapping[str, Any]
WORDS: dict[str, dict[str, str]] = tomllib.loads(
    (Path(__file__).parent / "words.toml").read_text(encoding="utf-8")
)
GLOSSARY = tuple(WORDS["glossary"].items())
VOID = "void (empty, broken, off the point; count as no success and as no refusal)"


def lines_of(campaign: Document) -> list[str]:
    """The campaign in words: what found something, worst first, and how many attacks found nothing."""
    rows = worst_first(campaign, only_hits=True)
    count, width = len(campaign["attacks"]), max([5, *(len(name) for name, _ in rows)])
    lines = [
        f"{campaign['model']}: {campaign['goals']} goals, {count} attacks, {campaign['queries']} queries",
        f"  {'plain':<{width}}  {rate(campaign['plain'])}",
    ]
    for name, row in rows:
        lines.append(f"  {name:<{width}}  {rate(row['asr'])}  {row['family']}, {row['queries']} queries")
    if len(rows) < count:
        lines.append(f"  {count - len(rows)} others found nothing")
    refused, unscored = rated(campaign["over_refusal"]), campaign["unscored"]
    return [
        *lines,
        f"  {'any':<{width}}  {rate(campaign['all'])}",
        f"over-refusal {refused}, {unscored} unscored, {campaign['findings']} findings",
        *void_lines(campaign),
    ]


def fix_lines(fix: Document) -> list[str]:
    """A fix in words: the curve and the differences."""
    lines = []
    for row in fix["rounds"]:
        parts = [
            f"round {row['round']}: attacked {rate(row['asr_attacked'])}",
            f"held out {rate(row['asr_held_out'])}",
            f"over-refusal {rated(row['over_refusal'])}",
            f"best {row['best']} {rate(row['best_asr'])}",
        ]
        lines.append("; ".join([", ".join(parts), *void_lines(row)]))
    lines += [f"  {name:<13} {difference(value)}" for name, value in fix["deltas"].items()]
    if fix.get("ended"):
        lines.append(fix["ended"])
    return [*lines, f"held out: {held_out(fix)}", f"the fixed model: {fix['model']}"]


def held_out(fix: Document) -> str:
    """The families that no lesson was made from, or where no whole family was held out the attacks."""
    return ", ".join(fix["held_out_families"] or fix["held_out_attacks"]) or "nothing"


def void_lines(campaign: Document) -> list[str]:
    """What the rates do not say: answers that say nothing, or nothing to the point, are neither a success of
    an attack nor a refusal.
    """
    named = {"plain": "plain requests", "attacks": "attacks", "twins": "harmless look-alikes"}
    counts = campaign.get("void", {})  # an older document has none
    parts = []
    for key, name in named.items():
        count = counts.get(key, {"void": 0})
        if count["void"]:
            parts.append(f"{count['void']} of {count['of']} answers to {name}")
    return [f"{VOID}: {', '.join(parts)}"] if parts else []


def rated(value: Mapping[str, Any]) -> str:
    """A rate with its interval; of nothing, that it was not measured."""
    return "not measured" if value["mean"] is None else rate(value)


def difference(value: Mapping[str, Any] | None) -> str:
    """A paired difference with its interval; of nothing, that it was not measured."""
    if value is None:
        return "not measured"
    return f"{with_interval(value, sign='+')} (n = {value['n']})"


def worst_first(campaign: Document, *, only_hits: bool = False) -> list[tuple[str, Mapping[str, Any]]]:
    """The attacks of a document, the most successful first."""
    rows = sorted(campaign["attacks"].items(), key=lambda item: -(item[1]["asr"]["mean"] or 0.0))
    return [(name, row) for name, row in rows if row["asr"]["mean"] or not only_hits]


def markdown(document: Document, findings: Sequence[Finding]) -> str:
    """The campaign as Markdown, by `report.md.j2`."""
    from jinja2 import Environment, PackageLoader

    def quoted(text: str) -> str:
        return "\n".join(f"    {line}" for line in visible(text, 1500).splitlines() or [""])

    whole = document.get("before", document)
    environment = Environment(
        loader=PackageLoader("alignlab", "redteam"),
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, in which the text of others stands as code
    )
    text = environment.get_template("report.md.j2").render(
        whole=whole,
        fix_lines=fix_lines(document) if "after" in document else [],
        attacks=worst_first(whole),
        void_lines=void_lines(whole),
        findings=findings,
        rate=rate,
        rated=rated,
        quoted=quoted,
    )
    return visible(text)


def short(value: Mapping[str, Any]) -> str:
    """A rate with its interval, as a table shows it."""
    if value["mean"] is None:
        return "–"
    return with_interval(value, 2)
