"""Stages that only studies need to make data and models: a share of the comparisons, other people's rankings,
a policy between two.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from .. import names
from ..errors import DataError
from ..evals.collected import summarize
from ..records import Ranking, read_jsonl
from ..run import derive_seed
from ..stages import reward_shift
from ..stages.stage import card, done, keep, open_run, result
from .settings import BlendSettings, NoSettings, RerankSettings, ShareSettings


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


def rerank(*, data: str, settings: RerankSettings, out: Path, seed: int, resume: bool) -> dict[str, Any]:
    """The completions of a run of `collect` or `label`, ranked by another annotator: nothing is sampled, so
    that annotators compare ranking by ranking. By one seed every annotator has the same luck and knows the
    same facts, as in `collect`.

    Where an AI has labelled some of the rankings, those alone are ranked anew: what was mixed in stays as it
    is.
    """
    if not (Path(data) / "data" / "rankings.jsonl").exists():
        raise DataError(
            "there are no rankings to make anew",
            where=data,
            remedy="a run of `alignlab collect`, or of `alignlab constitution label`",
        )
    annotator = names.people.annotator(settings.annotator, seed=derive_seed(seed, "annotator"))
    run = open_run("study-rerank", out, settings, seed, resume, uses=[names.data.of_a_run(data), annotator])
    if run.done:
        return done(run)
    from ..collecting.collect import rank_all

    people = annotator.load()
    found: dict[str, list[Ranking]] = {}
    for part in ("rankings", "rankings_test"):
        found[part] = read_jsonl(Path(data) / "data" / f"{part}.jsonl", Ranking)
    labelled = any("labels" in ranking.meta for rankings in found.values() for ranking in rankings)
    anew: dict[str, list[Ranking]] = {}
    first = 0  # the luck of a ranking is its own, also beside those of the other part
    for part, rankings in found.items():
        chosen = [i for i, ranking in enumerate(rankings) if not labelled or "labels" in ranking.meta]
        groups = [(first + i, rankings[i].completions) for i in chosen]
        anew[part] = list(rank_all(people, groups))
        first += len(rankings)
        for i, ranking in zip(chosen, anew[part], strict=True):
            rankings[i] = ranking
        run.add_data(part, rankings)
    run.finish(summarize(anew["rankings"], anew["rankings_test"], people, None))
    ranked = sum(map(len, anew.values()))
    return result(run, f"{ranked} rankings by {settings.annotator}")


def blend(
    *, model: str, other: str, settings: BlendSettings, out: Path, seed: int, resume: bool
) -> dict[str, Any]:
    """A policy between two of the same architecture: each weight (1 - alpha) of the first's and alpha of the
    second's (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", equation 1), adapters merged, in
    fp32.

    Raises:
        ModelError: the two have other weights, or other tokens.
    """
    first, second = names.models.model(model), names.models.model(other)
    run = open_run("study-blend", out, settings, seed, resume, uses=[first, second])
    if run.done:
        return done(run)
    from ..models.blending import blended
    from ..models.saving import save_policy

    policy = blended(first.path, second.path, settings.alpha)
    said = f"{settings.alpha:g} of the way from {model} to {other}"
    keep(run, policy, {"alpha": settings.alpha}, save_policy, card("blend", said, "no data", seed, {}))
    return result(run, said)


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
