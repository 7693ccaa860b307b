"""Distillation: a stronger model answers, and its answers are the demonstrations (Alpaca: Taori et al. 2023;
dSFT of Zephyr: Tunstall et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from ..errors import ConfigError
from ..evals.statistics import mean_ci, mean_over
from ..feedback import Judge, values_of
from ..records import Completion, Demonstration, Prompt
from ..run import RunDir, derive_seed
from ..sampling import ModelSampler, Sampling
from ..settings import DistilSettings
from .demonstrations import REPEATED, answered, completions_of, first_of, settle


def run(
    run: RunDir,
    sampler: ModelSampler,
    prompts: Sequence[Prompt],
    settings: DistilSettings,
    *,
    teacher: str,
    judge: Judge | None = None,
    gold: Judge | None = None,
    seed: int,
) -> dict[str, Any]:
    """The teacher's answers into data/demonstrations.jsonl; those that are not learned from, and why, into
    data/rejected.jsonl.

    With a judge the best of `per_prompt` answers is kept. Prompts are done in chunks of 512; a run that was
    interrupted goes on with the first chunk that is missing, and an endpoint's answers to the others of that
    chunk are not asked for again.

    Returns:
        The counts of `settle`, `finished` (share of the answers) and, where known, `gold` of what was kept.

    Raises:
        ConfigError: several answers and nobody to pick, or a judge and nothing to pick from.
    """
    if (settings.per_prompt > 1) != (judge is not None):
        raise ConfigError(
            f"per_prompt = {settings.per_prompt} and {'no judge' if judge is None else 'a judge'}",
            remedy="several answers and --judge NAME, who picks the best of them; or one answer and no judge",
        )
    s = settings.sampling

    def answer(number: int, asked: Sequence[Prompt]) -> Iterator[Demonstration]:
        # 1. the teacher answers; what is no whole answer is out
        groups = sampler.sample(
            asked, Sampling.of(s, n=settings.per_prompt), seed=derive_seed(seed, "distil", number)
        )
        for prompt, group in zip(asked, groups, strict=True):
            whole: dict[str, Completion] = {}
            for completion in group:
                text = completion.text.strip()
                reason = first_of(
                    (not completion.finished, "not finished"),
                    (not text, "says nothing"),
                    (text in whole, REPEATED),
                )
                if reason:
                    yield answered(prompt, completion.text, reason, kind="distil", teacher=teacher)
                else:
                    whole[text] = completion

            # 2. of several the judge's favourite, the first of equals
            scores = [0.0] * len(whole)
            if judge and whole:
                scores = values_of(judge, list(whole.values()))
            best = max(range(len(scores)), key=scores.__getitem__, default=0)
            for place, (completion, score) in enumerate(zip(whole.values(), scores, strict=True)):
                meta: dict[str, Any] = {"kind": "distil", "teacher": teacher}
                if judge:
                    meta |= {"judge": judge.name, "score": score, "of": len(group)}
                reason = first_of((place != best, "not the best"))
                yield answered(prompt, completion.text, reason, **meta)

    # 3. what is kept
    rows = list(chain.from_iterable(run.in_chunks(prompts, answer, Demonstration, desc="distil")))
    sampler.close()
    kept, counts = settle(run, rows)
    counts["asked"] = len(prompts)
    counts["finished"] = mean_over(rows, lambda row: row.rejected != "not finished")
    if gold:
        counts["gold"] = mean_ci(values_of(gold, completions_of(kept)))
    return counts
