"""Stages that measure: the held-out prompts, the curve of best-of-N, a policy as one point of a frontier."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from statistics import fmean as mean
from typing import Any

from .. import names
from ..errors import DataError
from ..evals.statistics import mean_ci
from ..feedback import Judge
from ..names.data import Data
from ..names.named import Named
from ..records import Prompt, Score, question
from ..run import derive_seed
from ..sampling import Sampling
from ..stages.stage import done, open_run, rate, result
from .settings import CurveSettings, NoSettings, PointSettings

CHUNK = 32


def judges(rewards: Sequence[str], gold: str) -> dict[str, Named[Judge]]:
    """The first reward model as "reward", the others by the name of their run, the gold judge as "gold"."""
    named = {}
    for number, run in enumerate(rewards):
        named[Path(run).name if number else "reward"] = names.judges.reward_judge(run)
    return named | {"gold": names.judges.judge(gold)}


def read_held_out(
    data: str, trained: Sequence[tuple[str, int]], *, seed: int
) -> tuple[list[Data], list[Prompt]]:
    """Everything that is read, the test set first; and of its prompts, in their order, those whose question
    nothing is trained on.

    Args:
        trained: data of prompts or demonstrations, and how many of them this seed draws.

    Raises:
        DataError: fewer than two are left.
    """
    drawn = names.data.read_data(data, "prompt")
    used = [names.data.read_data(name, "prompt", seed=seed, count=count) for name, count in trained]
    asked = {question(prompt) for shown in used for prompt in shown.records}
    kept = [prompt for prompt in drawn.records if question(prompt) not in asked]
    if len(kept) < 2:
        raise DataError(
            f"{len(drawn.records) - len(kept)} of the {len(drawn.records)} prompts ask what something is "
            "trained on",
            where=data,
            remedy="--test with prompts of its own",
        )
    return [drawn, *used], kept


def held_out(
    *, data: str, trained: list[tuple[str, int]], out: Path, seed: int, resume: bool, settings: NoSettings
) -> dict[str, Any]:
    """The prompts on which everything is measured, by `read_held_out`, into data/prompts.jsonl."""
    read, kept = read_held_out(data, trained, seed=seed)
    run = open_run("study-held-out", out, settings, seed, resume, uses=read)
    if run.done:
        return done(run)
    drawn = len(read[0].records)
    summary = {
        "drawn": drawn,
        "dropped": drawn - len(kept),
        "prompts": len(kept),
        "questions": len({question(prompt) for prompt in kept}),
    }
    run.add_data("prompts", kept)
    run.finish(summary)
    return result(run, f"{len(kept)} prompts, {summary['dropped']} left out")


def curve(
    *,
    model: str,
    rewards: list[str],
    data: str,
    count: int,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: CurveSettings,
    parts: Sequence[str] = (),
) -> dict[str, Any]:
    """`most` samples of each prompt at temperature 1, scored by every judge: all that best-of-N of any N up
    to `most` and any of the judges needs.

    A row of samples.jsonl is a prompt: its `question`, `scores` by judge, `same`, which samples have equal
    texts (numbered by first appearance), and gold's `parts` of these names, None where a sample has none.
    """
    from ..models.load import load_policy
    from ..sampling.local import LocalSampler

    prompts = names.data.read_data(data, "prompt", count=count)
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
        **named_parts(parts),
    )
    if run.done:
        return done(run)
    policy, s = load_policy(start.path, settings.model), settings.sampling
    who = {name: judge.load() for name, judge in named.items()}
    sampler = LocalSampler.of(policy, slots=s.slots, name="samples")
    starts = list(range(0, len(prompts.records), CHUNK))
    finished: list[float] = []
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
            asked = group[0].prompt
            row: dict[str, Any] = {
                "prompt": asked.id,
                "question": question(asked),
                "same": same,
                "scores": {},
            }
            for name, of_all in scores.items():
                of_group = list(islice(of_all, len(group)))
                row["scores"][name] = [score.value for score in of_group]
                if name == "gold" and parts:
                    row["parts"] = parts_of(of_group, parts)
            run.log_samples(len(finished), [row])
            finished.append(mean([float(c.finished) for c in group]))
    sampler.close()
    asked = {"prompts": len(prompts.records), "questions": len({question(p) for p in prompts.records})}
    run.finish(asked | {"most": settings.most, "finished": mean_ci(finished)})
    return result(
        run, f"{len(prompts.records)} prompts, {settings.most} samples each, scored by {', '.join(who)}"
    )


def point(
    *,
    model: str,
    reference: str,
    rewards: list[str],
    data: str,
    count: int,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: PointSettings,
    parts: Sequence[str] = (),
) -> dict[str, Any]:
    """One policy at temperature 1: its KL from the reference, gold, and what each reward model says.
    `qualities` counts answers by their gold, `parts` are the means of gold's parts of these names.

    A row of samples.jsonl is a prompt: its `question`, its first sample, that sample's `scores` by judge, the
    `means` over all of its samples, and gold's `parts` of each of them, None where a sample has none.
    """
    from ..evals.answers import kl_from
    from ..models.load import load_policy
    from ..sampling.local import LocalSampler

    prompts = names.data.read_data(data, "prompt", count=count)
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
        **named_parts(parts),
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
    scored = {name: judge.score(completions) for name, judge in who.items()}
    scores = {name: [score.value for score in of_all] for name, of_all in scored.items()}
    means = {name: by_prompt(values, settings.per_prompt) for name, values in scores.items()}
    summary = {
        "prompts": len(prompts.records),
        "questions": len({question(prompt) for prompt in prompts.records}),
        "kl": kl,
        "scores": {name: mean_ci(values) for name, values in means.items()},
        "qualities": qualities(scores["gold"]),
        "finished": mean_ci(by_prompt([float(c.finished) for c in completions], settings.per_prompt)),
    }
    rows: list[dict[str, Any]] = []
    by_group: list[dict[str, list[float | None]]] = []
    for start_of in range(0, len(completions), settings.per_prompt):
        by_group.append(parts_of(scored["gold"][start_of : start_of + settings.per_prompt], parts))
    if parts:
        summary["parts"] = {name: part_mean(by_group, name) for name in parts}
    for i, group in enumerate(groups):
        first = {name: values[i * settings.per_prompt] for name, values in scores.items()}
        of_all = {name: values[i] for name, values in means.items()}
        asked = {"question": question(group[0].prompt)}
        kept = {"parts": by_group[i]} if parts else {}
        rows.append(group[0].to_json() | asked | {"scores": first, "means": of_all} | kept)
    run.log_samples(0, rows)
    run.finish(summary)
    return result(run, f"KL {kl['mean']:.2f} nats, gold {rate(summary['scores']['gold'])}")


def named_parts(parts: Sequence[str]) -> dict[str, str]:
    """The option of a run that keeps parts of gold's score; none where none are kept."""
    return {"parts": ",".join(parts)} if parts else {}


