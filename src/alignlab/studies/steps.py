"""Stages that only studies need to make data: demonstrations of a given quality, a share of the comparisons,
other people's labels.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from .. import names
from ..errors import DataError
from ..evals.statistics import mean_ci
from ..records import Ranking, read_jsonl
from ..run import derive_seed
from ..stages import reward_shift
from ..stages.stage import done, open_run, result
from .measuring import GOOD, qualities
from .settings import MixtureSettings, NoSettings, RelabelSettings, ShareSettings


def share(*, data: str, settings: ShareSettings, out: Path, seed: int, resume: bool) -> dict[str, Any]:
    """One of `parts` disjoint shares of the rankings that a run of `collect` made, dealt by the seed; what it
    kept for testing comes whole.
    """
    if not (Path(data) / "data" / "rankings.jsonl").exists():
        raise DataError(
            "there are no rankings to take a share of", where=data, remedy="a run of `alignlab collect`"
        )
    run = open_run("study-share", out, settings, seed, resume, uses=[names.data.of_a_run(data)])
    if run.done:
        return done(run)
    rankings = read_jsonl(Path(data) / "data" / "rankings.jsonl", Ranking)
    random.Random(derive_seed(seed, "share")).shuffle(rankings)
    kept = rankings[settings.part :: settings.parts]
    run.add_data("rankings", kept)
    run.add_data("rankings_test", read_jsonl(Path(data) / "data" / "rankings_test.jsonl", Ranking))
    run.finish({"rankings": len(kept), "pairs": sum(len(r.comparisons()) for r in kept), "of": len(rankings)})
    return result(run, f"{len(kept)} of {len(rankings)} rankings")


def relabel(*, data: str, settings: RelabelSettings, out: Path, seed: int, resume: bool) -> dict[str, Any]:
    """A run of `label` with people in the judge's place: the same pairs of answers ranked by an annotator;
    what was mixed in stays as it is.
    """
    if not (Path(data) / "data" / "rankings.jsonl").exists():
        raise DataError(
            "there are no labelled pairs", where=data, remedy="a run of `alignlab constitution label`"
        )
    run = open_run("study-relabel", out, settings, seed, resume, uses=[names.data.of_a_run(data)])
    if run.done:
        return done(run)
    people, ranked, ties = names.people.annotator(settings.annotator, seed=seed).load(), 0, 0
    for part in ("rankings", "rankings_test"):
        rankings = read_jsonl(Path(data) / "data" / f"{part}.jsonl", Ranking)
        for i, ranking in enumerate(rankings):
            if "labels" in ranking.meta:
                rankings[i] = people.rank(i, ranking.completions)
                ranked += 1
                ties += len(set(rankings[i].ranks)) == 1
        run.add_data(part, rankings)
    run.finish({"pairs": ranked, "ties": ties})
    return result(run, f"{ranked} pairs ranked by {settings.annotator}, {ties} ties")


SLIPS = (
    "complies",
    "agrees",
    "bluffs",
    "one_sided",
    "missing_step",
    "short_list",
    "ignores_form",
    "missing_word",
    "flattery",
    "padding",
)
"""What a careless demonstrator does wherever the request leaves room for it; no wrong fact, which only
somebody who knows could prefer against.
"""


def mixture(
    *, asked: str, asked_count: int, out: Path, seed: int, resume: bool, settings: MixtureSettings
) -> dict[str, Any]:
    """Demonstrations of mixed quality into data/demonstrations.jsonl; each says in its meta who made it.

    `people` of the summary is what the same demonstrators would answer to the prompts of `asked`: shares of
    bad, middling and good answers, expected over who answers.
    """
    from ..records import Demonstration
    from ..town import answers, gold, tasks, world

    m, prompts = settings, names.data.read_data(asked, "prompt", count=asked_count)
    town_data = names.data.Data([], "town", str(world.VERSION))
    run = open_run("study-mixture", out, settings, seed, resume, uses=[town_data, prompts])
    if run.done:
        return done(run)
    town, rng = world.build(), random.Random(derive_seed(seed, "mixture"))
    rates = {True: answers.CLEAN, False: answers.CLEAN | dict.fromkeys(SLIPS, 1.0)}

    def answer(request: tasks.Request, careful: bool) -> tuple[Any, float]:
        given = answers.demonstrate(town, request, rng, rates[careful])
        return given, gold.judge(town, request, given.text).value

    rows: list[Demonstration] = []
    values: list[float] = []
    for prompt in names.data.read_data("town:demos", "prompt", seed=seed, count=m.count).records:
        careful = rng.random() < m.good
        given, value = answer(tasks.Request.of(prompt), careful)
        if not m.only_good or value >= GOOD:
            meta = {"careful": careful, "flaws": list(given.flaws), "gold": value}
            rows.append(Demonstration(prompt, given.text, meta))
            values.append(value)
    if not rows:
        raise DataError("no demonstration is good", remedy="a larger share of good demonstrators")
    shares: dict[bool, dict[str, float]] = {}
    for careful in (True, False):
        there = [answer(tasks.Request.of(prompt), careful)[1] for prompt in prompts.records]
        shares[careful] = qualities(there)
    people = {name: m.good * shares[True][name] + (1 - m.good) * shares[False][name] for name in shares[True]}
    run.add_data("demonstrations", rows)
    shown = {"demonstrations": len(rows), "gold": mean_ci(values), "qualities": qualities(values)}
    run.finish(shown | {"people": people})
    return result(run, f"{len(rows)} demonstrations, {qualities(values)['good']:.0%} of them good")


def join(
    *, first: str, second: str, out: Path, seed: int, resume: bool, settings: NoSettings
) -> dict[str, Any]:
    """The rankings of two runs of `collect` as one; kept for testing is what the first kept, so that reward
    models with and without the second compare.
    """
    run = open_run(
        "study-join",
        out,
        settings,
        seed,
        resume,
        uses=[names.data.of_a_run(first), names.data.of_a_run(second)],
    )
    if run.done:
        return done(run)
    rankings = [
        ranking
        for name in (first, second)
        for ranking in read_jsonl(Path(name) / "data" / "rankings.jsonl", Ranking)
    ]
    run.add_data("rankings", rankings)
    run.add_data("rankings_test", read_jsonl(Path(first) / "data" / "rankings_test.jsonl", Ranking))
    run.finish({"rankings": len(rankings), "pairs": sum(len(r.comparisons()) for r in rankings)})
    return result(run, f"{len(rankings)} rankings")


def shift(*, policies: list[str], **arguments: Any) -> dict[str, Any]:
    """`alignlab reward-shift` with the policies as stages: a pipeline waits for each."""
    return reward_shift(policies=",".join(policies), **arguments)
