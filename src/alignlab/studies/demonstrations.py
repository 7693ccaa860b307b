"""The study `demonstrations`: the same SFT on as many demonstrations of each source, from people to the
model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .. import stages
from ..errors import ConfigError, DataError
from ..evals.statistics import seeds_summary
from ..pipeline.runner import Stage
from ..report import charts
from ..run import RunInfo
from .demonstrations_settings import Demonstrations
from .study import Bar, Form, Planner, Study, Told, each, held_out, mean, spread

TITLES = {
    "people": "one ordinary writer per prompt",
    "crowd": "a crowd: three writers, a vote, an adjudicator",
    "distil": "distilled from a DPO run",
    "self-instruct": "the base model's own (Self-Instruct)",
    "crowd-random": "control: the same crowd, a random pick",
    "distil-sft": "control: distilled from the SFT model before DPO",
    "clean": "control: answers as good as can be",
}
COLLECTED = ("crowd", "distil", "self-instruct", "crowd-random", "distil-sft")
# prompts asked for each demonstration that is needed: some answers are repeats, some are not finished
SPARE = 1.4


def plan(stage: Planner, model: str, settings: Demonstrations, seed: int) -> dict[str, Stage]:
    s, m = settings, settings.sources
    if m.count < 1:
        raise ConfigError(f"sources.count = {m.count}", remedy="a number of demonstrations from 1")
    asked = {"data": "town:prompts", "count": round(m.count * SPARE) + 8, "gold": "town:gold", "seed": seed}

    # 1. the teacher: DPO on rankings, from an SFT model of the same base; that SFT model is the control
    sft = stage(
        "sft", stages.sft, model=model, data="town:demos", count=s.demonstrations, seed=seed, settings=s.sft
    )
    ranked = stage(
        "collect",
        stages.collect,
        model=sft,
        data="town:prompts",
        count=s.prompts,
        annotator=s.annotator,
        others="town:crowd",
        gold="town:gold",
        seed=seed,
        settings=s.collect,
    )
    teacher = stage("sources-teacher", stages.dpo, model=sft, data=ranked, seed=seed, settings=s.dpo)

    # 2. demonstrations of each source
    coin = replace(m.crowd, reviewers="random", adjudicator="random")
    planned = {
        "crowd": stage("sources-crowd", stages.crowd_demonstrations, **asked, settings=m.crowd),
        "crowd-random": stage("sources-crowd-random", stages.crowd_demonstrations, **asked, settings=coin),
        "distil": stage(
            "sources-distil",
            stages.distilled_demonstrations,
            model=teacher,
            judge="",
            **asked,
            settings=m.distil,
        ),
        "distil-sft": stage(
            "sources-distil-sft",
            stages.distilled_demonstrations,
            model=sft,
            judge="",
            **asked,
            settings=m.distil,
        ),
        "self-instruct": stage(
            "sources-self-instruct",
            stages.self_instruct_demonstrations,
            model=model,
            data="town:demos-clean",
            avoid=s.test,
            gold="town:gold",
            seed=seed,
            settings=replace(m.self_instruct, demonstrations=m.count),
        ),
    }
    data: dict[str, Any] = {"people": "town:demos", "clean": "town:demos-clean", **planned}

    # 3. the same SFT on as many of each, scored on the same held-out prompts
    trained = [("town:prompts", s.prompts), ("town:demos", s.demonstrations)]
    new = planned["held-out"] = held_out(stage, s.test, trained, seed)
    for name in TITLES:
        taught = stage(
            f"sources-sft-{name}",
            stages.sft,
            model=model,
            data=data[name],
            count=m.count,
            seed=seed,
            settings=s.sft,
        )
        planned[f"sft {name}"] = taught
        planned[f"eval {name}"] = stage(
            f"sources-eval-{name}",
            stages.evaluate,
            model=taught,
            data=new,
            judge="town:gold",
            baseline="",
            seed=seed,
            settings=m.eval,
        )
    return planned


def measure(runs: dict[str, RunInfo], settings: Demonstrations) -> dict[str, Any]:
    rows = {}
    for name in TITLES:
        evaluated, trained = runs[f"eval {name}"].summary, runs[f"sft {name}"].summary
        used = trained["demonstrations"] + trained["held_out"] + sum(trained["dropped"].values())
        if used < settings.sources.count:
            raise DataError(
                (
                    f"the source {name} gave {used} demonstrations, and {settings.sources.count} of each "
                    "are compared"
                ),
                where=str(runs[f"sft {name}"].path),
                remedy="a smaller sources.count, or more sources.self_instruct.rounds",
            )
        made = runs[name].summary if name in COLLECTED else {}
        rows[name] = {
            "demonstrations": used,
            "gold": evaluated["gold"],
            "gold_sampled": evaluated["gold_sampled"],
            "shown_gold": made.get("gold"),
            "reasons": made.get("reasons"),
            "agreement": made.get("agreement"),
            "valid": made.get("valid"),
        }
    return {"prompts": rows["people"]["gold"]["n"], "rows": rows}


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    def gold(name: str, key: str = "gold") -> list[float]:
        return each(seeds, "rows", name, key, "mean")

    def above(a: str, b: str) -> list[bool]:
        return [x > y for x, y in zip(gold(a), gold(b), strict=True)]

    def worth(a: str, b: str) -> str:
        return spread([x - y for x, y in zip(gold(a), gold(b), strict=True)], sign="+")

    count, first = seeds[0]["rows"]["people"]["demonstrations"], seeds[0]["rows"]
    rows: list[list[str]] = []
    for name, title in TITLES.items():
        shown = [found["mean"] for found in each(seeds, "rows", name, "shown_gold") if found]
        known = [ci for ci in each(seeds, "rows", name, "gold", "ci") if ci]
        interval = "; ".join("{:.3f} to {:.3f}".format(*ci) for ci in known)
        sampled = spread(gold(name, "gold_sampled")) if first[name]["gold_sampled"] else "-"
        rows.append([title, spread(shown) if shown else "-", spread(gold(name)), interval, sampled])
    out: list[list[str]] = []
    for name in COLLECTED:
        reasons = ", ".join(f"{n} {why}" for why, n in first[name]["reasons"].items())
        out.append([TITLES[name], reasons or "nothing"])
    bars = [
        Bar(
            "a crowd that votes teaches more than a random pick of the same crowd's answers",
            above("crowd", "crowd-random"),
        ),
        Bar("a crowd that votes teaches more than one ordinary writer per prompt", above("crowd", "people")),
        Bar(
            "a teacher that learned from preferences teaches more than the SFT model it came from",
            above("distil", "distil-sft"),
        ),
        Bar(
            "distillation teaches more than what the base model makes of seed tasks",
            above("distil", "self-instruct"),
        ),
    ]
    agreements = [found for found in each(seeds, "rows", "crowd", "agreement") if found]
    of_the_crowd = (
        f"A vote and an adjudicator are worth {worth('crowd', 'crowd-random')} over a random pick of the "
        "same answers"
    )
    if agreements:
        of_the_crowd += f"; the reviewers' alpha is {spread(each(agreements, 'krippendorff_alpha'), 2)}"
    by_source = ", ".join(f"{name} {spread(gold(name))}" for name in TITLES)
    conclusion = [
        f"The same SFT on {count} demonstrations of each source, gold on held-out prompts: {by_source}.",
        f"{of_the_crowd}.",
        f"Preferences travel in demonstrations: the DPO teacher's are worth {worth('distil', 'distil-sft')} "
        "over those of the SFT model it came from.",
        "Of the requests that the base model made itself the town knows "
        f"{spread(gold('self-instruct', 'valid'))}.",
    ]
    means = {title: mean(gold(name)) for name, title in TITLES.items()}
    middle = means[TITLES["people"]]
    sections = [
        {
            "title": "Where demonstrations come from",
            "charts": [
                charts.captioned(
                    charts.bars(means, title="Gold after the same SFT", x="gold, greedy", middle=middle),
                    "Mean over seeds; the line is one ordinary writer per prompt.",
                )
            ],
            "table": {
                "heads": [
                    "source",
                    "gold of the demonstrations",
                    "gold after SFT",
                    "95 % interval, by seed",
                    "gold after SFT, temperature 1",
                ],
                "rows": rows,
                "note": f"{count} demonstrations of each source; held-out prompts answered greedily. "
                "Self-Instruct's gold is of the requests the town can read. No prompt of the set that is "
                "measured is among its requests; some may be about people of that set, whom the base model "
                "has read about.",
            },
        },
        {
            "title": "What was rejected",
            "charts": [],
            "table": {
                "heads": ["source", "rejected, first seed"],
                "rows": out,
                "note": "Each with its reason in data/rejected.jsonl.",
            },
        },
    ]
    return Told(conclusion, sections, bars, {f"{name}: gold": seeds_summary(gold(name)) for name in TITLES})


DEMONSTRATIONS = Study(
    title="Where demonstrations come from",
    controls=(
        "A random pick of the same crowd's answers; a teacher no stronger than SFT; answers as good as can "
        "be."
    ),
    town=Form(plan, measure, tell),
    town_alone="its crowd, its teacher and its seed tasks are the town's",
)
