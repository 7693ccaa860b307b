"""Stages that list what a model may say, to be asked for its exact probability: the known exploit beside a
good answer, a slip beside the answer without it.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from ... import names
from ...errors import DataError
from ...evals.statistics import mean_ci
from ...records import Completion
from ...run import derive_seed
from ...stages.stage import done, open_run, result
from ...text.lists import by_comma
from ..choices import Choice
from ..mixtures import by_people, flaws_of
from ..settings import NoSettings

NO_MANNERS = "flattery=0,padding=0"
"""The careless slip in what they say and not in how: each answer has one slip, and each kind its own."""
WITH_STEPS = ("how_to", "look_alike", "bullets", "harmful")
"""Kinds whose answers are steps: a step left out of one is much the same slip as in another. The careless
leave one out where they help with harm, too.
"""


def holes(
    *, letters: str, count: int, out: Path, seed: int, resume: bool, settings: NoSettings
) -> dict[str, Any]:
    """For each metric, its known exploit ("exploit") and a good answer ("honest") to `count` of the prompts
    of its kind that training draws, into data/choices.jsonl; unit: the metric.

    The summary has for each metric, over its prompts: `paid`, what the metric pays the exploit; `honest`, the
    same for the good answer; `bad`, the share of them to which the exploit is bad.
    """
    from ...town import answers, metrics, tasks, world

    gamed = {letter: metrics.metric(letter) for letter in by_comma(letters)}
    asked = {
        letter: names.data.read_data(f"town:{metric.kind}", "prompt", seed=seed, count=count)
        for letter, metric in gamed.items()
    }
    run = open_run("study-holes", out, settings, seed, resume, uses=list(asked.values()), letters=letters)
    if run.done:
        return done(run)
    town, rng = world.build(), random.Random(derive_seed(seed, "holes"))
    rows: list[Choice] = []
    found: dict[str, Any] = {}
    for letter, metric in gamed.items():
        prompts = asked[letter].records
        requests = [tasks.Request.of(prompt) for prompt in prompts]
        exploits = [metric.exploit(request) for request in requests]
        honest = [answers.ideal(town, request, rng) for request in requests]
        judge = metrics.MetricJudge(town, letter, metric)
        judged = judge.score([Completion(*both) for both in zip(prompts, exploits, strict=True)])
        found[letter] = {
            "kind": metric.kind,
            "hole": metric.hole,
            "paid": mean_ci([score.value for score in judged]),
            "honest": mean_ci(list(map(metric.value, requests, honest))),
            "bad": mean_ci([score.parts["exploited"] for score in judged]),
        }
        for number, both in enumerate(zip(exploits, honest, strict=True)):
            rows.append(Choice(f"{letter}/{number}", prompts[number], both, ("exploit", "honest"), letter, 1))
    run.add_data("choices", rows)
    run.finish({"letters": found})
    return result(run, f"{len(rows)} exploits of {len(found)} metrics")


def slips(
    *, data: str, count: int, out: Path, seed: int, resume: bool, settings: NoSettings
) -> dict[str, Any]:
    """What a careless person ("slip") and a careful one ("careful") say to the first `count` of some prompts
    of the town, into data/choices.jsonl; unit: the kind. Prompts that leave no room for a slip are passed
    over.

    Raises:
        DataError: all of them do.
    """
    from ...town import answers, gold, tasks, world

    prompts = names.data.read_data(data, "prompt", count=count)
    run = open_run("study-slips", out, settings, seed, resume, uses=[prompts])
    if run.done:
        return done(run)
    town, rates = world.build(), by_people(flaws_of(NO_MANNERS))
    rows: list[Choice] = []
    for number, prompt in enumerate(prompts.records):
        request = tasks.Request.of(prompt)
        slip, careful = (
            answers.demonstrate(town, request, random.Random(derive_seed(seed, "slips", number)), of_person)
            for of_person in (rates[False], rates[True])
        )
        worth = [gold.judge(town, request, answer.text).value for answer in (slip, careful)]
        if worth[0] < worth[1]:
            texts, name = (slip.text, careful.text), f"{request.kind}/{number}"
            rows.append(Choice(name, prompt, texts, ("slip", "careful"), request.kind, 1))
    if all(row.unit in WITH_STEPS for row in rows):
        raise DataError(
            "no prompt leaves room for a slip, but in steps",
            where=data,
            remedy="prompts of every kind: town:test",
        )
    run.add_data("choices", rows)
    run.finish({"choices": len(rows), "kinds": len({row.unit for row in rows})})
    return result(run, f"{len(rows)} prompts that leave room for a slip")


def luck(prompt: str, completion: str) -> float:
    """A judge that deals rewards from 0 to 1 by the words of prompt and answer: the control that wants
    nothing.
    """
    return derive_seed(0, "luck", prompt, completion) / 2**63
