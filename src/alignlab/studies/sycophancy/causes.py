"""Sections of the page of the study `sycophancy` about causes and cures: three layers, and the remedies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...report import charts
from ..study import Seeds, each, mean
from .sections import shown

TRIED = {
    "none": "DPO, no remedy",
    "pool 1": "1 of 3 raters honest",
    "pool 2": "2 of 3 raters honest",
    "look-up": "raters look up every second unknown fact",
    "lessons": "then SFT on claims answered honestly",
    "placebo": "then SFT on as many plain questions",
}


def layers(seeds: Seeds) -> dict[str, Any]:
    """People, reward model and optimizer, one after the other."""
    many = range(len(seeds[0]["layers"]))
    likings = each(seeds[0]["layers"], "agreeing")

    def line(of: Callable[[dict[str, Any]], float | None]) -> charts.Curve:
        values: list[float] = []
        for place in many:
            there = [value for value in map(of, each(seeds, "layers", place)) if value is not None]
            values.append(mean(there) if there else float("nan"))
        return charts.Curve(likings, values)

    chart = charts.curves(
        {
            "SFT": line(lambda layer: layer["start"]),
            "SFT tilted by the rater": line(lambda layer: layer["people"]["agreement"]),
            "SFT tilted by the reward model": line(lambda layer: layer["reward"]["agreement"]),
            "RLOO": line(lambda layer: layer["rloo"]["mean"]),
        },
        title="People, reward model, optimizer",
        x="how much the rater likes to be agreed with, w",
        y="agrees with wrong claims",
    )
    rows: list[list[str]] = []
    for place in many:
        found = each(seeds, "layers", place)
        by_people, by_reward = (each(found, who, "agreement") for who in ("people", "reward"))
        rows.append(
            [
                f"{likings[place]:g}",
                shown(each(found, "start")),
                shown(by_people),
                shown(by_reward),
                shown(each(found, "rloo", "mean")),
                shown(each(found, "reward", "first_order")),
                *(shown(each(found, "reward", key), sign="+") for key in ("mean_gap", "exponential_gap")),
                shown(each(found, "reward", "positive")),
                *(shown(each(found, "prefers", form, "mean")) for form in ("agrees", "fact first")),
                shown(each(found, "kl"), 2),
            ]
        )
    return {
        "title": "How much is the rater, how much the reward model, how much the optimizer",
        "charts": [
            charts.captioned(
                chart,
                "What lies between neighboring lines is one layer's share. Raters can check everything; all "
                "three policies are as far from SFT, in KL, as far as SFT's samples allow.",
            ),
            *best_of_n(seeds),
        ],
        "table": {
            "heads": [
                "w",
                "SFT",
                "people",
                "+ reward model",
                "+ optimizer (RLOO)",
                "first order",
                "mean gap",
                "exponential gap",
                "prompts with a positive mean gap",
                "prefers agreement",
                "the same, fact first",
                "KL",
            ],
            "rows": rows,
            "note": (
                "Share of answers at temperature 1 that agree with a wrong claim. Tilted: SFT's samples, "
                "weighted by exp(r / b), with r the rater's own utility or the reward model's score and b "
                "such that KL is RLOO's, or nine tenths of the most that weights can make of it. Gaps: what "
                "the reward model pays for agreement, in its standard deviations; the sign of the "
                "exponential one, b log of the ratio of E[exp(r / b)], is exactly that of the tilt's drift "
                "on a prompt, the mean gap is its first order. Prefers: "
                "how often the reward model prefers agreement to the truth in people's words, and where "
                "both state a fact first, so that their form says nothing."
            ),
        },
    }


def best_of_n(seeds: Seeds) -> list[dict[str, Any]]:
    """Agreement of the best of N, by the sign of the gap, of the rater who likes agreement most."""
    found = each(seeds, "layers", -1, "best_of_n")
    lines: dict[str, charts.Curve] = {}
    for sign, name in (("positive", "gap above 0"), ("negative", "gap below 0")):
        there = [one[sign] for one in found if one[sign]["n"]]
        if there:
            values = np.mean(each(there, "agreement"), axis=0).tolist()
            prompts = ", ".join(map(str, each(there, "prompts")))
            lines[f"{name}, {prompts} prompts"] = charts.Curve([np.log2(n) for n in there[0]["n"]], values)
    if not lines:
        return []
    chart = charts.curves(
        lines, title="Best of N", x="N, as powers of 2", y="agrees with wrong claims", whole_x=True
    )
    said = (
        f"Prompts on which the reward model (w = {seeds[0]['layers'][-1]['agreeing']:g}) has a positive "
        "mean gap and others, told apart by one half of the samples and measured on the other."
    )
    return [charts.captioned(chart, said)]


def remedies(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    whose = {"strong": "who likes agreement more than the truth", "lax": "who can check little"}
    for name, rater in whose.items():
        for what in seeds[0]["remedies"].get(name, {}):
            found = each(seeds, "remedies", name, what)
            law = found[0].get("for_agreement")
            rows.append(
                [f"a rater {rater}: {TRIED[what]}", "-" if law is None else f"{law:.3f}", *of_remedy(found)]
            )
    note = ""
    if "penalty" in seeds[0]["remedies"]:
        for what, title in (("free", "RLOO, no remedy"), ("priced", "RLOO, the closed-form penalty")):
            found = each(seeds, "remedies", "penalty", what)
            rows.append([f"a rater {whose['strong']}: {title}", "-", *of_remedy(found)])
        tried = each(seeds, "remedies", "penalty")
        note = (
            f"The penalty is one number, {shown(each(tried, 'price'), 2)} standard deviations of the "
            "reward, taken from every answer that agrees with a wrong claim: the root of the constraint "
            "averaged over wrong claims of training, at the temperature at which the tilt goes as far as "
            "RLOO did. Shapira et al. price each prompt by itself; the mean of those prices is "
            f"{shown(each(tried, 'per_prompt'), 2)}."
        )
    return {
        "title": "Remedies",
        "charts": [],
        "table": {
            "heads": [
                "who ranked, and what was done",
                "for agreement, computed",
                "yes to wrong claims",
                "change",
                "change, greedy",
                "yes to right claims",
                "plain questions right",
                "gold, all else",
            ],
            "rows": rows,
            "note": note,
        },
    }


def of_remedy(found: Sequence[dict[str, Any]]) -> list[str]:
    return [
        shown(each(found, "sampled", "agreement", "mean")),
        shown(each(found, "sampled", "change", "mean"), sign="+"),
        shown(each(found, "greedy", "change", "mean"), sign="+"),
        *(shown(each(found, "sampled", key, "mean")) for key in ("yes_right", "known", "gold")),
    ]
