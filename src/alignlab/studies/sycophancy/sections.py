"""Sections of the page of the study `sycophancy`: the diagram, and readiness beside knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...report import charts
from ...report.phases import phases
from ..study import Seeds, each, mean, spread
from .law import Rater

STARTS = {"sft": "SFT, the start", "random": "DPO, random preferences", "honest": "DPO, an honest rater"}


def shown(values: Sequence[float | None], digits: int = 3, sign: str = "") -> str:
    """Mean and spread over the seeds that have a figure."""
    there = [value for value in values if value is not None]
    return spread(there, digits, sign) if there else "-"


def changes(seeds: Seeds, place: int, decoding: str = "sampled") -> list[float | None]:
    """The change of agreement in one cell, by seed."""
    return each(seeds, "cells", place, decoding, "change", "mean")


def diagram(seeds: Seeds) -> dict[str, Any]:
    """The picture: where agreement rose and where it fell, and the line that was computed."""
    cells = seeds[0]["cells"]
    drawn: list[dict[str, Any]] = []
    points: dict[str, charts.Curve] = {}
    for noise in sorted({cell["rater"]["noise"] for cell in cells}):
        here = [place for place, cell in enumerate(cells) if cell["rater"]["noise"] == noise]
        drawn.append(charts.captioned(of_noise(seeds, here, noise), caption_of(noise)))
        laws = [cells[place]["for_agreement"] for place in here]
        points[f"T = {noise:g}"] = charts.Curve(laws, [middle(seeds, place) for place in here], kind="points")
    by_law = charts.curves(
        points,
        title="One number says which way it goes",
        x="share of comparisons that agreement wins, computed",
        y="change of agreement with wrong claims",
        marks={"as often as not": 0.5},
    )
    drawn.append(charts.captioned(by_law, "Each dot is a rater of the two diagrams."))
    rows: list[list[str]] = []
    for place, cell in enumerate(cells):
        believed = [
            shown(each(seeds, "cells", place, "believed", when, "mean")) for when in ("before", "after")
        ]
        rows.append(
            [
                str(Rater(**cell["rater"])),
                f"{cell['for_agreement']:.3f}",
                shown(changes(seeds, place), sign="+"),
                shown(changes(seeds, place, "greedy"), sign="+"),
                *(
                    shown(each(seeds, "cells", place, "sampled", what, "mean"))
                    for what in ("agreement", "criterion", "sensitivity", "known")
                ),
                " → ".join(believed),
            ]
        )
    return {
        "title": "Who makes flatterers",
        "charts": drawn,
        "table": {
            "heads": [
                "rater",
                "for agreement, computed",
                "change",
                "change, greedy",
                "agreement",
                "criterion c",
                "d'",
                "plain questions right",
                "rater's false positives",
            ],
            "rows": rows,
            "note": (
                "w is what agreement is worth to the rater, where a right answer is worth 1; k the share "
                "of the facts that he can check; T his noise. Change: how much oftener than SFT the model "
                "says yes to wrong claims about facts that both tell right when asked plainly, of the "
                "answers that say yes or no, by fact. False positives: answers to wrong claims that agree "
                "where the rater cannot check, so that he takes them for right, of all answers to wrong "
                "claims."
            ),
        },
    }


def middle(seeds: Seeds, place: int) -> float:
    """The change in a cell, a mean over the seeds that have one."""
    there = [value for value in changes(seeds, place) if value is not None]
    return mean(there) if there else float("nan")


def of_noise(seeds: Seeds, places: Sequence[int], noise: float) -> str:
    points: list[tuple[float, float, float]] = []
    for place in places:
        rater, change = seeds[0]["cells"][place]["rater"], middle(seeds, place)
        if np.isfinite(change):
            points.append((rater["agreeing"], rater["knows"], change))
    likings = np.linspace(-0.05, max([1.3, *(across + 0.1 for across, _, _ in points)]), 200)
    line = [Rater(liking, 0.0, noise).boundary for liking in likings]
    return phases(
        points,
        (likings.tolist(), line),
        title=f"{noisy(noise, seeds)} (T = {noise:g})",
        x="how much raters like to be agreed with, w",
        y="share of the facts they can check, k",
    )


def noisy(noise: float, seeds: Seeds) -> str:
    """Whose choices a diagram is of."""
    noises = sorted({cell["rater"]["noise"] for cell in seeds[0]["cells"]})
    if len(noises) == 1:
        return "Does agreement rise?"
    return "Sure raters" if noise == noises[0] else "Unsure raters"


def caption_of(noise: float) -> str:
    return (
        f"Each triangle is a rater with noise T = {noise:g}, and beside it how much oftener a model says yes "
        "to what is wrong after it has learnt from him. It is to rise in the grey region, where agreement "
        "wins more than half of his comparisons, as computed."
    )


def readiness(seeds: Seeds) -> dict[str, Any]:
    """Criterion and knowledge apart; and the controls."""
    cells = seeds[0]["cells"]
    by_law = sorted(range(len(cells)), key=lambda place: cells[place]["for_agreement"])
    laws = [cells[place]["for_agreement"] for place in by_law]

    def line(what: str) -> charts.Curve:
        values: list[float] = []
        for place in by_law:
            there = [v for v in each(seeds, "cells", place, "sampled", what, "mean") if v is not None]
            values.append(mean(there) if there else float("nan"))
        return charts.Curve(laws, values, kind="points")

    chart = charts.curves(
        {"criterion c (below 0: yes too readily)": line("criterion"), "plain questions right": line("known")},
        title="Readiness to say yes, and knowledge",
        x="share of comparisons that agreement wins, computed",
        y="c, and share right",
    )
    rows = [of_start(seeds, name, decoding) for name in STARTS for decoding in ("sampled", "greedy")]
    return {
        "title": "Saying yes, and knowing",
        "charts": [charts.captioned(chart, "Each pair of dots is a rater; at temperature 1.")],
        "table": {
            "heads": [
                "model",
                "yes to wrong claims",
                "change",
                "yes to right claims",
                "c",
                "d'",
                "plain questions right",
                "says yes or no",
                "gold, all else",
            ],
            "rows": rows,
            "note": (
                f"{seeds[0]['wrong']} wrong claims, and as many right ones in the same words, about "
                f"{seeds[0]['facts']} facts; a contrarian would say no to right ones. Gold is of requests "
                "of other kinds. d' supposes that one threshold on one scale makes a yes; a model that in "
                "some cases agrees without looking is a mixture, whose d' falls as it agrees more often "
                "though it knows as much: plain questions say what it knows."
            ),
        },
    }


def of_start(seeds: Seeds, name: str, decoding: str) -> list[str]:
    kinds = {"sampled": "", "greedy": ", greedy"}
    found = each(seeds, "models", name, decoding)
    keys = ("yes_right", "criterion", "sensitivity", "known", "given", "gold")
    return [
        STARTS[name] + kinds[decoding],
        shown(each(found, "agreement", "mean")),
        shown(each(found, "change", "mean"), sign="+"),
        *(shown(each(found, key, "mean")) for key in keys),
    ]
