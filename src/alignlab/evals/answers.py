"""`alignlab eval`: a model's answers to the questions of a task, scored, and set against a baseline question
by question.

I let the model answer every question greedily and, if asked, once at temperature 1; of a best-of-n run I
take the picks; where a task is answered by likelihood, I ask which of its choices the model finds likeliest.
The task or a judge scores; the summary is means of those scores with intervals, nothing fitted, over
prompts: answers to one that the data has twice count once together. What a task makes of its scores beyond
that stands with the task (`tasks.Task`); what it is about I do not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..data.checks import with_room
from ..errors import DataError
from ..feedback import Judge, RuleJudge
from ..models.batch import chunks
from ..models.chat import Rendered, prompt_ids
from ..models.forward import laid_out, token_logprobs_of
from ..models.load import load_policy
from ..models.policy import Policy, context_of
from ..records import Completion, Prompt, Score
from ..run import RunDir, read_run
from ..sampling.local import LocalSampler
from ..settings import EvalSettings
from .asking import likeliest, one_each, picked, written
from .statistics import mean_by_prompt, paired_difference, win_rate
from .tasks import Results, Task


class Pairs(NamedTuple):
    """Scores here and of what is compared with, answer by answer, and the prompt of each pair."""

    here: list[float]
    there: list[float]
    prompts: list[str]


def run(
    run: RunDir,
    model: str,
    task: Task,
    prompts: Sequence[Prompt],
    judge: Judge | None,
    settings: EvalSettings,
    *,
    seed: int,
    baseline: str = "",
    reference: str = "",
    completions: str = "",
    base: bool = False,
) -> dict[str, Any]:
    """Evaluate one model; returns its M of `summary.json` with the task's breakdowns and, with a baseline,
    `paired`.

    Args:
        model: resolved model folder.
        prompts: the task's questions.
        judge: who scores, where the task leaves that open.
        baseline: a finished eval run on the same prompts: its scores are compared with these, prompt by
            prompt.
        reference: resolved folder of the model that KL is measured from.
        completions: a finished best-of-n run of this model: its picks are scored, and beside them, as their
            control, one answer of the model drawn as each of theirs was.
        base: it is a base model; the task may ask it something of its own.
    """
    policy = load_policy(model, settings.model)
    sampler = LocalSampler.of(policy, slots=settings.sampling.slots)
    answers: dict[str, Results]
    if task.choose:
        answers = {"likelihood": likeliest(run, sampler, task, prompts)}
    else:
        judge = judge or RuleJudge(task.name, task.score or _nobody)
        prompts, report = with_room(
            prompts,
            policy.tokenizer,
            context=context_of(policy.model),
            new_tokens=settings.sampling.max_new_tokens,
        )
        run.note(report)
        if completions:
            picks = picked(run, prompts, judge, completions)
            answers = {"picked": picks, "one": one_each(sampler, picks, judge, completions, seed)}
        else:
            answers = written(run, sampler, prompts, judge, settings, seed)
    sampled = answers.get("sampled")
    pairs: dict[str, Pairs] = {}
    if baseline:
        pairs = beside(baseline, answers)
    elif completions:
        picks = answers["picked"]
        pairs = {"picked": Pairs(scores_of(picks), scores_of(answers["one"]), prompts_of(picks))}
    summary = summarize(task, answers, pairs.get("picked" if completions else "sampled"))
    if pairs:
        summary["paired"] = {how: paired_difference(*both) for how, both in pairs.items()}
    if completions:
        summary["picks"] = {key: read_run(completions).summary[key] for key in ("n", "temperature")}
    if reference and sampled:
        started_from = load_policy(reference, settings.model)
        summary["kl_from_sft"] = kl_from([c for c, _ in sampled], policy, started_from)
    if base and task.of_base:
        figures, samples = task.of_base(policy, prompts, seed)
        summary |= figures
        run.log_samples(1, samples)
    rows: list[dict[str, Any]] = []
    for how, results in answers.items():
        rows += [_row(how, *result) for result in results]
    run.log_samples(0, rows)
    sampler.close()
    return summary


def _nobody(completion: Completion) -> Score:
    raise ValueError("a task without a score, and no judge")


def _row(decoding: str, completion: Completion, score: Score) -> dict[str, Any]:
    return completion.to_json() | {
        "id": completion.prompt.id,
        "decoding": decoding,
        "gold": score.value,
        "reason": score.reason,
    }


# --- figures ---


SUFFIXES = {"sampled": "_sampled", "one": "_one"}
"""What is put to a figure's name by the way of decoding; the first way's has nothing."""


def summarize(task: Task, answers: Mapping[str, Results], wins: Pairs | None = None) -> dict[str, Any]:
    """M of `summary.json`: every figure an S (mean, interval, n), or None where it does not apply.

    A figure NAME is that of the first way of decoding (greedy; of best-of-n the picks), NAME_sampled the same
    at temperature 1, NAME_one that of one sample beside each pick.

    Args:
        answers: by way of decoding; all to the same prompts.
        wins: scores of this model and of what it is compared with.
    """
    first = next(iter(answers))
    summary: dict[str, Any] = {}
    for how in dict.fromkeys([first, "sampled", *answers]):
        suffix = SUFFIXES.get(how, "")
        found = figures_of(task, answers.get(how, ()))
        summary |= {f"{figure}{suffix}": value for figure, value in found.items()}
    summary |= {"win_rate_vs_sft": None, "ties_vs_sft": None, "kl_from_sft": None}
    if wins:
        tied = [float(here == there) for here, there in zip(wins.here, wins.there, strict=True)]
        summary["win_rate_vs_sft"] = win_rate(wins.here, wins.there, prompts=wins.prompts)
        summary["ties_vs_sft"] = mean_by_prompt(tied, wins.prompts, share=True)
    return summary


def figures_of(task: Task, results: Results) -> dict[str, Any]:
    """Every figure of answers that were decoded in one way; None of no answers."""
    found: dict[str, Any] = {task.figure: score_of(results)}
    for figure, part in task.figures.items():
        having = [(completion, score) for completion, score in results if part in score.parts]
        values = [score.parts[part] for _, score in having]
        found[figure] = mean_by_prompt(values, prompts_of(having)) if having else None
    found["mean_length"] = None
    if results and not task.choose:
        found["mean_length"] = mean_length([completion for completion, _ in results])
    for key in task.breakdowns:
        found[f"by_{key}"] = breakdown(results, key)
    if results and task.more:
        found |= task.more(results)
    return found


def score_of(results: Results) -> dict[str, Any] | None:
    """The mean score; None of no results."""
    return mean_by_prompt(scores_of(results), prompts_of(results)) if results else None


def scores_of(results: Results) -> list[float]:
    return [score.value for _, score in results]


def prompts_of(results: Results) -> list[str]:
    return [completion.prompt.id for completion, _ in results]


def mean_length(completions: Sequence[Completion]) -> float:
    """Tokens per completion; of text that came from elsewhere, words."""
    return sum(len(c.ids) or len(c.text.split()) for c in completions) / len(completions)


def breakdown(results: Results, key: str) -> dict[str, dict[str, Any]]:
    """The score by a key of the prompts' meta (kind, split)."""
    groups: dict[str, list[tuple[Completion, Score]]] = {}
    for completion, score in results:
        if key in completion.prompt.meta:
            groups.setdefault(str(completion.prompt.meta[key]), []).append((completion, score))
    return {
        name: mean_by_prompt(scores_of(group), prompts_of(group)) for name, group in sorted(groups.items())
    }


