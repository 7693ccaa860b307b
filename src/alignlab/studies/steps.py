"""Stages that only studies need: data of a given quality, a share of the comparisons, the curve of best-of-N,
a policy as one point of a frontier.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from .. import names
from ..errors import DataError
from ..evals.statistics import mean_ci
from ..feedback import Judge
from ..names.named import Named
from ..records import Ranking, read_jsonl
from ..run import derive_seed
from ..sampling import Sampling
from ..stages import reward_shift
from ..stages.stage import done, open_run, rate, result
from .settings import (
    CurveSettings,
    JoinSettings,
    MixtureSettings,
    PointSettings,
    RelabelSettings,
    ShareSettings,
)

CHUNK = 32


def judges(rewards: Sequence[str], gold: str) -> dict[str, Named[Judge]]:
    """The first reward model as "reward", the others by the name of their run, the gold judge as "gold"."""
    named = {}
    for number, run in enumerate(rewards):
        named[Path(run).name if number else "reward"] = names.judges.reward_judge(run)
    return named | {"gold": names.judges.judge(gold)}


def curve(
    *,
    model: str,
    rewards: list[str],
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: CurveSettings,
) -> dict[str, Any]:
    """`most` samples of each prompt at temperature 1, scored by every judge: all that best-of-N of any N up
    to `most` and any of the judges needs.

    A row of samples.jsonl is a prompt: `scores` by judge, and `same`, which samples have equal texts
    (numbered by first appearance).
    """
    from ..models.load import load_policy
    from ..sampling.local import LocalSampler

    prompts = names.data.read_data(data, "prompt", seed=seed, count=settings.prompts)
    start, named = names.models.model(model), judges(rewards, gold)
    run = open_run(
        "study-curve",
        out,
        settings,
        seed,
        resume,
        uses=[start, *named.values(), prompts],
        gold=gold,
        rewards=",".join(rewards),
    )
    if run.done:
        return done(run)
    policy, s = load_policy(start.path, settings.model), settings.sampling
    who = {name: judge.load() for name, judge in named.items()}
    sampler = LocalSampler.of(policy, slots=s.slots, name="samples")
    starts = list(range(0, len(prompts.records), CHUNK))
    count = 0
    first: list[float] = []
    for number, start in enumerate(run.track(starts, desc="curve")):
        groups = sampler.sample(
            prompts.records[start : start + CHUNK],
            Sampling.of(s, n=settings.most, temperature=1.0),
            seed=derive_seed(seed, "study-curve", number),
        )
        flat = list(chain.from_iterable(groups))
        scores = {name: iter(judge.score(flat)) for name, judge in who.items()}
        for group in groups:
            numbers: dict[str, int] = {}
            same = [numbers.setdefault(c.text, len(numbers)) for c in group]
            row: dict[str, Any] = {"prompt": group[0].prompt.id, "same": same, "scores": {}}
            for name, of_all in scores.items():
                row["scores"][name] = [score.value for score in islice(of_all, len(group))]
            run.log_samples(count, [row])
            first += [float(c.finished) for c in group]
            count += 1
    sampler.close()
    run.finish({"prompts": count, "most": settings.most, "finished": mean_ci(first)})
    return result(run, f"{count} prompts, {settings.most} samples each, scored by {', '.join(who)}")


def point(
    *,
    model: str,
    reference: str,
    rewards: list[str],
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: PointSettings,
) -> dict[str, Any]:
    """One policy at temperature 1: its KL from the reference, gold, and what each reward model says.
    `qualities` counts answers by their gold.
    """
    from ..evals.answers import kl_from
    from ..models.load import load_policy
    from ..sampling.local import LocalSampler

    prompts = names.data.read_data(data, "prompt", seed=seed, count=settings.prompts)
    start, base, named = names.models.model(model), names.models.model(reference), judges(rewards, gold)
    run = open_run(
        "study-point",
        out,
        settings,
        seed,
        resume,
        uses=[start, base, *named.values(), prompts],
        gold=gold,
        rewards=",".join(rewards),
    )
    if run.done:
        return done(run)
    policy, s = load_policy(start.path, settings.model), settings.sampling
    who = {name: judge.load() for name, judge in named.items()}
    sampler = LocalSampler.of(policy, slots=s.slots, name="point")
    groups = sampler.sample(
        prompts.records,
        Sampling.of(s, n=settings.per_prompt, temperature=1.0),
        seed=derive_seed(seed, "study-point"),
    )
    sampler.close()
    completions = list(chain.from_iterable(groups))
    kl = kl_from(completions, policy, load_policy(base.path, settings.model))
    scores = {name: [score.value for score in judge.score(completions)] for name, judge in who.items()}
    means = {name: mean_ci(by_prompt(values, settings.per_prompt)) for name, values in scores.items()}
    summary = {
        "kl": kl | {"n": kl["n"]},
        "scores": means,
        "qualities": qualities(scores["gold"]),
        "finished": mean_ci([float(c.finished) for c in completions]),
    }
    rows: list[dict[str, Any]] = []
    for i, completion in enumerate(completions[:: settings.per_prompt]):
        rows.append(completion.to_json() | {"scores": {name: values[i] for name, values in scores.items()}})
    run.log_samples(0, rows)
    run.finish(summary)
    return result(run, f"KL {kl['mean']:.2f} nats, gold {rate(means['gold'])}")


def by_prompt(values: Sequence[float], each: int) -> list[float]:
    """Means over the samples of each prompt: prompts, not samples, are what an interval counts."""
    return [sum(values[i : i + each]) / each for i in range(0, len(values), each)]


QUALITIES = (("bad", 0.0, 0.25), ("middling", 0.25, 0.75), ("good", 0.75, 1.01))


def qualities(gold: Sequence[float]) -> dict[str, float]:
    """Share of the answers that gold calls bad (below a quarter), middling and good (three quarters and
    above).
    """
    shares: dict[str, float] = {}
    for name, low, high in QUALITIES:
        shares[name] = sum(low <= value < high for value in gold) / max(1, len(gold))
    return shares


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


def mixture(*, out: Path, seed: int, resume: bool, settings: MixtureSettings) -> dict[str, Any]:
    """Demonstrations of mixed quality into data/demonstrations.jsonl; each says in its meta who made it."""
    from ..records import Demonstration
    from ..town import answers, gold, tasks, world

    m = settings
    run = open_run(
        "study-mixture", out, settings, seed, resume, uses=[names.data.Data([], "town", str(world.VERSION))]
    )
    if run.done:
        return done(run)
    town, rng = world.build(), random.Random(derive_seed(seed, "mixture"))
    careless = answers.CLEAN | dict.fromkeys(SLIPS, 1.0)
    rows, values = [], []
    for request in tasks.requests(town, m.count, split="train", seed=2 * seed):
        careful = rng.random() < m.good
        answer = answers.demonstrate(town, request, rng, answers.CLEAN if careful else careless)
        value = gold.judge(town, request, answer.text).value
        if not m.only_good or value >= QUALITIES[-1][1]:
            rows.append(
                Demonstration(
                    request.prompt(),
                    answer.text,
                    {"careful": careful, "flaws": list(answer.flaws), "gold": value},
                )
            )
            values.append(value)
    if not rows:
        raise DataError("no demonstration is good", remedy="a larger share of good demonstrators")
    run.add_data("demonstrations", rows)
    run.finish({"demonstrations": len(rows), "gold": mean_ci(values), "qualities": qualities(values)})
    return result(run, f"{len(rows)} demonstrations, {qualities(values)['good']:.0%} of them good")


def join(
    *, first: str, second: str, out: Path, seed: int, resume: bool, settings: JoinSettings
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
