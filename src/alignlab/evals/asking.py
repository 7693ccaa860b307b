"""What a model answers to the questions of a task, each answer with its score: a part of them at a time, from
which a run goes on, or which others make (`run.chunks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from ..errors import DataError
from ..feedback import Judge
from ..models.chat import completion_ids, prompt_ids
from ..models.policy import context_of
from ..records import Completion, Prompt, Score, read_jsonl
from ..run import RunDir, derive_seed, read_run
from ..sampling import ModelSampler, Sampling
from ..sampling.choices import choice_logprobs
from ..sampling.local import LocalSampler
from ..settings import BestOfNSettings, EvalSettings
from ..settings.resolve import from_dict
from .tasks import Results, Task

PART = 512  # prompts that are answered together
CHOSEN = 64  # questions of a part that is answered by likelihood


def evaluate(
    sampler: ModelSampler,
    prompts: Sequence[Prompt],
    judge: Judge,
    sampling: Sampling,
    *,
    seed: int,
    first: int = 0,
) -> Results:
    """One completion of each prompt with its score; `first` is the place of the first of them."""
    groups = sampler.sample(prompts, sampling, seed=seed, first=first)
    completions = [group[0] for group in groups]
    return list(zip(completions, judge.score(completions), strict=True))


def written(
    run: RunDir,
    sampler: ModelSampler,
    prompts: Sequence[Prompt],
    judge: Judge,
    settings: EvalSettings,
    seed: int,
) -> dict[str, Results]:
    """Answers by way of decoding: greedy (or as the settings have it) and, if asked for, at temperature 1."""
    said = Sampling.of(settings.sampling)
    ways = {"greedy": (said, seed)}
    if settings.sampled:
        ways["sampled"] = replace(said, temperature=1.0, top_p=1.0), derive_seed(seed, "sampled")
    places = [(how, first) for how in ways for first in range(0, len(prompts), PART)]

    def part(number: int, _: Any) -> list[dict[str, Any]]:
        how, first = places[number]
        (sampling, drawn), asked = ways[how], prompts[first : first + PART]
        return [_kept(*one) for one in evaluate(sampler, asked, judge, sampling, seed=drawn, first=first)]

    answers: dict[str, list[tuple[Completion, Score]]] = {how: [] for how in ways}
    for (how, first), rows in zip(places, run.in_chunks(places, part, size=1, desc="eval"), strict=True):
        asked = prompts[first : first + PART]
        answers[how] += [_again(prompt, row) for prompt, row in zip(asked, rows, strict=True)]
    return dict(answers)


def _kept(completion: Completion, score: Score) -> dict[str, Any]:
    """What figures are made of, as JSON."""
    parts = {name: float(value) for name, value in score.parts.items()}
    said = {"text": completion.text, "ids": completion.ids, "finished": completion.finished}
    return said | {"value": score.value, "parts": parts, "reason": score.reason}


def _again(prompt: Prompt, row: dict[str, Any]) -> tuple[Completion, Score]:
    completion = Completion(prompt, row["text"], tuple(row["ids"]), finished=row["finished"])
    return completion, Score(row["value"], row["parts"], row["reason"])


def picked(run: RunDir, prompts: Sequence[Prompt], judge: Judge, completions: str) -> Results:
    """The picks of a best-of-n run, scored. Raises DataError if none of the prompts has one."""
    picks = {c.prompt.id: c for c in read_jsonl(f"{completions}/data/completions.jsonl", Completion)}
    answers = [picks[prompt.id] for prompt in prompts if prompt.id in picks]
    if len(answers) < len(prompts):
        run.note(
            f"{completions} picked an answer to {len(answers)} of {len(prompts)} prompts; those are scored"
        )
    if not answers:
        raise DataError(
            "none of these prompts has a pick",
            where=completions,
            remedy="the prompts that best-of-n was run on",
        )
    return list(zip(answers, judge.score(answers), strict=True))


def one_each(sampler: ModelSampler, picks: Results, judge: Judge, completions: str, seed: int) -> Results:
    """One answer of the model to each prompt that has a pick, drawn as the samples were that it was picked
    from, and none of them: a random pick, against which a pick wins by being picked alone.
    """
    drawn = from_dict(BestOfNSettings, read_run(completions).config["settings"]).sampling
    prompts = [pick.prompt for pick, _ in picks]
    return evaluate(sampler, prompts, judge, Sampling.of(drawn), seed=derive_seed(seed, "beside the picks"))


def likeliest(run: RunDir, sampler: LocalSampler, task: Task, prompts: Sequence[Prompt]) -> Results:
    """Of each prompt's choices the likeliest, with the task's score of them all. What does not fit the
    model's context is left out and counted.
    """
    assert task.choices and task.choose
    choices_of, context = task.choices, context_of(sampler.model)

    def part(_: int, asked: Sequence[Prompt]) -> list[Sequence[float]]:
        return [chances(sampler, prompt, list(choices_of(prompt)), context) for prompt in asked]

    parts = run.in_chunks(prompts, part, size=CHOSEN, desc="eval")
    results = []
    for prompt, logps in zip(prompts, chain.from_iterable(parts), strict=True):
        if logps:
            best = list(choices_of(prompt))[logps.index(max(logps))]
            results.append((Completion(prompt, best, source=sampler.name), task.choose(prompt, tuple(logps))))
    if not results:
        raise DataError(f"none of {len(prompts)} questions fits the model's context of {context} tokens")
    if len(results) < len(prompts):
        run.note(f"{len(prompts) - len(results)} of {len(prompts)} questions do not fit {context} tokens")
    return results


def chances(sampler: LocalSampler, prompt: Prompt, choices: Sequence[str], context: int) -> Sequence[float]:
    """log P of each choice after the prompt, in nats; nothing where they do not fit the model's context."""
    before = len(prompt_ids(sampler.tokenizer, prompt))
    longest = max(len(completion_ids(sampler.tokenizer, prompt, text, finished=False)) for text in choices)
    return choice_logprobs(sampler, [prompt], choices)[0] if before + longest <= context else ()
