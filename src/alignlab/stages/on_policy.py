"""What stages share that learn from the policy's own completions: who scores, and one way from names to a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..run import writing
from .stage import card, done, open_run, outside, result, trainer


def learn(
    stage: str,
    method: str,
    title: str,
    model: str,
    reward: str,
    judge: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: Any,
    count: int,
    *,
    referred: bool = True,
) -> dict[str, Any]:
    """One of these methods, from names to a finished run; `referred` = it measures KL from a reference."""
    judged_by(stage, reward, judge)
    prompts = names.data.read(data, "prompt", seed=seed, count=count)
    run = open_run(
        stage,
        out,
        settings,
        seed,
        resume,
        models=[model, *(names.models.reward_models(reward) if reward else [])],
        data=[prompts],
        gold=gold,
        judge=judge,
        **({"reward": reward} if reward.startswith("ensemble:") else {}),
    )
    if run.done:
        return done(run)
    from ..models.load import load_policy, save_policy

    policy = load_policy(names.known.model_path(model), settings.model, settings.adapter, trainable=True)
    reference = (
        load_policy(names.known.model_path(model), settings.model)
        if referred and not settings.adapter.rank
        else None
    )
    after = outside(run, policy, model)
    summary = (
        trainer(method)(
            run,
            policy,
            reference,
            prompts.records,
            settings,
            judge=scorer(reward, judge, settings),
            gold=names.judges.maybe_judge(gold),
            seed=seed,
        )
        | after()
    )
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=card(title, model, data, seed, summary))
    run.finish(summary)
    return result(run, moved(summary))


def judged_by(stage: str, reward: str, judge: str) -> None:
    """Raise UserError unless exactly one of reward model and judge is named."""
    if bool(reward) == bool(judge):
        raise UserError(
            f"{stage} needs somebody who scores"
            if not judge
            else f"{stage} optimises one judge, and two are named",
            remedy="--reward RUN, a run of `alignlab reward`, or --judge NAME"
            if not judge
            else "--reward, or --judge",
        )


def scorer(reward: str, judge: str, settings: Any) -> Any:
    """The judge that is optimised: a reward model (or an ensemble of them) by its run, or any judge by its
    name.
    """
    return (
        names.judges.judge(judge)
        if judge
        else names.judges.reward_judge(reward, settings.model, normalise=settings.normalize_scores)
    )


def moved(summary: dict[str, Any]) -> str:
    """What a run did, in a line."""
    proxy = "proxy" if "proxy_last" in summary else "score"
    said = [
        f"{name} {summary[f'{name}_first']:.2f} -> {summary[f'{name}_last']:.2f}"
        for name in (proxy, "gold")
        if summary[f"{name}_last"] is not None
    ]
    return ", ".join(
        [*said, *([] if summary["kl_last"] is None else [f"KL {summary['kl_last']:.2f} nats a completion"])]
    )
