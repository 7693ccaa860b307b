"""Stages that only studies need to make data: a share of the comparisons, other people's labels."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from .. import names
from ..errors import DataError
from ..records import Ranking, read_jsonl
from ..run import derive_seed
from ..stages import reward_shift
from ..stages.stage import done, open_run, result
from .settings import NoSettings, RelabelSettings, ShareSettings


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
