"""DPO on pairs that the policy writes while it learns."""

from __future__ import annotations

from typing import Any, Unpack

from ..settings import OnlineDPOSettings
from .on_policy import Asked, Loaded, learn
from .stage import Summary


def online_dpo(*, settings: OnlineDPOSettings, **asked: Unpack[Asked]) -> dict[str, Any]:
    """DPO on pairs that the policy writes while it learns."""

    def train(it: Loaded) -> Summary:
        from ..methods import online_dpo

        return online_dpo.train(
            it.run, it.policy, it.reference, it.prompts, settings, judge=it.judge, gold=it.gold, seed=it.seed
        )

    return learn("online-dpo", "online DPO", train, settings=settings, **asked)
