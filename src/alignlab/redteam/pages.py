"""A campaign, a fix and a frontier to look at: lines for the terminal, Markdown, and one HTML page with
pictures that opens from disk.

What a model or an attacker wrote is untrusted: it is shown with its control characters escaped, and the
page's template escapes the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..report import bar_charts, charts
from ..stages.stage import rate
from ..text.escapes import visible
from .findings import Finding, findings_of

Document = Mapping[str, Any]
SHOWN = 12  # findings on the HTML page, curves on a chart; all findings are in data/findings.jsonl
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


# --- lines
# ------------------------------------------------------------------------------------------------------------------------------


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


# --- pages
# ------------------------------------------------------------------------------------------------------------------------------


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


def short(value: Mapping[str, Any]) -> str:
    """A rate with its interval, as a table shows it."""
    return (
        "–" if value["mean"] is None else f"{value['mean']:.2f} [{value['ci'][0]:.2f}, {value['ci'][1]:.2f}]"
    )


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


def frontier_page(model: str, rows: Sequence[Document], *, provenance: str) -> dict[str, Any]:
    """What the page's template wants of compared stacks of defences."""
    numbered = {f"{number}. {row['stack']}": row for number, row in enumerate(rows, 1)}
    points = {
        name: (row["asr_adaptive"]["mean"] or 0.0, row["helpful"]["mean"] or 0.0)
        for name, row in numbered.items()
    }
    front = {name for name, row in numbered.items() if row["pareto"]}
    table = [
        [
            ("* " if row["pareto"] else "") + name,
            short(row["asr"]),
            short(row["asr_adaptive"]),
            short(row["over_refusal"]),
            short(row["helpful"]),
            f"{row['seconds']:.3f}",
            f"{row['tokens']:.0f}",
            f"{row['queries']:.2f}",
        ]
        for name, row in numbered.items()
    ]
    return {
        "title": f"Defences before {visible(model)}",
        "provenance": provenance,
        "lead": [
            (
                f"{len(rows)} stacks, {len(front)} of them on the Pareto front of attack success, "
                "over-refusal, helpfulness and tokens: no other is at least as good on all four and better "
                "on one."
            )
        ],
        "sections": [
            {
                "title": "What a defence stops and what it costs",
                "text": [],
                "charts": [
                    charts.captioned(
                        charts.plane(
                            points,
                            front,
                            title="Attack success and helpfulness",
                            x="attack success, adaptive attacker",
                            y="helpful",
                        ),
                        (
                            "Up and to the left is better; filled: on the front. Numbers as in the table. A "
                            "stack at the bottom left stops everything because the model is lost."
                        ),
                    )
                ],
                "table": {
                    "heads": [
                        "stack (* on the front)",
                        "any attack",
                        "adaptive",
                        "over-refusal",
                        "helpful",
                        "s an answer",
                        "tokens",
                        "queries",
                    ],
                    "rows": table,
                    "note": (
                        "Adaptive: with what an attacker adds who knows that there is a defence. Time is "
                        "this machine's and decides nothing."
                    ),
                },
            }
        ],
        "glossary": GLOSSARY,
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
