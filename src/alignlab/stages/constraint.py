"""PPO under a constraint (Safe RLHF): a reward less a price for cost, where a cost model is named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import names
from ..errors import ConfigError, UserError
from ..settings import PPOSettings

if TYPE_CHECKING:
    from ..feedback import Judge


def check(cost: str, settings: PPOSettings) -> None:
    """Raise ConfigError for settings of a constraint without a cost model."""
    plain = PPOSettings()
    for name in ("cost_limit", "cost_kind", "lambda_start", "lambda_lr", "lambda_max"):
        if getattr(settings, name) != getattr(plain, name) and not cost:
            raise ConfigError(
                f"{name} = {getattr(settings, name)}, but no cost model is named",
                remedy="--cost RUN, a run of `alignlab reward --safety 1`",
            )


def constrained(scores: Judge, cost: names.models.Model | None, settings: PPOSettings) -> Judge:
    """The judge of constrained PPO; without a cost model, the judge itself.

    Raises:
        UserError: a cost model whose zero means nothing.
    """
    if cost is None:
        return scores
    from ..feedback.lagrange import LagrangeJudge
    from ..feedback.reward_model import RewardModelJudge
    from ..models.load import load_reward_model

    cost_model = load_reward_model(cost.path, replace(settings.model, shard=False))
    if not getattr(cost_model.model.config, "cost_model", False):
        raise UserError(
            f"{cost.name} is a reward model, not a cost model: its zero does not part safe from unsafe",
            where=cost.name,
            remedy="alignlab reward --safety 1 on data with safe and unsafe labels",
        )
    return LagrangeJudge(
        scores,
        RewardModelJudge(cost_model, normalize=False),
        limit=settings.cost_limit,
        kind=settings.cost_kind,
        start=settings.lambda_start,
        lr=settings.lambda_lr,
        maximum=settings.lambda_max,
    )
