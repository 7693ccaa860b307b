"""What stages share that learn from the policy's own completions: what they are asked for, what they load,
who scores, and what to say of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, Unpack

from .. import names
from ..errors import UserError
from ..run import RunDir
from .stage import Summary, Use, train_policy

if TYPE_CHECKING:
    from ..feedback import Judge
    from ..models.policy import Policy
    from ..records import Prompt


class Asked(TypedDict):
    """What these stages are asked for by name, beside settings.

    `reward` is the run of a reward model, `judge` anybody else who scores; `gold` knows the truth and is
    never optimized; of the data at most `count` prompts (0 = all).
    """

    model: str
    data: str
    out: Path
    seed: int
    resume: bool
    reward: NotRequired[str]
    judge: NotRequired[str]
    gold: NotRequired[str]
    count: NotRequired[int]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The same, ready to learn from."""

    run: RunDir
    policy: Policy
    reference: Policy | None
    prompts: Sequence[Prompt]
    judge: Judge
    gold: Judge | None
    seed: int


def learn(
    stage: str,
    title: str,
    train: Callable[[Loaded], Summary],
    *,
    settings: Any,
    uses: Sequence[Use] = (),
    options: Mapping[str, str] = {},
    two_judges: bool = False,
    referred: bool = True,
    **asked: Unpack[Asked],
) -> dict[str, Any]:
    """A policy trained on prompts, judged, as a run.

    Args:
        train: one method's loop.
        uses, options: what the run is made from and asked for besides.
        two_judges: whether a reward model may be named beside a judge.
        referred: whether the method measures KL from a reference.
    """
    model, seed, reward = asked["model"], asked["seed"], asked.get("reward", "")
    judge, gold = asked.get("judge", ""), asked.get("gold", "")
    judged_by(stage, reward, judge, both=two_judges)
    start = names.models.model(model)
    prompts = names.data.read_data(asked["data"], "prompt", seed=seed, count=asked.get("count", 0))
    whole = replace(settings.model, shard=False)
    scorer = names.judges.scorer(reward, judge, whole, normalize=settings.normalize_scores)
    truth = names.judges.maybe_judge(gold)

    def loaded(run: RunDir, policy: Any) -> Summary:
        reference = reference_of(start, settings) if referred else None
        return train(Loaded(run, policy, reference, prompts.records, scorer.load(), truth.load(), seed))

    return train_policy(
        stage,
        title,
        start,
        loaded,
        out=asked["out"],
        seed=seed,
        resume=asked["resume"],
        settings=settings,
        uses=[scorer, prompts, truth, *uses],
        said=moved,
        gold=gold,
        judge=judge,
        reward=reward,
        **options,
    )


def reference_of(start: names.models.Model, settings: Any) -> Any:
    """The model that training starts from, to measure KL from; None with an adapter: the policy without
    it.
    """
    from ..models.load import load_policy

    return None if settings.adapter.rank else load_policy(start.path, settings.model)


def judged_by(stage: str, reward: str, judge: str, *, both: bool = False) -> None:
    """Raise UserError unless a reward model or a judge is named, and not both where one is asked."""
    if reward and judge and not both:
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
    if "cost_limit" in summary:
        costs = f"cost {summary['cost_first']:.3f} -> {summary['cost_last']:.3f}"
        figures.append(f"{costs} (limit {summary['cost_limit']:g})")
    if summary["kl_last"] is not None:
        figures.append(f"KL {summary['kl_last']:.2f} nats per completion")
    return ", ".join(figures)