def beside(baseline: str, answers: Mapping[str, Results]) -> dict[str, Pairs]:
    """For each way of decoding that both have: scores here and in the baseline's run, of the prompts that
    both have answered.

    Raises:
        DataError: no prompt was answered by both.
    """
    rows = [row for row in read_run(baseline).samples if "decoding" in row]
    pairs: dict[str, Pairs] = {}
    for how, results in answers.items():
        there: dict[str, list[float]] = {}
        for row in rows:
            if row["decoding"] == how:
                there.setdefault(row["id"], []).append(row["gold"])
        both = Pairs([], [], [])
        for completion, score in results:
            prompt = completion.prompt.id
            if there.get(prompt):
                both.here.append(score.value)
                both.there.append(there[prompt].pop(0))
                both.prompts.append(prompt)
        if both.prompts:
            pairs[how] = both
    if not pairs:
        raise DataError(
            "the baseline answered none of these prompts",
            where=baseline,
            remedy="a run of `alignlab eval` on the same prompts, its answers decoded in the same way",
        )
    return pairs


@torch.inference_mode()
def kl_from(completions: Sequence[Completion], policy: Policy, reference: Policy) -> dict[str, Any]:
    """KL(policy || reference) in nats per completion: mean over prompts of the policy's own samples, of each
    the sum over tokens of log p - log p_ref (k1).
    """
    rows = []
    for c in completions:
        before = prompt_ids(policy.tokenizer, c.prompt)
        rows.append(Rendered([*before, *c.ids], [0] * len(before) + [1] * len(c.ids)))
    sums = [0.0] * len(rows)
    for chunk in chunks(rows, 4096):
        here = [rows[i] for i in chunk]
        totals = []
        for model in (policy.model, reference.model):
            layout = laid_out(model, here, policy.pad_id)
            totals.append(layout.back(token_logprobs_of(model, layout.batch)).sum(1))
        for i, value in zip(chunk, (totals[0] - totals[1]).tolist(), strict=True):
            sums[i] = value
    return mean_by_prompt(sums, [completion.prompt.id for completion in completions])
