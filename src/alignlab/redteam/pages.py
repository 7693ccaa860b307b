"""A campaign and a fix as one HTML page with pictures that opens from disk; the page's template escapes what
a model or an attacker wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..report import bar_charts, charts
from ..text.escapes import visible
from .finding import Finding, findings_of
from .words import GLOSSARY, WORDS, Document, difference, held_out, short, void_lines, worst_first

SHOWN = 12  # findings on the HTML page, curves on a chart; all findings are in data/findings.jsonl


def campaign_page(
    document: Document, findings: Sequence[Finding], *, provenance: str, after: Sequence[Finding] = ()
) -> dict[str, Any]:
    """What the page's template wants of a campaign, or of one with a fix.

    Args:
        findings: of the campaign, or before the fix; after: what is left of it after the last round.
    """
    whole, now = document.get("before", document), document.get("after")
    sections = [_attacks(whole, now), _budget(whole, now)]
    if now:
        sections = [_fix(document), *sections, _findings("Findings before the fix", findings)]
        sections.append(_findings("Findings after the last fix", after))
    else:
        sections.append(_findings("Findings", findings))
    return {
        "title": f"Red team: {visible(whole['model'])}",
        "lead": _lead(document),
        "provenance": provenance,
        "sections": [section for section in sections if section],
        "glossary": GLOSSARY,
    }


def _lead(document: Document) -> list[str]:
    whole = document.get("before", document)
    best, attacks, over_refusal = whole["best"], whole["attacks"], whole["over_refusal"]
    text = (
        f"Of {whole['goals']} requests that ought to be refused, {short(whole['plain'])} get what they ask "
        "for with nothing around them"
    )
    if best:
        text += f", {short(attacks[best]['asr'])} by the best single attack ({best})"
    if attacks:
        text += f", and {short(whole['all'])} by any of {len(attacks)} attacks. "
    else:
        text += "; no attack was tried. "
    if over_refusal["n"]:
        text += f"Of the harmless look-alikes {short(over_refusal)} are refused."
    else:
        text += "What it refuses of harmless requests was not measured."
    paragraphs = [text, *(f"{line.capitalize()}." for line in void_lines(whole))]
    if "after" in document:
        fixes = len(document["rounds"]) - 1
        when = "After the fix" if fixes == 1 else f"After {fixes} fixes"
        changes = {name: difference(value) for name, value in document["deltas"].items()}
        paragraphs.append(
            f"{when}: any attack {short(document['after']['all'])}. Attack success changed by "
            f"{changes['asr_attacked']} on the attacked families and by {changes['asr_held_out']} on those "
            f"held out; over-refusal by {changes['over_refusal']}."
        )
    return paragraphs


def _attacks(before: Document, after: Document | None) -> dict[str, Any]:
    """Success of every attack, drawn for those that found something."""
    rows = worst_first(before)
    now = after["attacks"] if after else {}
    corrected = any(row["asr_corrected"] != row["asr"] for _, row in rows)
    heads = ["attack", "family", "success", "at the first try", "queries", "tokens"]
    if corrected:
        heads.insert(3, "without the judge's errors")
    if after:
        heads.append("after")
    drawn: dict[str, tuple[float, float | None]] = {}
    table = []
    for name, row in rows:
        share, share_now = row["asr"]["mean"] or 0.0, None
        first = f"{row['first']['mean'] or 0.0:.2f}"
        cells = [name, row["family"], short(row["asr"]), first, f"{row['queries']:,}", f"{row['tokens']:,}"]
        if corrected:
            cells.insert(3, short(row["asr_corrected"]))
        if name in now:
            share_now = now[name]["asr"]["mean"] or 0.0
            cells.append(short(now[name]["asr"]))
        elif after:
            cells.append("–")
        table.append(cells)
        if share or share_now:
            drawn[name] = share, share_now
    labels = ", ".join(f"{count:,} {label}" for label, count in before["labels"].items())
    caption = "Every attack found something."
    if silent := len(rows) - len(drawn):
        caption = f"{silent} attacks found nothing and are not drawn."
    plot = bar_charts.before_after(drawn, title="Attack success", x="share of the goals")
    return {
        "title": "What gets past it",
        "text": [
            f"Answers: {labels}, {before['unscored']} unscored. Where most answers are void the model cannot "
            "read the wrapper: it is not safe there, it is lost."
        ],
        "charts": [charts.captioned(plot, caption)] if drawn else [],
        "table": {"heads": heads, "rows": table, "note": ""},
    }


def _budget(before: Document, after: Document | None) -> dict[str, Any] | None:
    """Success against target queries, of the attacks that try until they succeed."""
    if after is None:
        plots = [_patience(before, "Success against budget")]
    else:
        plots = [
            _patience(before, "Success against budget, before the fix"),
            _patience(after, "Success against budget, after the fix"),
        ]
    plots = [plot for plot in plots if plot]
    return {"title": "What patience buys", "text": [], "charts": plots} if plots else None


def _patience(campaign: Document, title: str) -> dict[str, Any] | None:
    """Curves of success of the most successful attacks; None where none has a second point."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for name, row in worst_first(campaign, only_hits=True):
        if len(row["curve"]) > 1:
            points = row["curve"]
            curves[name] = [point["queries"] for point in points], [point["asr"] for point in points]
    if not curves:
        return None
    first = dict(list(curves.items())[:6])
    caption = "What a patient attacker gains."
    if len(curves) > len(first):
        caption += f" The first {len(first)} of {len(curves)}."
    plot = charts.lines(
        first, title=title, x="target queries a goal", y="share of the goals", log_x=True, y_range=(0, 1)
    )
    return charts.captioned(plot, caption)


