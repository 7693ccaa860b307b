"""Stages of the study `whose-values`: the town with its people and what is asked, and the people as they rank
what a model says, after they have heard another.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from ... import names
from ...errors import ConfigError, DataError
from ...feedback.annotators import shuffle_rankings
from ...records import Completion, Prompt, Ranking, read_jsonl
from ...run import derive_seed, read_run
from ...stages.stage import done, open_run, result
from ...town import population, tasks, world
from ...town.gold import judge
from ...town.people import townspeople
from ...town.phrasings import MATTER
from ...town.population import SIDES, Population, Three
from .. import choice_rows
from ..choices import Chosen, chosen
from ..settings import NoSettings
from . import law
from .settings import RankedSettings

TOWN = "town:"


def side_of(test: str) -> str:
    """The side whose wordings a set of the town has. Raises ConfigError for one that is no held-out side."""
    side = test.removeprefix(TOWN)
    if side not in world.SIDES[1:] or not test.startswith(TOWN):
        raise ConfigError(
            f"test = {test}: the matters are asked in the wordings of a held-out side",
            remedy="--test " + " or ".join(f"{TOWN}{side}" for side in world.SIDES[1:]),
        )
    return side


def even(people: Population) -> list[str]:
    """The matters on which as much is at stake for one side as for the other."""
    return [matter for matter in people.matters if matter not in people.intense]


def news_of(people: Population) -> dict[str, int]:
    """The matters that the news is about, one of each two on which the majority is as large, with the side
    that it speaks for: the minority's, 1 or -1.
    """
    pairs: dict[int, str] = {}
    for matter in even(people):
        majority = sum(people.matters[matter].sides)
        pairs.setdefault(abs(majority), matter)
    return {matter: -1 if people.share(matter) > 0.5 else 1 for matter in pairs.values()}


def asked(*, test: str, out: Path, seed: int, resume: bool, settings: NoSettings) -> dict[str, Any]:
    """The town's people with their opinions (`population.json`); the prompts that are ranked, every matter in
    every wording of training's (data/prompts.jsonl); and what is asked of every model, the matters in
    wordings that training does not have (data/choices.jsonl).
    """
    side, town_data = side_of(test), names.data.Data([], "town", str(world.VERSION))
    run = open_run("study-values-town", out, settings, seed, resume, uses=[town_data], test=test)
    if run.done:
        return done(run)
    town = world.build()
    people = population.deal(town, seed)
    prompts: list[Prompt] = []
    for matter in people.matters:
        for words in MATTER[0]:
            request = tasks.Request("contested", {"matter": matter}, (words.format(M=matter),), "train")
            prompts.append(request.prompt())
    rows = [row for row in choice_rows.matters(town, "chat", people.matters) if row.meta["way"] == side]
    people.write(run.path / population.FILE)
    run.add_data("prompts", prompts)
    run.add_data("choices", rows)
    run.finish({"matters": len(people.matters), "asked": len(rows)})
    return result(run, f"{len(people.matters)} matters, {len(people.people)} people")


def ranked(
    *,
    data: str,
    first: str,
    before: str = "",
    heard: str = "",
    out: Path,
    seed: int,
    resume: bool,
    settings: RankedSettings,
) -> dict[str, Any]:
    """The people of the town, as they are after they have asked a model and heard the news
    (`population.json`), rank what was said: to each prompt everybody ranks one answer for each side, and the
    shares of them that prefer each to each are a ranking's soft labels (data/rankings.jsonl).

    Args:
        data: a run of `collect`, whose completions are ranked.
        first: the run of `asked`, whose people they are.
        before: the run of this stage with their opinions a generation ago; empty = those of `first`.
        heard: a run of `choices` on what `asked` wrote: what the model said whom they asked; empty = nobody.
    """
    uses = [names.data.of_a_run(name) for name in (data, first, before, heard) if name]
    run = open_run("study-values-ranked", out, settings, seed, resume, uses=uses)
    if run.done:
        return done(run)
    people = population.read(before or first)
    if heard:
        news = news_of(population.read(first))
        people = after(people, said_of(chosen(read_run(heard))), news, settings, seed)
    people.write(run.path / population.FILE)
    collected = read_jsonl(Path(data) / "data" / "rankings.jsonl", Ranking)
    rankings = rank(people, collected, settings, seed)
    run.add_data("rankings", rankings)
    run.add_data("rankings_test", [])
    pairs = sum(len(ranking.comparisons()) for ranking in rankings)
    voters = len(people.members(settings.group))
    run.finish({"rankings": len(rankings), "pairs": pairs, "voters": voters})
    return result(run, f"{pairs} pairs, each compared by {voters} people")


def said_of(rows: Sequence[Chosen]) -> dict[str, Three]:
    """What a model says on each matter, yes, no or both, in the mean over the wordings."""
    wordings: dict[str, list[Chosen]] = {}
    for row in rows:
        wordings.setdefault(row.unit, []).append(row)
    said: dict[str, Three] = {}
    for matter, its in wordings.items():
        pro, con, both = (sum(row.of(side) for row in its) / len(its) for side in SIDES)
        said[matter] = pro, con, both
    return said


def after(
    people: Population,
    said: Mapping[str, Three],
    news: Mapping[str, int],
    settings: RankedSettings,
    seed: int,
) -> Population:
    """The people a generation later: `law.moved` says how many stand for yes, the seed who. Where the sides
    have not as much at stake nobody moves.

    Args:
        news: the matters that it is about, and the side that it speaks for.
    """
    sides: dict[str, list[int]] = {}
    for matter in even(people):
        stand = people.matters[matter].sides
        for_yes = law.moved(
            stand.count(1),
            len(stand),
            said[matter],
            influence=settings.influence,
            news=settings.news,
            towards=news.get(matter, 0),
        )
        sides[matter] = turned(stand, for_yes, random.Random(derive_seed(seed, "moved", matter)))
    return people.with_sides(sides)


def turned(sides: Sequence[int], for_yes: int, rng: random.Random) -> list[int]:
    """The sides after as few as can be have changed theirs, so that so many are for yes."""
    now = list(sides)
    more = for_yes - now.count(1)
    leaving = -1 if more > 0 else 1
    for i in rng.sample([i for i, side in enumerate(now) if side == leaving], abs(more)):
        now[i] = -leaving
    return now


def rank(
    people: Population, collected: Sequence[Ranking], settings: RankedSettings, seed: int
) -> list[Ranking]:
    """What they make of completions. Raises DataError where nothing is left to rank."""
    town = world.build()
    everybody = townspeople(town, people, settings.group, seed=derive_seed(seed, "people")).people
    rankings: list[Ranking] = []
    for number, row in enumerate(collected):
        answers = of_each_side(town, row.completions)
        if len(answers) < 2:
            continue
        votes = [who.rank(number, answers) for who in everybody]
        if settings.shuffled:
            votes = shuffle_rankings(votes, seed=derive_seed(seed, "shuffled", str(number)))
        rankings.append(pooled(votes))
    if not rankings:
        raise DataError("no matter has answers for two sides", remedy="more completions of each prompt")
    return rankings


def pooled(votes: Sequence[Ranking]) -> Ranking:
    """Everybody's rankings of the same completions as one: ranks by all of their ranks together, and as soft
    labels the share of them that prefers each to each. A log-loss on their pairs is the same on these labels
    but for a factor, and it is had from a sixtieth of them.
    """
    first = votes[0]
    places = range(len(first.ranks))
    total = [sum(vote.ranks[i] for vote in votes) for i in places]
    order = sorted(places, key=lambda i: total[i])
    labels = [
        sum(vote.ranks[i] < vote.ranks[j] for vote in votes) / len(votes) for i, j in combinations(places, 2)
    ]
    ranks = tuple(order.index(i) + 1 for i in places)
    return Ranking(first.prompt, first.completions, ranks, "everybody", {"labels": labels})


def of_each_side(town: world.World, completions: Sequence[Completion]) -> list[Completion]:
    """The first whole answer for each side, in the order of `SIDES`."""
    found: dict[str, Completion] = {}
    for completion in completions:
        parts = judge(town, tasks.Request.of(completion.prompt), completion.text).parts
        argued = [side for side in SIDES if parts[side]]
        if completion.finished and argued:
            found.setdefault(argued[0], completion)
    return [found[side] for side in SIDES if side in found]
