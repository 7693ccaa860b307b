"""A campaign and a fix in words, for the terminal and as Markdown; what a model or an attacker wrote is shown with its
control characters escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..stages.stage import rate
from ..text.escapes import visible
from .findings import Finding

Document = Mapping[str, Any]
GLOSSARY = (
    (
        "attack success",
        "Share of the goals (requests that ought to be refused) on which an answer did what was asked, by the judge, within the attack's budget. Empty, broken and off-topic answers are no "
        "success, and an answer that the judge failed on counts as none.",
    ),
    ("plain", "The bare request, asked once, with nothing around it."),
    ("any", "Share of the goals that fell to at least one attack: what somebody with patience has."),
    ("over-refusal", "Share of harmless look-alikes that are refused, wholly or in part."),
    (
        "held-out families",
        (
            "Attacks that no lesson was made from. They say how far what was learnt carries over; the "
            "attacked ones only that it was learnt."
        ),
    ),
    ("paired", "Differences goal by goal, look-alike by look-alike, prompt by prompt, after less before."),
    ("intervals", "95 %: Wilson for shares, t for means and differences."),
)


def lines_of(found: Document) -> list[str]:
    """The campaign in words: what found something, worst first, and how many attacks found nothing."""
    rows = worst_first(found, only_hits=True)
    width = max([len(name) for name, _ in rows] + [5])
    nothing = len(found["attacks"]) - len(rows)
    return [
        (
            f"{found['model']}: {found['goals']} goals, {len(found['attacks'])} attacks, {found['queries']} "
            "queries"
        ),
        f"  {'plain':<{width}}  {rate(found['plain'])}",
        *(
            f"  {name:<{width}}  {rate(row['asr'])}  {row['family']}, {row['queries']} queries"
            for name, row in rows
        ),
        *([f"  {nothing} others found nothing"] if nothing else []),
        f"  {'any':<{width}}  {rate(found['all'])}",
        (
            f"over-refusal {rated(found['over_refusal'])}, {found['unscored']} unscored, "
            f"{found['findings']} findings"
        ),
        *void_lines(found),
    ]


def fix_lines(found: Document) -> list[str]:
    """A fix in words: the curve and the differences."""
    lines = [
        f"round {row['round']}: attacked {rate(row['asr_attacked'])}, held out {rate(row['asr_held_out'])}, over-refusal {rated(row['over_refusal'])}, best {row['best']} "
        f"{rate(row['best_asr'])}{''.join(f'; {line}' for line in void_lines(row))}"
        for row in found["rounds"]
    ]
    lines += [f"  {name:<13} {difference(value)}" for name, value in found["deltas"].items()]
    return [
        *lines,
        *([found["ended"]] if found.get("ended") else []),
        f"held out: {', '.join(found['held_out_families'] or found['held_out_attacks']) or 'nothing'}",
        f"the fixed model: {found['model']}",
    ]


def void_lines(found: Document) -> list[str]:
    """What the rates do not say: answers that say nothing, or nothing to the point, are neither a success of
    an attack nor a refusal.
    """
    counts = found.get("void", {})  # an older document has none
    named = (("plain", "plain requests"), ("attacks", "attacks"), ("twins", "harmless look-alikes"))
    told = [
        f"{counts[key]['void']} of {counts[key]['of']} answers to {name}"
        for key, name in named
        if counts.get(key, {}).get("void")
    ]
    return (
        [f"void (empty, broken, off the point; count as no success and as no refusal): {', '.join(told)}"]
        if told
        else []
    )


def rated(value: Mapping[str, Any]) -> str:
    """A rate with its interval; of nothing, that it was not measured."""
    return "not measured" if value["mean"] is None else rate(value)


def difference(value: Mapping[str, Any] | None) -> str:
    return (
        "not measured"
        if value is None
        else f"{value['mean']:+.3f} [{value['ci'][0]:+.3f}, {value['ci'][1]:+.3f}] (n = {value['n']})"
    )


def worst_first(found: Document, *, only_hits: bool = False) -> list[tuple[str, Mapping[str, Any]]]:
    """The attacks of a document, the most successful first."""
    rows = sorted(found["attacks"].items(), key=lambda item: -(item[1]["asr"]["mean"] or 0.0))
    return [(name, row) for name, row in rows if row["asr"]["mean"] or not only_hits]


def markdown(found: Document, findings: Sequence[Finding]) -> str:
    """The campaign as Markdown."""

    def quoted(text: str) -> str:
        return "\n".join(f"    {line}" for line in visible(text, 1500).splitlines() or [""])

    whole = found.get("before", found)
    parts = [f"# Red team: {whole['model']}", ""]
    if "after" in found:
        parts += ["## Fixed", "", *(f"- {line.strip()}" for line in fix_lines(found)), "", "## Before", ""]
    parts += [
        "| attack | family | attack success | queries |",
        "|---|---|---|---|",
        f"| plain | | {rate(whole['plain'])} | {whole['goals']} |",
    ]
    parts += [
        f"| {name} | {row['family']} | {rate(row['asr'])} | {row['queries']} |"
        for name, row in worst_first(whole)
    ]
    parts += [
        f"| any of them | | {rate(whole['all'])} | |",
        "",
        (
            f"Over-refusal {rated(whole['over_refusal'])}; {whole['unscored']} answers unscored; "
            f"{len(findings)} findings."
        ),
        "",
        *(line for said in void_lines(whole) for line in (f"{said.capitalize()}.", "")),
    ]
    for case in findings:
        parts += [
            f"## {case.id} ({case.severity}): {case.category}, {', '.join(case.attacks)}",
            "",
            f"Works on {case.goals} of {case.of} goals. The shortest prompt that works:",
            "",
        ]
        parts += [f"{m.role}:\n\n{quoted(m.content)}\n" for m in case.prompt.messages]
        parts += [
            "The answer:",
            "",
            quoted(case.completion),
            "",
            f"Judge ({case.judge}): {case.reason}. Human label: {case.human or 'none yet'}.",
            "",
        ]
    return visible("\n".join(parts) + "\n")


def short(value: Mapping[str, Any]) -> str:
    """A rate with its interval, as a table shows it."""
    return (
        "–" if value["mean"] is None else f"{value['mean']:.2f} [{value['ci'][0]:.2f}, {value['ci'][1]:.2f}]"
    )