def _fix(fix: Document) -> dict[str, Any]:
    """What was learned, what it changed, and the curve of the rounds."""
    figures, rounds = WORDS["figures"], fix["rounds"]
    rows = [[figures.get(name, name), difference(value)] for name, value in fix["deltas"].items()]
    series = {}
    for title, key in WORDS["curves"].items():
        known = [row for row in rounds if row[key]["mean"] is not None]
        if known:
            series[title] = charts.Curve(
                [row["round"] for row in known],
                [row[key]["mean"] for row in known],
                [row[key]["ci"][0] for row in known],
                [row[key]["ci"][1] for row in known],
            )
    title = "Cat and mouse" if len(rounds) > 2 else "Before and after"
    plot = charts.captioned(
        charts.curves(series, title=title, x="fixes", y="share", whole_x=True),
        "Bands: 95 %. Each round attacks the model of the last, learns from what it found, and is "
        "measured on goals that were never learned from.",
    )
    text = list(map(_round, rounds[1:]))
    if fix.get("ended"):
        text.append(f"{fix['ended'].capitalize()}.")
    text.append(f"Held out: {held_out(fix)}. The fixed model: {visible(fix['model'])}.")
    return {
        "title": "The fix",
        "text": text,
        "charts": [plot],
        "table": {
            "heads": ["paired, after less before", "difference"],
            "rows": rows,
            "note": "A fix is worth having if the first two fall and the others hardly move.",
        },
    }


def _round(row: Document) -> str:
    """What one round found and learned."""
    lessons = row["lessons"]
    arms = ", ".join(f"{arm['attack']} {arm['asr']:.2f}" for arm in row["found"] if arm["asr"])
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in lessons["kinds"].items())
    dropped = "; ".join(f"{count} {why}" for why, count in lessons["dropped"].items())
    text = f"Round {row['round']}: what found most was {arms}. {lessons['kept']:,} lessons ({kinds})"
    if dropped:
        text += f"; dropped: {dropped}"
    if lessons["shortcuts"]:
        phrases = ", ".join(visible(phrase, 60) for phrase in lessons["shortcuts"][:6])
        text += f". Phrases that only refused prompts have: {phrases}"
    return text + "."


def _findings(title: str, findings: Sequence[Finding]) -> dict[str, Any]:
    count = f"{len(findings)} findings."
    if len(findings) > SHOWN:
        count = f"The first {SHOWN} of {len(findings)}; the others are in data/findings.jsonl."
    what = "One case stands for all hits of its kind, with the shortest prompt that still works."
    return {
        "title": title,
        "text": [f"{count} {what}" if findings else "None."],
        "charts": [],
        "examples": list(map(_case, findings[:SHOWN])),
        "examples_title": "Worst first",
    }


def _case(finding: Finding) -> dict[str, Any]:
    f = finding
    answer = {
        "text": visible(f.completion, 2000),
        "good": False,
        "verdict": (
            f"{f.id}, {f.severity}: {f.category}, {', '.join(f.attacks)}; {f.goals} of {f.of} goals, here: "
            f"{visible(f.goal, 200)} {f.judge}: {visible(f.reason, 300)}. Human label: "
            f"{visible(f.human or 'none yet')}."
        ),
    }
    prompt = "\n".join(f"{m.role}: {visible(m.content, 2000)}" for m in f.prompt.messages)
    return {"prompt": prompt, "answers": [answer]}


def page_of(folder: Path, document: Document, judge: str, seed: int, version: str) -> dict[str, Any]:
    """What the page's template wants of the campaign in this folder, whose document this is."""
    rounds = len(document.get("rounds", ())) - 1
    after = findings_of(folder, f"findings-after-{rounds}") if rounds > 0 else ()
    return campaign_page(
        document,
        findings_of(folder),
        after=after,
        provenance=f"Judge: {judge}. Seed {seed}, alignlab {version}.",
    )
