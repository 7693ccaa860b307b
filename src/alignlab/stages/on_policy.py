"""What stages share that learn from the policy's own completions: who scores, and what to say of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..run import RunDir
from .stage import Summary, train_policy, trainer


def learn(
    stage: str,
    method: str,
    title: str,
    *,
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
    referred: bool = True,
) -> dict[str, Any]:
    """One of these methods on prompts, judged; `referred` = it measures KL from a reference."""
    judged_by(stage, reward, judge)
    start, prompts = names.models.model(model), names.data.read_data(data, "prompt", seed=seed, count=count)
    scorer = names.judges.scorer(reward, judge, settings.model, normalize=settings.normalize_scores)
    truth = names.judges.maybe_judge(gold)

    def train(run: RunDir, policy: Any) -> Summary:
        return trainer(method)(
            run,
            policy,
            reference_of(start, settings) if referred else None,
            prompts.records,
            settings,
            judge=scorer.load(),
            gold=truth.load(),
            seed=seed,
        )

    return train_policy(
        stage,
        title,
        start,
        train,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        uses=[scorer, prompts, truth],
        said=moved,
        gold=gold,
        judge=judge,
        reward=reward,
    )


def reference_of(start: names.models.Model, settings: Any) -> Any:
    """The model that training starts from, to measure KL from; with an adapter it is the policy without it."""
    from ..models.load import load_policy

    return None if settings.adapter.rank else load_policy(start.path, settings.model)


def judged_by(stage: str, reward: str, judge: str) -> None:
    """Raise UserError unless exactly one of reward model and judge is named."""
    if reward and judge:
        raise UserError(f"{stage} optimizes one judge, and two are named", remedy="--reward, or --judge")
    if not reward and not judge:
        raise UserError(
            f"{stage} needs somebody who scores",
            remedy="--reward RUN, a run of `alignlab reward`, or --judge NAME",
        )


def moved(summary: Summary) -> str:
    """What a run did, in a line."""
    figures = []
    for name in ("proxy" if "proxy_last" in summary else "score", "gold"):
        if summary[f"{name}_last"] is not None:
            figures.append(f"{name} {summary[f'{name}_first']:.2f} -> {summary[f'{name}_last']:.2f}")
    if summary["kl_last"] is not None:
        figures.append(f"KL {summary['kl_last']:.2f} nats per completion")
    return ", ".join(figures)
