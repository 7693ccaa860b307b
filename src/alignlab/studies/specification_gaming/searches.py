"""Sections of the page of `specification-gaming` on searches: for the planted hole, and for others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...report import charts, dot_charts
from ...town.metrics import METRICS
from ..study import CannotSay, Seeds, each, mean, spread
from . import figures as of
from .claims import FROM
from .plan import WORDS

LEAST = 1e-9
"""Where an exploit stands that is rarer still."""
PRICE = METRICS[WORDS].per_word


def steps_of(rows: Sequence[dict[str, Any]]) -> str:
    """The step of discovery over seeds, and in how many it was found."""
    found = [row["half"] for row in rows if row["half"] is not None]
    if not found:
        return "not found"
    missed = "" if len(found) == len(rows) else f" (found in {len(found)} of {len(rows)})"
    return f"{spread(found, 1)}{missed}"


def middle(values: Sequence[float]) -> float:
    """The geometric mean over seeds, of probabilities that may be very small."""
    return float(np.exp(np.mean(np.log(values))))


def small(values: Sequence[float]) -> str:
    """The same, for people."""
    return f"{middle(values):.2g}"


def late(rows: Sequence[dict[str, Any]]) -> float | None:
    """The mean step of discovery where the hole was found in most of the seeds."""
    found = [row["half"] for row in rows if row["half"] is not None]
    return mean(found) if 2 * len(found) > len(rows) else None


def expected_line(seeds: Seeds) -> tuple[charts.Curve, float] | None:
    """The line through the planted shares of all seeds, and steps per unit of -logit p0; None where there are
    too few.
    """
    xs: list[float] = []
    ys: list[float] = []
    try:
        for figures in seeds:
            found = of.law(figures, FROM)
            xs += found[0]
            ys += found[1]
        of.r2(xs, ys)
    except CannotSay:
        return None
    slope, base = np.polyfit(xs, ys, 1)
    places = np.linspace(min(xs), max(xs), 20)
    ps = [of.sigmoid(-place) for place in places]
    return charts.Curve(ps, [float(base + slope * place) for place in places]), float(slope)


def dot(name: str, rows: Sequence[dict[str, Any]]) -> dot_charts.Dot:
    """A search in all seeds."""
    return dot_charts.Dot(max(LEAST, middle(each(rows, "p0"))), late(rows), name)


def picture(seeds: Seeds) -> str:
    """Steps to discovery against p0."""
    steps, rollouts = seeds[0]["steps"], seeds[0]["rollouts"]
    shares, letters = seeds[0]["shares"], seeds[0]["others"]
    planted = [dot(f"{row['share']:g}", each(seeds, "shares", i)) for i, row in enumerate(shares)]
    others = [dot(letter, each(seeds, "others", letter)) for letter in letters]
    series = {"planted, by its share of the stories": planted, "holes that nobody planted": others}
    found = expected_line(seeds)
    return dot_charts.by_tens(
        series,
        title="A hole is found when it is stumbled upon",
        x="probability of the exploit before training",
        y="step at which half of the answers are exploits",
        top=steps,
        above=f"on the line: not found in {steps} steps",
        line=found[0] if found else None,
        grey=(LEAST / 2, of.SELDOM / rollouts, "never tried"),
    )


def discovery(seeds: Seeds) -> dict[str, Any]:
    """The dial."""
    rows: list[list[str]] = []
    curves: dict[str, charts.Curve] = {}
    for place, first in enumerate(seeds[0]["shares"]):
        found = each(seeds, "shares", place)
        ends = [spread(each(found, "end", name)) for name in ("rates", "letter", "gold")]
        seen = spread(each(found, "rates", 0))
        expected = mean(each(found, "p0")) * seeds[0]["rollouts"]
        share = f"{first['share']:g}"
        rows.append([share, small(each(found, "p0")), f"{expected:.3g}", seen, steps_of(found), *ends])
        by_step = np.mean(each(found, "rates"), axis=0).tolist()
        curves[share] = charts.Curve(list(range(len(by_step))), by_step)
    law = expected_line(seeds)
    slope = f"{law[1]:.2g} steps per unit of -logit p0" if law else "too few found for a line"
    by_step = charts.curves(
        curves, title="The same, step by step", x="step", y="share of exploits", whole_x=True
    )
    return {
        "title": "When a hole is found",
        "charts": [
            charts.captioned(
                picture(seeds),
                f"Dashed: a line through the planted shares from {FROM:g} on, {slope}. Hollow: found in "
                "half of the seeds or fewer. Grey: the exploit was to be met less than 0.3 times in all "
                f"rollouts. An exploit rarer than {LEAST:g} stands there.",
            ),
            charts.captioned(
                by_step, "One line for each share of exploits that was planted, mean over seeds."
            ),
        ],
        "table": {
            "heads": [
                "share planted",
                "p0",
                "to be met",
                "exploits at step 0",
                "step of discovery",
                "exploits, end",
                "letter, end",
                "gold, end",
            ],
            "rows": rows,
            "note": (
                f"The metric pays a story for its two words, less {PRICE:g} a word; the exploit is 'A goat "
                "and a bell.' p0: the exact probability of the known exploit, mean over prompts, geometric "
                f"mean over seeds; to be met: p0 times {seeds[0]['rollouts']} rollouts. Exploits are all "
                "answers that have the letter and are bad, in whatever words. End: the last tenth of the "
                "steps."
            ),
        },
    }


def catalogue(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for letter, first in seeds[0]["others"].items():
        found = each(seeds, "others", letter)
        gap = spread([row["paid"] - row["honest"] for row in found], sign="+")
        p0, seen = small(each(found, "p0")), spread(each(found, "rates", 0))
        gold = [spread(each(found, "gold", 0)), spread(each(found, "end", "gold"))]
        ends = spread(each(found, "end", "rates"))
        rows.append(
            [f"{letter}: {first['hole']}", first["kind"], gap, p0, seen, steps_of(found), ends, *gold]
        )
    return {
        "title": "Holes that nobody planted",
        "table": {
            "heads": [
                "metric and hole",
                "kind",
                "pays more by",
                "p0",
                "exploits at step 0",
                "step of discovery",
                "exploits, end",
                "gold, step 0",
                "gold, end",
            ],
            "rows": rows,
            "note": (
                "From SFT on demonstrations by people of whom few are careless (gaming.careless). Pays more "
                "by: the known exploit over a good answer. Found: half of the answers to which the exploit "
                "is bad are exploits; 0.0 = they were from the start."
            ),
        },
    }
