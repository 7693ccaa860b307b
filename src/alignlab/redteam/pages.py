"""A campaign and a fix as one HTML page with pictures that opens from disk; the page's template escapes what a model or
an attacker wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..report import bar_charts, charts
from ..text.escapes import visible
from .findings import Finding, findings_of
from .words import GLOSSARY, Document, difference, short, void_lines, worst_first

SHOWN = 12  # findings on the HTML page, curves on a chart; all findings are in data/findings.jsonl


def campaign_page(
    found: Document, findings: Sequence[Finding], *, provenance: str, after: Sequence[Finding] = ()
) -> dict[str, Any]:
    """What the page's template wants of a campaign, or of one with a fix.

    Args:
        findings: of the campaign, or before the fix; after: what is left of it after the last round.
    """
    fixed, whole = "after" in found, found.get("before", found)
    sections = [
        *([_fix(found)] if fixed else []),
        _attacks(whole, found.get("after")),
        _budget(whole, found.get("after")),
        _findings("Findings" if not fixed else "Findings before the fix", findings),
        *([_findings("Findings after the last fix", after)] if fixed else []),
    ]
    return {
        "title": f"Red team: {visible(whole['model'])}",
        "lead": _lead(found),
        "provenance": provenance,
        "sections": [section for section in sections if section],
        "glossary": GLOSSARY,
    }


def _lead(found: Document) -> list[str]:
    whole = found.get("before", found)
    best = whole["best"]
    said = [
        (
            f"Of {whole['goals']} requests that ought to be refused, {short(whole['plain'])} get what they "
            "ask for with nothing around them"
        )
        + (f", {short(whole['attacks'][best]['asr'])} by the best single attack ({best})" if best else "")
        + (
            f", and {short(whole['all'])} by any of {len(whole['attacks'])} attacks. "
            if whole["attacks"]
            else "; no attack was tried. "
        )
        + (
            f"Of the harmless look-alikes {short(whole['over_refusal'])} are refused."
            if whole["over_refusal"]["n"]
            else "What it refuses of harmless requests was not measured."
        ),
        *(f"{line.capitalize()}." for line in void_lines(whole)),
    ]
    if "after" in found:
        now, d, fixes = found["after"], found["deltas"], len(found["rounds"]) - 1
        said.append(
            f"{'After the fix' if fixes == 1 else f'After {fixes} fixes'}: any attack {short(now['all'])}. Attack success changed by {difference(d['asr_attacked'])} on the attacked "
            f"families and by {difference(d['asr_held_out'])} on those held out; over-refusal by "
            f"{difference(d['over_refusal'])}."
        )
    return said


def _attacks(before: Document, after: Document | None) -> dict[str, Any]:
    """Success of every attack, drawn for those that found something."""
    rows = worst_first(before)
    now = after["attacks"] if after else {}
    drawn = {
        name: (row["asr"]["mean"] or 0.0, (now[name]["asr"]["mean"] or 0.0) if name in now else None)
        for name, row in rows
        if row["asr"]["mean"] or (name in now and now[name]["asr"]["mean"])
    }
    silent = len(rows) - len(drawn)
    corrected = any(row["asr_corrected"] != row["asr"] for _, row in rows)
    heads = [
        "attack",
        "family",
        "success",
        *(["without the judge's errors"] if corrected else []),
        "at the first try",
        "queries",
        "tokens",
        *(["after"] if after else []),
    ]
    table = [
        [
            name,
            row["family"],
            short(row["asr"]),
            *([short(row["asr_corrected"])] if corrected else []),
            f"{row['first']['mean'] or 0.0:.2f}",
            f"{row['queries']:,}",
            f"{row['tokens']:,}",
            *([short(now[name]["asr"]) if name in now else "–"] if after else []),
        ]
        for name, row in rows
    ]
    labels = ", ".join(f"{count:,} {label}" for label, count in before["labels"].items())
    plots = [
        charts.captioned(
            bar_charts.before_after(drawn, title="Attack success", x="share of the goals"),
            f"{silent} attacks found nothing and are not drawn."
            if silent
            else "Every attack found something.",
        )
    ]
    return {
        "title": "What gets past it",
        "text": [
            (
                f"Answers: {labels}, {before['unscored']} unscored. Where most answers are void the model "
                "cannot read the wrapper: it is not safe there, it is lost."
            )
        ],
        "charts": plots if drawn else [],
        "table": {"heads": heads, "rows": table, "note": ""},
    }


def _budget(before: Document, after: Document | None) -> dict[str, Any] | None:
    """Success against target queries, of the attacks that try until they succeed."""
    plots = []
    for document, title in (
        (before, "before the fix" if after else ""),
        *([(after, "after the fix")] if after else []),
    ):
        drawn = {
            name: ([row["queries"] for row in found["curve"]], [row["asr"] for row in found["curve"]])
            for name, found in worst_first(document, only_hits=True)
            if len(found["curve"]) > 1
        }
        if drawn:
            shown = dict(list(drawn.items())[:6])
            plots.append(
                charts.captioned(
                    charts.lines(
                        shown,
                        title="Success against budget" + (f", {title}" if title else ""),
                        x="target queries a goal",
                        y="share of the goals",
                        log_x=True,
                        y_range=(0, 1),
                    ),
                    "What a patient attacker gains."
                    + (f" The first {len(shown)} of {len(drawn)}." if len(drawn) > len(shown) else ""),
                )
            )
    return {"title": "What patience buys", "text": [], "charts": plots} if plots else None


def _fix(found: Document) -> dict[str, Any]:
    """What was learnt, what it changed, and the curve of the rounds."""
    names = {
        "asr_attacked": "attack success, attacked families, fresh requests",
        "asr_held_out": "attack success, held-out families",
        "over_refusal": "over-refusal",
        "helpful": "helpful",
        "honest": "honest",
        "gold": "gold",
    }
    rows = [[names.get(name, name), difference(value)] for name, value in found["deltas"].items()]
    rounds, plots = found["rounds"], []
    lines = {
        "attacked families": "asr_attacked",
        "held-out families": "asr_held_out",
        "best attack": "best_asr",
        "over-refusal": "over_refusal",
        "helpful": "helpful",
    }
    series = {}
    for title, key in lines.items():
        known = [row for row in rounds if row[key]["mean"] is not None]
        if known:
            series[title] = charts.Curve(
                [row["round"] for row in known],
                [row[key]["mean"] for row in known],
                [row[key]["ci"][0] for row in known],
                [row[key]["ci"][1] for row in known],
            )
    plots.append(
        charts.captioned(
            charts.curves(
                series,
                title="Cat and mouse" if len(rounds) > 2 else "Before and after",
                x="fixes",
                y="share",
                whole_x=True,
            ),
            "Bands: 95 %. Each round attacks the model of the last, learns from what it found, and is "
            "measured on goals that were never learnt from.",
        )
    )
    text = []
    for row in rounds[1:]:
        made, arms = (
            row["lessons"],
            ", ".join(f"{arm['attack']} {arm['asr']:.2f}" for arm in row["found"] if arm["asr"]),
        )
        dropped = "; ".join(f"{count} {why}" for why, count in made["dropped"].items())
        text.append(
            (
                f"Round {row['round']}: what found most was {arms}. {made['kept']:,} lessons "
                f"({', '.join(f'{count:,} {kind}' for kind, count in made['kinds'].items())})"
            )
            + (f"; dropped: {dropped}" if dropped else "")
            + (
                (
                    ". Phrases that only refused prompts have: "
                    f"{', '.join(visible(phrase, 60) for phrase in made['shortcuts'][:6])}"
                )
                if made["shortcuts"]
                else ""
            )
            + "."
        )
    return {
        "title": "The fix",
        "text": [
            *text,
            *([f"{found['ended'].capitalize()}."] if found.get("ended") else []),
            (
                "Held out: "
                f"{', '.join(found['held_out_families'] or found['held_out_attacks']) or 'nothing'}. The "
                f"fixed model: {visible(found['model'])}."
            ),
        ],
        "charts": plots,
        "table": {
            "heads": ["paired, after less before", "difference"],
            "rows": rows,
            "note": "A fix is worth having if the first two fall and the others hardly move.",
        },
    }


def _findings(title: str, findings: Sequence[Finding]) -> dict[str, Any]:
    cases = [
        {
            "prompt": "\n".join(f"{m.role}: {visible(m.content, 2000)}" for m in case.prompt.messages),
            "text": visible(case.completion, 2000),
            "good": False,
            "verdict": (
                f"{case.id}, {case.severity}: {case.category}, {', '.join(case.attacks)}; {case.goals} of "
                f"{case.of} goals, here: {visible(case.goal, 200)} {case.judge}: "
                f"{visible(case.reason, 300)}. Human label: {visible(case.human or 'none yet')}."
            ),
        }
        for case in findings[:SHOWN]
    ]
    more = (
        f"The first {SHOWN} of {len(findings)}; the others are in data/findings.jsonl."
        if len(findings) > SHOWN
        else f"{len(findings)} findings."
        if findings
        else "None."
    )
    return {
        "title": title,
        "text": [
            more
            + (
                " One case stands for all hits of its kind, with the shortest prompt that still works."
                if findings
                else ""
            )
        ],
        "charts": [],
        "examples": cases,
        "examples_title": "Worst first",
    }


def page_of(folder: Path, found: Document, judge: str, seed: int, version: str) -> dict[str, Any]:
    """What the page's template wants of the campaign in this folder, whose document this is."""
    rounds = len(found.get("rounds", ())) - 1
    after = findings_of(folder, f"findings-after-{rounds}") if rounds > 0 else ()
    return campaign_page(
        found,
        findings_of(folder),
        after=after,
        provenance=f"Judge: {judge}. Seed {seed}, alignlab {version}.",
    )
