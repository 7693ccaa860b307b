"""Stages that only measure and show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..data.split import by_prompt
from ..errors import DataError, UserError
from ..names import known
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
) -> dict[str, Any]:
    """Held-out prompts answered greedily and at temperature 1, scored, and compared with a baseline prompt by
    prompt.

    `completions` names a best-of-n run whose picks are scored instead of the model's own answers.
    """
    if not judge:
        raise UserError("eval needs a judge", remedy="--judge town:gold, or reward:RUN")
    prompts = names.data.read(data, "prompt", seed=0, count=settings.prompts)
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
    )
    if run.done:
        return done(run)
    from ..evals import stage as method

    path = names.known.model_path(model)
    summary = method.run(
        run,
        path,
        prompts.records,
        names.judges.judge(judge),
        settings,
        seed=seed,
        baseline=baseline,
        reference=names.known.model_path(reference) if reference else "",
        completions=completions,
        bare=judge == "town:gold" and names.models.is_base(path),
    )
    run.finish(summary)
    called = "gold" if judge == "town:gold" else judge
    said = f"{called} {rate(summary['gold'])} greedy" + (
        f", {rate(summary['gold_sampled'])} at temperature 1" if settings.sampled else ""
    )
    for how, row in (summary.get("paired") or {}).items():
        said += (
            f"\n  against {baseline}, {'greedy' if how == 'greedy' else 'temperature 1'}: {row['mean']:+.3f} [{row['ci'][0]:+.3f}, {row['ci'][1]:+.3f}], "
            f"paired on {row['n']} prompts"
        )
    return result(run, said)


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
    shown = (
        names.data.read(demonstrations, "demonstration", seed=seed, count=count) if demonstrations else None
    )
    compared = names.data.read(comparisons, "comparison", seed=seed, count=count) if comparisons else None
    read = names.data.read(texts, "text", seed=seed, count=count) if texts else None
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

    policy = load_policy(names.known.model_path(model), settings.model)
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
    prompts = names.data.read(data, "prompt", seed=0, count=settings.prompts)
    run = open_run(
        "reward-shift",
        out,
        settings,
        seed,
        resume,
        models=[model, *names.models.reward_models(reward), *others],
        data=[prompts],
        gold=gold,
        reward=reward,
    )
    if run.done:
        return done(run)
    from ..evals import shift as method
    from ..models.load import load_policy

    judge, truth, reference = (
        names.judges.reward_judge(reward, settings.model),
        names.judges.judge(gold),
        load_policy(names.known.model_path(model), settings.model),
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
                policy = (
                    reference if number == 0 else load_policy(names.known.model_path(name), settings.model)
                )
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
