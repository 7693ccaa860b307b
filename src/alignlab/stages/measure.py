"""Stages that only measure and show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.split import by_prompt
from ..errors import DataError, UserError
from ..evals import tasks
from ..names import known
from ..names import things as names
from ..run import derive_seed, writing
from ..settings import EvalSettings, LikelihoodSettings, ShiftSettings
from .stage import done, open_run, rate, result, room_for_answers, within_context


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
    asked = tasks.named(task) if task else tasks.given_by(data, judge)
    judge = judge_for(asked, judge)
    if task and asked.needs and data.startswith("town:") and not asked.needs.startswith("town:"):
        raise UserError(f"--task {task} is not asked on {data}", remedy=asked.needs)
    prompts, left_out = questions(asked, data, settings.prompts, named=bool(task))
    if baseline:
        known.run_of("eval")(baseline)
    run = open_run(
        "eval",
        out,
        settings,
        seed,
        resume,
        models=[model],
        data=[prompts],
        judge=judge,
        baseline=baseline,
        reference=reference,
        completions=completions,
        task=task,
    )
    if run.done:
        return done(run)
    from ..evals import answers as method

    path = names.model_path(model)
    summary = method.run(
        run,
        path,
        asked,
        prompts.records,
        names.maybe_judge(judge),
        settings,
        seed=seed,
        baseline=baseline,
        reference=names.model_path(reference) if reference else "",
        completions=completions,
        base=judge == "town:gold" and names.is_base(path),
    )
    if task:
        summary |= {"left_out": left_out, "task": asked.told()}
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


def questions(task: tasks.Task, data: str, count: int, *, named: bool) -> tuple[names.Data, int]:
    """What the task asks of these data, and the number of rows that it cannot score."""
    loaded = names.data(data, "prompt", seed=0, count=count)
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
    said = f"{score} {rate(summary[task.figure])}"
    if not task.choose:
        said += " greedy"
    if sampled := summary[f"{task.figure}_sampled"]:
        said += f", {rate(sampled)} at temperature 1"
    for figure in task.words.heads if task.name != "town" else ():
        if figure in summary and not figure.startswith(task.figure):
            said += f"\n  {task.words.heads[figure]} {rate(summary[figure])}"
    for how, row in (summary.get("paired") or {}).items():
        way = "temperature 1" if how == "sampled" else how
        low, high = row["ci"]
        said += f"\n  against {baseline}, {way}: {row['mean']:+.3f} [{low:+.3f}, {high:+.3f}], "
        said += f"paired on {row['n']} prompts"
    return said


def likelihood(
    *,
    model: str,
    demonstrations: str,
    comparisons: str,
    baseline: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: LikelihoodSettings,
    count: int = 0,
    texts: str = "",
) -> dict[str, Any]:
    """Held-out documents, demonstrations and comparisons under a model, and set against a baseline record by
    record.
    """
    if not demonstrations and not comparisons and not texts:
        raise UserError(
            "likelihood needs text to measure",
            remedy="--demonstrations D, --comparisons D, --texts D, or several",
        )
    if baseline:
        known.run_of("likelihood")(baseline)
    shown = names.data(demonstrations, "demonstration", seed=seed, count=count) if demonstrations else None
    compared = names.data(comparisons, "comparison", seed=seed, count=count) if comparisons else None
    read = names.data(texts, "text", seed=seed, count=count) if texts else None
    run = open_run(
        "likelihood",
        out,
        settings,
        seed,
        resume,
        models=[model],
        data=[each for each in (shown, compared, read) if each],
        baseline=baseline,
    )
    if run.done:
        return done(run)
    from ..evals import likelihood as method
    from ..models.load import load_policy

    policy = load_policy(names.model_path(model), settings.model)
    measured = [list(each.records) if each else [] for each in (shown, compared)]
    if settings.held_out < 1:
        measured = [by_prompt(records, settings.held_out, seed)[1] for records in measured]
        if (shown or compared) and not any(measured):
            raise DataError("no prompt of the data is held out", remedy="a larger held_out, or more data")
    summary = method.run(
        run,
        policy,
        measured[0],
        measured[1],
        list(read.records) if read else [],
        max_length=within_context(run, settings, policy.model).max_length,
        baseline=baseline,
    )
    run.finish(summary)
    said = [
        f"{words} {rate(summary[name])}"
        for name, words in (
            ("text_loss", "nats a token of a document"),
            ("loss", "nats a token"),
            ("chosen_likelier", "chosen likelier"),
            ("margin", "nats apart"),
        )
        if name in summary
    ]
    return result(run, ", ".join(said))


def reward_shift(
    *,
    model: str,
    reward: str,
    policies: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: ShiftSettings,
) -> dict[str, Any]:
    """A reward model's accuracy against gold on what the reference, its best-of-n and each policy write, over
    their KL from the reference.

    `summary.json` has a row a policy, nearest first, and `shift.svg` draws them. A run that was interrupted
    goes on with the first policy that is missing.
    """
    from ..report import charts

    others = [name.strip() for name in policies.split(",") if name.strip()]
    if not reward or not gold:
        raise UserError(
            "reward-shift needs a reward model and a gold judge", remedy="--reward RUN --gold town:gold"
        )
    prompts = names.data(data, "prompt", seed=0, count=settings.prompts)
    run = open_run(
        "reward-shift",
        out,
        settings,
        seed,
        resume,
        models=[model, *names.reward_models(reward), *others],
        data=[prompts],
        gold=gold,
        reward=reward,
    )
    if run.done:
        return done(run)
    from ..evals import shift as method
    from ..models.load import load_policy

    judge, truth, reference = (
        names.reward_judge(reward, settings.model),
        names.judge(gold),
        load_policy(names.model_path(model), settings.model),
    )
    asked = room_for_answers(run, prompts.records, reference, settings.sampling)
    points = [
        ("policy", model),
        *(("best of", n) for n in settings.best_of.split(",") if n),
        *(("policy", name) for name in others),
    ]
    rows: list[dict[str, Any]] = []
    for number, (kind, name) in enumerate(run.track(points, desc="reward shift")):

        def made(number: int = number, kind: str = kind, name: Any = name) -> dict[str, Any]:
            common = {
                "per_prompt": settings.per_prompt,
                "sampling": settings.sampling,
                "seed": derive_seed(seed, "reward-shift", number),
            }
            if kind == "best of":
                found = method.accuracy_on_best_of_n(judge, truth, reference, asked, n=int(name), **common)
            else:
                policy = reference if number == 0 else load_policy(names.model_path(name), settings.model)
                found = method.accuracy_on_policy(
                    judge, truth, policy, asked, reference=None if number == 0 else reference, **common
                )
            return {
                "policy": f"best of {name}" if kind == "best of" else Path(name).name,
                "kind": kind,
                **found,
            }

        rows.append(run.kept(f"points/{number:03d}", made))
    rows.sort(key=lambda row: row["kl"]["mean"])

    with writing(run.path):
        drawn = charts.reward_shift(
            rows, title=f"{Path(reward).name}: right about pairs that gold tells apart"
        )
        (run.path / "shift.svg").write_text(drawn, encoding="utf-8")
    run.finish({"reward": reward, "rows": rows})
    text = "\n".join(
        (
            f"{row['policy']:<20} KL {row['kl']['mean']:7.2f}   accuracy {rate(row['accuracy'])}   gold "
            f"{row['gold']['mean']:.3f}"
        )
        for row in rows
    )
    return result(run, text)
