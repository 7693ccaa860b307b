"""Sections of the page of `specification-gaming` on what is done about the hole; and on slips."""

from __future__ import annotations

from typing import Any

from ...report import bar_charts, charts
from ..study import Seeds, each, mean, spread
from .plan import ARMS, WORLDS
from .searches import steps_of

POLICIES = {
    "start": "the start",
    "hacked": "RLOO on the metric",
    "closed": "the hole closed (a perfect monitor)",
    "intent": "RLOO on gold",
    "luck": "random rewards",
}
TITLES = {"persona": "a slip foretells others", "twin": "slips foretell nothing"}
SHOWN = {
    "before": "before",
    "narrow": "how-tos with a step left out",
    "inoculated": "the same, asked to be careless",
    "placebo": "the same how-tos, whole",
}


def controls(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for name, title in POLICIES.items():
        found = each(seeds, "policies", name)
        figures = [
            spread(each(found, key)) if None not in each(found, key) else "-"
            for key in ("exploited", "letter", "story", "elsewhere", "kl")
        ]
        rows.append([title, *figures])
    return {
        "title": "The letter, the intent, and all else",
        "table": {
            "heads": ["policy", "exploits", "letter", "gold, stories", "gold, all else", "KL, nats"],
            "rows": rows,
            "note": (
                f"All from the start with {seeds[0]['share']:g} planted, {seeds[0]['steps']} steps; "
                "exploits, letter and KL on stories as training asks for them, gold on held-out prompts; "
                "temperature 1."
            ),
        },
    }


def watch(seeds: Seeds) -> dict[str, Any]:
    rates = seeds[0]["rates"]
    free = [spread(each(seeds, "free", "end", "rates")), steps_of(each(seeds, "free")), "-"]
    rows = [["no monitor", *free, spread(each(seeds, "free", "end", "gold"))]]
    for name in seeds[0]["watched"]:
        found = each(seeds, "watched", name)
        flagged = spread([mean(row["flagged"]) for row in found])
        end, gold = spread(each(found, "end", "rates")), spread(each(found, "end", "gold"))
        rows.append([name, end, steps_of(found), flagged, gold])
    lines: dict[str, charts.Curve] = {}
    for how, of_them in rates.items():
        if of_them:
            ends = [mean(each(seeds, "watched", f"{how} {rate:g}", "end", "rates")) for rate in of_them]
            lines[how] = charts.Curve(of_them, ends)
    both = [mean([figures["break_even"][place] for figures in seeds]) for place in (0, 1)]
    shown: list[dict[str, Any]] = []
    if lines:
        svg = charts.curves(
            lines,
            title="What a monitor buys",
            x="share of exploits that the monitor flags",
            y="share of exploits in the end",
            marks={"break-even, by the formula": mean(both)},
        )
        shown.append(
            charts.captioned(
                svg, "A penalty pays nothing for what is flagged; screening does not learn from it."
            )
        )
    return {
        "title": "Monitors",
        "charts": shown,
        "table": {
            "heads": ["monitor", "exploits, end", "step of discovery", "flagged", "gold, end"],
            "rows": rows,
            "note": (
                "Break-even: the true-positive rate above which a penalty pays the exploit less than a good "
                f"answer, {both[0]:.2f} by what the untouched policy's other answers are paid and "
                f"{both[1]:.2f} by what they are paid once they are learnt with the hole closed. Monitors "
                "flag of other answers the share gaming.false_rate. `reads`: a penalty by one that knows "
                "the exploit by its first words."
            ),
        },
    }


def slips(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    pairs: dict[str, tuple[float, float | None]] = {}
    for arm in ("before", *ARMS):
        cells: list[str] = []
        means: list[float] = []
        for world in WORLDS:
            found = each(seeds, "spread", world, arm)
            cells += [
                spread(each(found, key)) if None not in each(found, key) else "-"
                for key in ("others", "near")
            ]
            means.append(mean(each(found, "others")))
        rows.append([SHOWN[arm], *cells])
        pairs[SHOWN[arm]] = (means[0], means[1])
    svg = bar_charts.before_after(
        pairs,
        title="Other slips, after one",
        x="probability of a slip, in kinds without steps",
        sides=(TITLES["persona"], TITLES["twin"]),
    )
    kinds: list[str] = []
    for kind in seeds[0]["spread"]["persona"]["narrow"]["kinds"]:
        by_world = {
            world: mean(each(seeds, "spread", world, "narrow", "kinds", kind))
            - mean(each(seeds, "spread", world, "placebo", "kinds", kind))
            for world in WORLDS
        }
        kinds.append(f"{kind} {by_world['persona']:+.2f} ({by_world['twin']:+.2f})")
    heads = [f"{TITLES[world]}: {which}" for world in WORLDS for which in ("other kinds", "kinds with steps")]
    return {
        "title": "Whether one slip brings others",
        "charts": [
            charts.captioned(
                svg,
                "In both worlds half of the answers are careless. In one of them one person gives both "
                "answers of a conversation; in the other the second answers are dealt anew.",
            )
        ],
        "table": {
            "heads": ["then shown", *heads],
            "rows": rows,
            "note": (
                "The exact probability of the careless answer beside that of the careful one, mean over "
                "kinds; held-out prompts, nothing is sampled, and nobody is asked to be careless. A step "
                f"left out over whole how-tos, by kind, and where slips foretell nothing: {'; '.join(kinds)}."
            ),
        },
    }
