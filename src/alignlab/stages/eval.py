"""A model's answers to the questions of a task, scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..evals import by_name, tasks
from ..settings import EvalSettings
from ..text.figures import with_interval
from .stage import done, open_run, rate, result


def evaluate(
    *,
    model: str,
    data: str,
    judge: str,
    baseline: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: EvalSettings,
    reference: str = "",
    completions: str = "",
    task: str = "",
) -> dict[str, Any]:
    """The questions of a task answered greedily and at temperature 1, scored, and compared with a baseline
    question by question.

    `completions` names a best-of-n run whose picks are scored instead of the model's own answers.
    """
    asked = by_name.named(task) if task else by_name.given_by(data, judge)
    judge = judge_for(asked, judge)
    if task and asked.needs and data.startswith("town:") and not asked.needs.startswith("town:"):
        raise UserError(f"--task {task} is not asked on {data}", remedy=asked.needs)
    prompts, left_out = questions(asked, data, settings.prompts, named=bool(task))
    start, scorer = names.models.model(model), names.judges.maybe_judge(judge)
    before, picked = names.data.run(baseline, "eval"), names.data.run(completions)
    others = [names.models.model(reference)] if reference else []
    run = open_run(
        "eval",
        out,
        settings,
        seed,
        resume,
        uses=[start, prompts, scorer, before, *others, picked],
        judge=judge,
        baseline=baseline,
        reference=reference,
        completions=completions,
        task=task,
    )
    if run.done:
        return done(run)
    from ..evals import answers as method

    summary = method.run(
        run,
        start.path,
        asked,
        prompts.records,
        scorer.load(),
        settings,
        seed=seed,
        baseline=baseline,
        reference="".join(other.path for other in others),
        completions=completions,
        base=judge == "town:gold" and start.is_base,
    )
    if task:
        summary |= {"left_out": left_out, "task": asked.summary()}
    run.finish(summary)
    return result(run, _scored(asked, summary, "" if judge == "town:gold" else judge, baseline))


def judge_for(task: tasks.Task, judge: str) -> str:
    """Who scores: nobody where the task does, gold where the town asks and nobody is named."""
    if not task.judged:
        if judge:
            raise UserError(
                f"--task {task.name} scores by itself: --judge would do nothing", remedy="one of them"
            )
        return ""
    if not judge and task.name != "town":
        raise UserError(
            "eval needs a judge, or a task that scores by itself",
            remedy="--judge reward:RUN or module:function; --task exact:COLUMN (docs/evaluation.md)",
        )
    return judge or "town:gold"


def questions(task: tasks.Task, data: str, count: int, *, named: bool) -> tuple[names.data.Data, int]:
    """What the task asks of these data, and the number of rows that it cannot score."""
    loaded = names.data.read_data(data, "prompt", seed=0, count=count)
    if not named:
        return loaded, 0
    asked, left_out = task.questions(loaded.records)
    report = f"{data}: {len(asked)} questions of {task.name}"
    if left_out:
        report += f"; rows that it cannot score and leaves out: {left_out}"
    return replace(loaded, records=asked, report=report), left_out


def _scored(task: tasks.Task, summary: dict[str, Any], judge: str, baseline: str) -> str:
    """The figures of an evaluation in a few lines."""
    score = judge or task.figure
    said = _both_ways(task, summary, task.figure, score)
    for figure, head in task.words.heads.items():
        if summary.get(figure) and figure != task.figure:
            said += f"\n  {_both_ways(task, summary, figure, head)}"
    against = baseline or "one sample"
    for how, row in (summary.get("paired") or {}).items():
        way = "temperature 1" if how == "sampled" else how
        said += f"\n  against {against}, {way}: {with_interval(row, sign='+')}, "
        said += f"paired on {row['n']} prompts"
    return said


def _both_ways(task: tasks.Task, summary: dict[str, Any], figure: str, name: str) -> str:
    """A figure of the answers as they were asked for, and at temperature 1; of picks, beside one sample."""
    said = f"{name} {rate(summary[figure])}"
    if summary.get("picks"):
        return f"{said} picked, {rate(summary[f'{figure}_one'])} of one sample"
    if not task.choose:
        said += " greedy"
    if sampled := summary.get(f"{figure}_sampled"):
        said += f", {rate(sampled)} at temperature 1"
    return said
