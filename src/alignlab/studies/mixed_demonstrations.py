"""The study `mixed-demonstrations`: SFT imitates the mixture it is shown, good and bad alike; preferences
pick the better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import stages
from ..errors import ConfigError
from ..evals.statistics import seeds_summary
from ..pipeline.runner import Stage
from ..report import bar_charts, charts
from ..run import RunInfo
from . import steps
from .settings import MixtureSettings, StudySettings
from .study import Bar, Planner, Study, Told, each, fresh, mean, numbers, spread

COLOURS = {"bad": "#c2571a", "middling": "#d9c27a", "good": "#2d8a57"}


def shares_of(settings: StudySettings) -> list[float]:
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


def plan(stage: Planner, model: str, settings: StudySettings, seed: int) -> dict[str, Stage]:
    s, m, planned = settings, settings.mixed, {}
    asked = {
        "data": "town:prompts",
        "gold": "town:gold",
        "seed": fresh(seed),
        "rewards": [],
        "settings": s.point,
    }

    def point(name: str, policy: Stage, reference: Stage) -> None:
        planned[f"point {name}"] = stage(
            "mixed-point-" + name.replace(" ", "-"), steps.point, model=policy, reference=reference, **asked
        )

    for share in shares_of(settings):
        # 1. demonstrations of which this share is good; SFT on them
        key = f"{share:g}"
        data = planned[f"data {key}"] = stage(
            f"mixed-data-{key}", steps.mixture, seed=seed, settings=MixtureSettings(share, s.demonstrations)
        )
        sft = stage(f"mixed-sft-{key}", stages.sft, model=model, data=data, seed=seed, settings=s.sft)

        # 2. rankings of its own samples alone: nobody shows it anything better; DPO on them
        ranked = planned[f"collect {key}"] = stage(
            f"mixed-collect-{key}",
            stages.collect,
            model=sft,
            data="town:prompts",
            count=m.prompts,
            annotator=s.annotator,
            others="",
            gold="town:gold",
            seed=seed,
            settings=m.collect,
        )
        dpo = stage(f"mixed-dpo-{key}", stages.dpo, model=sft, data=ranked, seed=seed, settings=m.dpo)
        point(f"sft {key}", sft, sft)
        point(f"dpo {key}", dpo, sft)
        if share == m.control:
            # 3. the controls: more of the same, SFT on the good half alone, random preferences on the same
            # samples
            more = stage("mixed-more-sft", stages.sft, model=sft, data=data, seed=seed, settings=m.more)
            good = stage(
                "mixed-data-filtered",
                steps.mixture,
                seed=seed,
                settings=MixtureSettings(share, s.demonstrations, only_good=True),
            )
            filtered = stage(
                "mixed-sft-filtered", stages.sft, model=model, data=good, seed=seed, settings=s.sft
            )
            coin = stage(
                "mixed-collect-random",
                stages.collect,
                model=sft,
                data="town:prompts",
                count=m.prompts,
                annotator="random",
                others="",
                gold="town:gold",
                seed=seed,
                settings=m.collect,
            )
            luck = stage("mixed-dpo-random", stages.dpo, model=sft, data=coin, seed=seed, settings=m.dpo)
            planned["data filtered"] = good
            for name, policy in (("more sft", more), ("filtered sft", filtered), ("random dpo", luck)):
                point(name, policy, sft)
    return planned


def measure(runs: dict[str, RunInfo], settings: StudySettings) -> dict[str, Any]:
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
                "shown_gold": data["gold"],
                "demonstrations": data["demonstrations"],
                "sft": policy(f"sft {key}"),
                "dpo": policy(f"dpo {key}"),
                "pairs": runs[f"collect {key}"].summary["pairs"],
            }
        )
    controls = {name: policy(name) for name in ("more sft", "filtered sft", "random dpo")}
    return {
        "rows": rows,
        "control": settings.mixed.control,
        "controls": controls,
        "filtered": runs["data filtered"].summary["demonstrations"],
    }


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    shares = [row["share"] for row in seeds[0]["rows"]]
    at = shares.index(seeds[0]["control"])

    def get(i: int, who: str, quality: str = "good") -> list[float]:
        return [
            seed["rows"][i]["shown"][quality]
            if who == "shown"
            else seed["rows"][i][who]["qualities"][quality]
            for seed in seeds
        ]

    def control(name: str, quality: str = "good") -> list[float]:
        return each(seeds, "controls", name, "qualities", quality)

    gaps = {
        who: [
            mean(
                [
                    abs(seed["rows"][i][who]["qualities"]["good"] - seed["rows"][i]["shown"]["good"])
                    for i in range(len(shares))
                ]
            )
            for seed in seeds
        ]
        for who in ("sft", "dpo")
    }
    rows = [
        [
            f"{share:g} good",
            spread(get(i, "shown")),
            spread(get(i, "sft")),
            spread(get(i, "dpo")),
            spread(each(seeds, "rows", i, "sft", "gold", "mean")),
            spread(each(seeds, "rows", i, "dpo", "gold", "mean")),
            spread([float(s["rows"][i]["pairs"]) for s in seeds], 0),
        ]
        for i, share in enumerate(shares)
    ]
    titles = {
        "more sft": "more SFT on the same",
        "filtered sft": "SFT on the good demonstrations alone (told which by gold)",
        "random dpo": "DPO on random preferences",
    }
    control_rows = [
        [
            titles[name],
            spread(control(name)),
            spread(control(name, "bad")),
            spread(each(seeds, "controls", name, "gold", "mean")),
        ]
        for name in titles
    ]
    control_rows = [
        [
            "SFT",
            spread(get(at, "sft")),
            spread(get(at, "sft", "bad")),
            spread(each(seeds, "rows", at, "sft", "gold", "mean")),
        ],
        [
            "DPO",
            spread(get(at, "dpo")),
            spread(get(at, "dpo", "bad")),
            spread(each(seeds, "rows", at, "dpo", "gold", "mean")),
        ],
        *control_rows,
    ]
    bars = [
        Bar(
            (
                "SFT on a larger share of good demonstrations gives a larger share of good answers, at "
                "every step"
            ),
            [
                all(
                    b["sft"]["qualities"]["good"] > a["sft"]["qualities"]["good"]
                    for a, b in zip(seed["rows"], seed["rows"][1:], strict=False)
                )
                for seed in seeds
            ],
        ),
        Bar(
            (
                "where good and bad are mixed, DPO on rankings of the SFT model's own samples gives more "
                "good answers than SFT"
            ),
            [
                all(
                    row["dpo"]["qualities"]["good"] > row["sft"]["qualities"]["good"]
                    for row in seed["rows"]
                    if 0 < row["share"] < 1
                )
                for seed in seeds
            ],
        ),
        Bar(
            "more SFT on the same demonstrations does not: it gives fewer good answers than DPO",
            [a < b for a, b in zip(control("more sft"), get(at, "dpo"), strict=True)],
        ),
        Bar(
            "nor do random preferences",
            [a < b for a, b in zip(control("random dpo"), get(at, "dpo"), strict=True)],
        ),
    ]
    conclusion = [
        f"SFT imitates: of its answers at temperature 1 a share is good that differs from the share of good demonstrations by {spread(gaps['sft'])} in the mean "
        f"(from {spread(get(0, 'sft'))} where {spread(get(0, 'shown'))} are good to "
        f"{spread(get(len(shares) - 1, 'sft'))} where {spread(get(len(shares) - 1, 'shown'))} are).",
        f"Preferences pick: from {shares[at]:g} good demonstrators SFT gives {spread(get(at, 'sft'))} good answers, DPO on rankings of these very answers {spread(get(at, 'dpo'))}; "
        f"more SFT {spread(control('more sft'))}, random preferences {spread(control('random dpo'))}, "
        f"SFT on the good demonstrations alone {spread(control('filtered sft'))}.",
        (
            "What is never sampled cannot be preferred: from no good demonstrator at all DPO goes from "
            f"{spread(get(0, 'sft'))} to {spread(get(0, 'dpo'))}."
        )
        if shares[0] == 0
        else "",
    ]
    shown = [mean(get(i, "shown")) for i in range(len(shares))]
    sd = {who: [seeds_summary(get(i, who))["sd"] for i in range(len(shares))] for who in ("sft", "dpo")}
    lines = {
        title: charts.Curve(
            shown,
            ys := [mean(get(i, who)) for i in range(len(shares))],
            [y - e for y, e in zip(ys, sd[who], strict=True)],
            [y + e for y, e in zip(ys, sd[who], strict=True)],
        )
        for who, title in (("sft", "SFT"), ("dpo", "DPO on its own samples"))
    }
    lines["what was shown"] = charts.Curve([min(shown), max(shown)], [min(shown), max(shown)])
    stacks = {f"shown, {shares[at]:g} good": {q: mean(get(at, "shown", q)) for q in COLOURS}}
    stacks |= {
        title: {q: mean(get(at, who, q)) for q in COLOURS} for who, title in (("sft", "SFT"), ("dpo", "DPO"))
    }
    stacks |= {
        title.split(" (")[0]: {q: mean(control(name, q)) for q in COLOURS} for name, title in titles.items()
    }
    sections = [
        {
            "title": "What SFT does not learn",
            "charts": [
                charts.captioned(
                    charts.curves(
                        lines,
                        title="Good answers",
                        x="share of good answers in the demonstrations",
                        y="share of good answers",
                    ),
                    (
                        "On the diagonal a model gives what it was shown. Good: gold of three quarters and "
                        "more; answers at temperature 1."
                    ),
                ),
                charts.captioned(
                    bar_charts.shares(
                        stacks,
                        title=f"From {shares[at]:g} good demonstrators",
                        x="share of the answers",
                        colors=COLOURS,
                    ),
                    "Bad: gold below a quarter; good: three quarters and more.",
                ),
            ],
            "table": {
                "heads": [
                    "demonstrators",
                    "good, shown",
                    "good, SFT",
                    "good, DPO",
                    "gold, SFT",
                    "gold, DPO",
                    "pairs",
                ],
                "rows": rows,
                "note": (
                    "Mean ± standard deviation over seeds. A careless demonstrator can still be right, "
                    "where the request leaves no room for the flaw."
                ),
            },
        },
        {
            "title": "The controls",
            "charts": [],
            "table": {
                "heads": [f"from {shares[at]:g} good demonstrators", "good", "bad", "gold"],
                "rows": control_rows,
                "note": (
                    f"The filter keeps {seeds[0]['filtered']} of {seeds[0]['rows'][at]['demonstrations']} "
                    "demonstrations; it needs somebody who can tell, which is what a preference is."
                ),
            },
        },
    ]
    over = {
        f"{who} {share:g}: good": seeds_summary(get(i, who))
        for i, share in enumerate(shares)
        for who in ("shown", "sft", "dpo")
    }
    over |= {f"{name}: good": seeds_summary(control(name)) for name in titles}
    return Told([line for line in conclusion if line], sections, bars, over)


MIXED_DEMONSTRATIONS = Study(
    title="What SFT does not learn",
    question=(
        "Demonstrations of mixed quality: does SFT imitate the mixture, and do preferences over its own "
        "answers pick the better?"
    ),
    controls="As many more passes of SFT over the same demonstrations; SFT on the good demonstrations alone, told which they are; DPO on random preferences over the same samples; "
    "mixtures of nothing but bad and nothing but good.",
    reads=("demonstrations", "annotator", "sft", "point", "mixed"),
    plan=plan,
    measure=measure,
    tell=tell,
    town_alone="how good a demonstrator is, is known of the town's alone",
)
