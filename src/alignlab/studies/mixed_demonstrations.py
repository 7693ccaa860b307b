"""The study `mixed-demonstrations`: SFT imitates the mixture it is shown, good and bad alike; preferences
pick the better.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import stages
from ..errors import ConfigError
from ..evals.statistics import seeds_summary
from ..pipeline.runner import Stage
from ..report import bar_charts, charts
from ..run import RunInfo
from . import measuring, mixtures
from .mixed_demonstrations_settings import MixedDemonstrations
from .mixtures_settings import MixtureSettings
from .study import Bar, Form, Planner, Study, Told, banded, each, held_out, mean, numbers, spread

COLOURS = {"bad": "#c2571a", "middling": "#d9c27a", "good": "#2d8a57"}


def shares_of(settings: MixedDemonstrations) -> list[float]:
    shares = sorted(set(numbers(settings.mixed.shares, "mixed.shares")))
    if (
        not shares
        or shares[0] < 0
        or shares[-1] > 1
        or settings.mixed.control not in shares
        or not 0 < settings.mixed.control < 1
    ):
        raise ConfigError(
            f"mixed.shares = {settings.mixed.shares!r}, control = {settings.mixed.control:g}",
            remedy="shares from 0 to 1, and the control one of them, above 0 and below 1",
        )
    return shares


def plan(stage: Planner, model: str, settings: MixedDemonstrations, seed: int) -> dict[str, Stage]:
    s, m, planned = settings, settings.mixed, {}
    trained = [("town:demos", s.demonstrations), ("town:prompts", m.prompts)]  # a mixture answers the former
    new = planned["held-out"] = held_out(stage, s.test, trained, seed, "mixed-held-out")
    asked = {"data": new, "count": s.measured, "gold": "town:gold", "seed": seed}

    def point(name: str, policy: Stage, reference: Stage) -> None:
        planned[f"point {name}"] = stage(
            "mixed-point-" + name.replace(" ", "-"),
            measuring.point,
            model=policy,
            reference=reference,
            rewards=[],
            settings=s.point,
            **asked,
        )

    def shown(name: str, share: float, only_good: bool = False) -> Stage:
        how = MixtureSettings(share, s.demonstrations, only_good)
        planned[f"data {name}"] = stage(
            f"mixed-data-{name}", mixtures.mixture, asked=new, asked_count=s.measured, seed=seed, settings=how
        )
        return planned[f"data {name}"]

    def ranked(name: str, sft: Stage, annotator: str) -> Stage:
        ours = {"data": "town:prompts", "count": m.prompts, "others": "", "gold": "town:gold", "seed": seed}
        return stage(
            f"mixed-collect-{name}",
            stages.collect,
            model=sft,
            annotator=annotator,
            settings=m.collect,
            **ours,
        )

    for share in shares_of(settings):
        # 1. demonstrations of which this share is good; SFT on them
        key = f"{share:g}"
        data = shown(key, share)
        sft = stage(f"mixed-sft-{key}", stages.sft, model=model, data=data, seed=seed, settings=s.sft)

        # 2. rankings of its own samples alone: nobody shows it anything better; DPO on them
        pairs = planned[f"collect {key}"] = ranked(key, sft, s.annotator)
        dpo = stage(f"mixed-dpo-{key}", stages.dpo, model=sft, data=pairs, seed=seed, settings=m.dpo)
        point(f"sft {key}", sft, sft)
        point(f"dpo {key}", dpo, sft)
        if share == m.control:
            # 3. the controls: more of the same, SFT on the good half alone, random preferences on the same
            # samples
            more = stage("mixed-more-sft", stages.sft, model=sft, data=data, seed=seed, settings=m.more)
            good = shown("filtered", share, only_good=True)
            filtered = stage(
                "mixed-sft-filtered", stages.sft, model=model, data=good, seed=seed, settings=s.sft
            )
            coin = ranked("random", sft, "random")
            luck = stage("mixed-dpo-random", stages.dpo, model=sft, data=coin, seed=seed, settings=m.dpo)
            for name, policy in (("more sft", more), ("filtered sft", filtered), ("random dpo", luck)):
                point(name, policy, sft)
    return planned


def measure(runs: dict[str, RunInfo], settings: MixedDemonstrations) -> dict[str, Any]:
    def policy(name: str) -> dict[str, Any]:
        summary = runs[f"point {name}"].summary
        return {
            "gold": summary["scores"]["gold"],
            "kl": summary["kl"]["mean"],
            "qualities": summary["qualities"],
        }

    rows = []
    for share in shares_of(settings):
        key = f"{share:g}"
        data = runs[f"data {key}"].summary
        rows.append(
            {
                "share": share,
                "shown": data["qualities"],
                "people": data["people"],
                "shown_gold": data["gold"],
                "demonstrations": data["demonstrations"],
                "sft": policy(f"sft {key}"),
                "dpo": policy(f"dpo {key}"),
                "pairs": runs[f"collect {key}"].summary["pairs"],
            }
        )
    controls = {name: policy(name) for name in ("more sft", "filtered sft", "random dpo")}
    asked = {key: runs["point more sft"].summary[key] for key in ("prompts", "questions")}
    return asked | {
        "rows": rows,
        "control": settings.mixed.control,
        "controls": controls,
        "filtered": runs["data filtered"].summary["demonstrations"],
    }


CONTROLS = {
    "more sft": "more SFT on the same",
    "filtered sft": "SFT on the good demonstrations alone (told which by gold)",
    "random dpo": "DPO on random preferences",
}


def share_of(seeds: Sequence[dict[str, Any]], place: int, who: str, quality: str = "good") -> list[float]:
    """The share of answers of one quality in one of the mixtures, by seed: shown, or given to the measured
    prompts by the demonstrators or by a model.
    """
    if who in ("shown", "people"):
        return each(seeds, "rows", place, who, quality)
    return each(seeds, "rows", place, who, "qualities", quality)


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    shares = each(seeds[0]["rows"], "share")
    over: dict[str, Any] = {}
    for place, share in enumerate(shares):
        for who in ("shown", "people", "sft", "dpo"):
            over[f"{who} {share:g}: good"] = seeds_summary(share_of(seeds, place, who))
    for name in CONTROLS:
        over[f"{name}: good"] = seeds_summary(each(seeds, "controls", name, "qualities", "good"))
    sections = [of_each(seeds, shares), controls(seeds, shares)]
    return Told(conclusion(seeds, shares), sections, claims(seeds, shares), over)


def claims(seeds: Sequence[dict[str, Any]], shares: Sequence[float]) -> list[Bar]:
    dpo = share_of(seeds, shares.index(seeds[0]["control"]), "dpo")

    def below_dpo(name: str) -> list[bool]:
        values = each(seeds, "controls", name, "qualities", "good")
        return [value < better for value, better in zip(values, dpo, strict=True)]

    rising: list[bool] = []
    better: list[bool] = []
    for rows in each(seeds, "rows"):
        good = each(rows, "sft", "qualities", "good")
        rising.append(all(after > before for before, after in pairwise(good)))
        mixed = [row for row in rows if 0 < row["share"] < 1]
        gains = np.subtract(each(mixed, "dpo", "qualities", "good"), each(mixed, "sft", "qualities", "good"))
        better.append(bool((gains > 0).all()))
    return [
        Bar(
            "SFT on a larger share of good demonstrations gives a larger share of good answers, at every "
            "step",
            rising,
        ),
        Bar(
            "where good and bad are mixed, DPO on rankings of the SFT model's own samples gives more good "
            "answers than SFT",
            better,
        ),
        Bar(
            "more SFT on the same demonstrations does not: it gives fewer good answers than DPO",
            below_dpo("more sft"),
        ),
        Bar("nor do random preferences", below_dpo("random dpo")),
    ]


def conclusion(seeds: Sequence[dict[str, Any]], shares: Sequence[float]) -> list[str]:
    at, last = shares.index(seeds[0]["control"]), len(shares) - 1

    def good(place: int, who: str) -> str:
        return spread(share_of(seeds, place, who))

    def control(name: str) -> str:
        return spread(each(seeds, "controls", name, "qualities", "good"))

    gaps: list[float] = []
    for rows in each(seeds, "rows"):
        given, people = each(rows, "sft", "qualities", "good"), each(rows, "people", "good")
        gaps.append(mean([abs(a - b) for a, b in zip(given, people, strict=True)]))
    sentences = [
        "SFT imitates: of its answers at temperature 1 a share is good that differs from that of its "
        f"demonstrators' own answers to the same prompts by {spread(gaps)} in the mean (from "
        f"{good(0, 'sft')} where {good(0, 'people')} of theirs are good to {good(last, 'sft')} where "
        f"{good(last, 'people')} are).",
        f"Preferences pick: from {shares[at]:g} good demonstrators SFT gives {good(at, 'sft')} good answers, "
        f"DPO on rankings of these very answers {good(at, 'dpo')}; more SFT {control('more sft')}, random "
        f"preferences {control('random dpo')}, SFT on the good demonstrations alone "
        f"{control('filtered sft')}.",
    ]
    if shares[0] == 0:
        sentences.append(
            "What is never sampled cannot be preferred: from no good demonstrator at all DPO goes from "
            f"{good(0, 'sft')} to {good(0, 'dpo')}."
        )
    return sentences


def of_each(seeds: Sequence[dict[str, Any]], shares: Sequence[float]) -> dict[str, Any]:
    """What each mixture makes of SFT and of DPO on its own samples."""
    rows: list[list[str]] = []
    people: list[float] = []
    for place, share in enumerate(shares):
        by_seed = each(seeds, "rows", place)
        good = [spread(share_of(seeds, place, who)) for who in ("shown", "people", "sft", "dpo")]
        gold = [spread(each(by_seed, who, "gold", "mean")) for who in ("sft", "dpo")]
        pairs = spread([float(count) for count in each(by_seed, "pairs")], 0)
        rows.append([f"{share:g} good", *good, *gold, pairs])
        people.append(mean(share_of(seeds, place, "people")))
    lines: dict[str, charts.Curve] = {}
    for who, title in (("sft", "SFT"), ("dpo", "DPO on its own samples")):
        values = [share_of(seeds, place, who) for place in range(len(shares))]
        spreads = [seeds_summary(of_seeds)["sd"] or 0.0 for of_seeds in values]
        lines[title] = banded(people, list(map(mean, values)), spreads)
    ends = [min(people), max(people)]
    lines["the demonstrators"] = charts.Curve(ends, ends)
    curves = charts.curves(
        lines, title="Good answers", x="share of good answers of the demonstrators", y="share of good answers"
    )
    return {
        "title": "What SFT does not learn",
        "charts": [
            charts.captioned(
                curves,
                "On the diagonal a model answers as its demonstrators would answer the same prompts. Good: "
                "gold of three quarters and more; answers at temperature 1.",
            ),
            charts.captioned(
                qualities_given(seeds, shares), "Bad: gold below a quarter; good: three quarters and more."
            ),
        ],
        "table": {
            "heads": [
                "demonstrators",
                "good, shown",
                "good, people",
                "good, SFT",
                "good, DPO",
                "gold, SFT",
                "gold, DPO",
                "pairs",
            ],
            "rows": rows,
            "note": (
                "Mean ± standard deviation over seeds. `Shown` are the demonstrations, `people` what their "
                "writers answer to the held-out prompts on which the models are measured. A careless "
                "demonstrator can still be right, where the request leaves no room for the flaw."
            ),
        },
    }


def qualities_given(seeds: Sequence[dict[str, Any]], shares: Sequence[float]) -> str:
    """Shares of bad, middling and good answers, of the demonstrators and of each model, at the control's
    mixture.
    """
    at = shares.index(seeds[0]["control"])
    stacks: dict[str, dict[str, float]] = {}
    for who, title in (("people", f"people, {shares[at]:g} good"), ("sft", "SFT"), ("dpo", "DPO")):
        stacks[title] = {quality: mean(share_of(seeds, at, who, quality)) for quality in COLOURS}
    for name, title in CONTROLS.items():
        found = each(seeds, "controls", name, "qualities")
        stacks[title.split(" (")[0]] = {quality: mean(each(found, quality)) for quality in COLOURS}
    title = f"From {shares[at]:g} good demonstrators"
    return bar_charts.shares(stacks, title=title, x="share of the answers", colors=COLOURS)


def controls(seeds: Sequence[dict[str, Any]], shares: Sequence[float]) -> dict[str, Any]:
    at = shares.index(seeds[0]["control"])
    models = {"SFT": each(seeds, "rows", at, "sft"), "DPO": each(seeds, "rows", at, "dpo")}
    models |= {title: each(seeds, "controls", name) for name, title in CONTROLS.items()}
    rows: list[list[str]] = []
    for title, found in models.items():
        good, bad = (spread(each(found, "qualities", quality)) for quality in ("good", "bad"))
        rows.append([title, good, bad, spread(each(found, "gold", "mean"))])
    return {
        "title": "The controls",
        "charts": [],
        "table": {
            "heads": [f"from {shares[at]:g} good demonstrators", "good", "bad", "gold"],
            "rows": rows,
            "note": (
                f"The filter keeps {seeds[0]['filtered']} of {seeds[0]['rows'][at]['demonstrations']} "
                "demonstrations; it needs somebody who can tell, which is what a preference is."
            ),
        },
    }


MIXED_DEMONSTRATIONS = Study(
    title="What SFT does not learn",
    controls=(
        "What the demonstrators themselves answer to the same prompts, whose questions nothing was trained "
        "on. As many more passes of SFT over the same demonstrations; SFT on the good demonstrations alone, "
        "told which they are; DPO on random preferences over the same samples; mixtures of nothing but bad "
        "and nothing but good."
    ),
    town=Form(plan, measure, tell),
    changed=(
        "In version 1 of the town answers were measured on prompts whose questions had mostly been trained "
        "on, and compared with the demonstrations themselves."
    ),
    town_alone="how good a demonstrator is, is known of the town's alone",
)
