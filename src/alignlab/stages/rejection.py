"""Rounds of sampling, scoring and SFT on the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..settings import RejectionSettings
from .on_policy import learn


def rejection(
    *,
    model: str,
    reward: str,
    judge: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: RejectionSettings,
    count: int = 0,
) -> dict[str, Any]:
    """Rounds of sampling, scoring and SFT on the best."""
    return learn(
        "rejection",
        "rejection",
        "rejection sampling",
        model=model,
        reward=reward,
        judge=judge,
        data=data,
        gold=gold,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        count=count,
    )