def parts_of(scores: Sequence[Score], names: Sequence[str]) -> dict[str, list[float | None]]:
    """The parts of these names of some samples, None where a sample's score has none."""
    return {name: [score.parts.get(name) for score in scores] for name in names}


def part_mean(groups: Sequence[dict[str, list[float | None]]], name: str) -> dict[str, Any]:
    """S over prompts of a part's mean over the samples that have it; prompts of which none has it are not
    counted.
    """
    means: list[float] = []
    for group in groups:
        found = [value for value in group[name] if value is not None]
        if found:
            means.append(mean(found))
    return mean_ci(means)


def by_prompt(values: Sequence[float], each: int) -> list[float]:
    """Means over the samples of each prompt: prompts, not samples, are what an interval counts."""
    return [mean(values[i : i + each]) for i in range(0, len(values), each)]


GOOD = 0.75
QUALITIES = (("bad", 0.0, 0.25), ("middling", 0.25, GOOD), ("good", GOOD, 1.01))


def qualities(gold: Sequence[float]) -> dict[str, float]:
    """Share of the answers that gold calls bad (below a quarter), middling and good (three quarters and
    above).
    """
    shares: dict[str, float] = {}
    for name, low, high in QUALITIES:
        shares[name] = sum(low <= value < high for value in gold) / max(1, len(gold))
    return shares
