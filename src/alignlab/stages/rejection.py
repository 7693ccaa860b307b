"""Rounds of sampling, scoring and SFT on the best."""

from __future__ import annotations

from typing import Any, Unpack

from ..settings import RejectionSettings
from .on_policy import Asked, Loaded, learn
from .stage import Summary


def rejection(*, settings: RejectionSettings, **asked: Unpack[Asked]) -> dict[str, Any]:
    """Rounds of sampling, scoring and SFT on the best."""

    def train(it: Loaded) -> Summary:
        from ..methods import rejection

        return rejection.train(
            it.run, it.policy, it.reference, it.prompts, settings, judge=it.judge, gold=it.gold, seed=it.seed
        )

    return learn("rejection", "rejection sampling", train, settings=settings, **asked)
