"""Feedback from an AI (Bai et al. 2022, section 4.1): pairs of a policy's answers, and the soft labels that a
judge with a constitution puts on them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from ..data.split import by_question
from ..errors import ConfigError, DataError
from ..evals import labels as measure
from ..evals.judges import prompts_of, put_to, stated_of, tally, truths
from ..feedback import Judge
from ..feedback.ai import AIJudge
from ..records import Comparison, Completion, Prompt, Ranking, question
from ..run import RunDir, derive_seed
from ..sampling import Sampler, Sampling
from ..settings import LabelSettings
from ..settings.rules import check


def run(
    run: RunDir,
    policy: Sampler,
    judge: AIJudge,
    prompts: Sequence[Prompt],
    settings: LabelSettings,
    *,
    helpful: Sequence[Ranking] = (),
    helpful_test: Sequence[Ranking] | None = None,
    gold: Judge | None = None,
    beside: Sampler | None = None,
    seed: int,
) -> dict[str, Any]:
    """Label a pair of the policy's answers to each prompt.

    Writes data/comparisons.jsonl and, for held-out prompts, data/comparisons_test.jsonl: the favored answer
    as chosen, its soft label, and in `comparison_meta` the judge, the constitution's digest, the principles
    and what each said in both orders. And data/rankings.jsonl and data/rankings_test.jsonl, which `reward`
    and `dpo` learn from: the same as rankings of two, mixed with `helpful`.

    Prompts are done in chunks; a run that was interrupted goes on with the first chunk that is missing, and
    an endpoint is not asked the same again.

    Args:
        helpful: rankings by people for helpfulness, mixed in as they are. helpful_test: those kept for
            testing; None splits them as the others are.
        beside: another model, as many of whose answers are drawn from too: a policy that has learned its
            lesson writes hardly a pair that differs in harm.
        gold: a judge that knows the truth, to measure the labels by, and to fit a temperature to where
            `settings.temperature` is 0.

    Returns:
        Counts (`learnt`: comparisons that are certain enough to learn from; `unlabelled`: prompts whose
        answers were all the same, or too long for the judge); `judge` (`evals.judges.tally`);
        `order_effect`, `order_bias` and `order_flips`; and with gold, on held-out pairs that differ in gold,
        `labels` (`evals.labels.agreement`) and `calibration`.

    Raises:
        ConfigError: settings that cannot be. DataError: no prompt got two different answers.
    """
    check(settings)
    if not settings.temperature and (gold is None or not settings.held_out):
        raise ConfigError(
            "temperature = 0 is fitted on held-out pairs whose truth is known",
            remedy="--gold, and held_out above 0; or --temperature 1",
        )
    s = settings.sampling

    def made(number: int, asked: Sequence[tuple[int, Prompt]]) -> list[Comparison]:
        # 1. answers of the policy; two different ones of each prompt, in random order
        chunk, sampling = [prompt for _, prompt in asked], Sampling.of(s, n=settings.per_prompt)
        groups = policy.sample(chunk, sampling, seed=derive_seed(seed, "label", number))
        others: list[list[Completion]] = [[] for _ in chunk]
        if beside:
            others = beside.sample(chunk, sampling, seed=derive_seed(seed, "label beside", number))
        pairs: list[tuple[Completion, Completion]] = []
        for (i, _), ours, theirs in zip(asked, groups, others, strict=True):
            pair = two_different([*ours, *theirs], derive_seed(seed, "pair", i))
            if pair and judge.fits(*pair):
                pairs.append(pair)

        # 2. what the judge makes of them
        return put_to(judge, pairs)

    chunks = run.in_chunks(list(enumerate(prompts)), made, Comparison, size=settings.chunk, desc="label")
    labelled: list[Comparison] = list(chain.from_iterable(chunks))
    if not labelled:
        raise DataError(
            "no prompt got two different answers", remedy="a higher sampling.temperature, or more samples"
        )

    # 3. how good the labels are, and how sure they may be
    learn, test = by_question(labelled, settings.held_out, seed)
    summary: dict[str, Any] = summarize(judge, labelled, test, gold, seed) | {
        "prompts": len(prompts),
        "unlabelled": len(prompts) - len(labelled),
    }
    temperature = settings.temperature or summary["calibration"]["temperature"]

    # 4. what is learned from
    def certain_ones(pairs: Sequence[Comparison]) -> list[Comparison]:
        return [as_learned(judge, c, temperature) for c in pairs if is_certain(c, settings.certain)]

    final, final_test = certain_ones(learn), certain_ones(test)
    if not final:
        raise DataError(
            f"no label is {settings.certain} or more from one half",
            remedy="a smaller certain, other principles, or a judge that can tell",
        )
    run.add_data("comparisons", final)
    run.add_data("comparisons_test", final_test)
    kind, kind_test = list(helpful), list(helpful_test or ())
    if helpful and helpful_test is None:
        kind, kind_test = by_question(kind, settings.held_out, seed)
    held_out = {question(record.prompt) for record in [*kind_test, *final_test]}
    mixed: tuple[list[Ranking], list[Ranking]] = ([], [])
    for ranking in [*kind, *kind_test, *map(as_ranking, final), *map(as_ranking, final_test)]:
        mixed[question(ranking.prompt) in held_out].append(ranking)
    random.Random(derive_seed(seed, "mix")).shuffle(mixed[0])
    run.add_data("rankings", mixed[0])
    run.add_data("rankings_test", mixed[1])
    return summary | {
        "comparisons": len(labelled),
        "learnt": len(final),
        "comparisons_test": len(test),
        "helpful": len(kind) + len(kind_test),
        "rankings": len(mixed[0]),
        "rankings_test": len(mixed[1]),
        "temperature": temperature,
    }


def is_certain(pair: Comparison, certain: float) -> bool:
    """Whether the label is that far from one half."""
    return abs((pair.label or 0.0) - 0.5) >= certain


def two_different(group: Sequence[Completion], seed: int) -> tuple[Completion, Completion] | None:
    """Two answers of different text, drawn from all that differ, in random order; None if none differ."""
    different = list({c.text.strip(): c for c in group}.values())
    if len(different) < 2:
        return None
    first, second = random.Random(seed).sample(different, 2)
    return first, second


def as_learned(judge: AIJudge, pair: Comparison, temperature: float) -> Comparison:
    """The favored answer as chosen, its label at the temperature; `meta["shown"]` says which of the two was
    (A) in the first order, `meta["plain"]` the label before.
    """
    assert pair.label is not None
    label = replace(judge, temperature=temperature).label(pair.label)
    turned = label < 0.5
    meta = {**pair.meta, "plain": round(pair.label, 6), "shown": "rejected" if turned else "chosen"}
    if turned:
        meta |= {"sources": pair.meta["sources"][::-1]}
        return Comparison(
            pair.prompt,
            pair.rejected,
            pair.chosen,
            chosen_finished=pair.rejected_finished,
            rejected_finished=pair.chosen_finished,
            meta=meta,
            label=1 - label,
        )
    return replace(pair, meta=meta, label=label)


def as_ranking(comparison: Comparison) -> Ranking:
    """A ranking of two with its soft label."""
    c = comparison
    sources = c.meta.get("sources") or ("", "")
    both = (
        Completion(c.prompt, c.chosen, finished=c.chosen_finished, source=sources[0]),
        Completion(c.prompt, c.rejected, finished=c.rejected_finished, source=sources[1]),
    )
    return Ranking(c.prompt, both, (1, 2), str(c.meta.get("annotator", "")), {"labels": [c.label]})


def summarize(
    judge: AIJudge, labelled: Sequence[Comparison], test: Sequence[Comparison], gold: Judge | None, seed: int
) -> dict[str, Any]:
    """What the judge was asked, how sure it was, what order did; with gold, how good its labels are on
    held-out pairs and what a temperature does.
    """
    summary: dict[str, Any] = {
        "judge": tally(labelled),
        "constitution": judge.constitution.digest,
        **measure.order_effect([c.meta["orders"] for c in labelled], prompts_of(labelled)),
    }
    if gold is None:
        return summary
    truth, stated, prompts = truths(gold, test), stated_of(test), prompts_of(test)
    return summary | {
        "labels": measure.agreement(stated, truth, prompts, seed=seed),
        "calibration": measure.calibration(stated, truth, prompts, seed=seed),
    }
