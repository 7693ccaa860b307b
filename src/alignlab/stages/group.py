"""Methods that set several completions of a prompt against each other: RLOO, GRPO."""

from __future__ import annotations

from typing import Any, Unpack

from ..settings import GRPOSettings, RLOOSettings
from .on_policy import Asked, Loaded, learn
from .stage import Summary


def rloo(*, settings: RLOOSettings, **asked: Unpack[Asked]) -> dict[str, Any]:
    """REINFORCE whose baseline is the prompt's other completions, or the batch's mean."""
    return _group("rloo", settings, **asked)


def grpo(*, settings: GRPOSettings, **asked: Unpack[Asked]) -> dict[str, Any]:
    """Group relative policy optimization, or Dr. GRPO."""
    return _group("grpo", settings, **asked)


def _group(stage: str, settings: RLOOSettings | GRPOSettings, **asked: Unpack[Asked]) -> dict[str, Any]:
    def train(it: Loaded) -> Summary:
        from ..methods import group

        return group.train(
            it.run, it.policy, it.reference, it.prompts, settings, judge=it.judge, gold=it.gold, seed=it.seed
        )

    return learn(
        stage, settings.advantage, train, settings=settings, referred=bool(settings.kl_coef), **asked
    )
