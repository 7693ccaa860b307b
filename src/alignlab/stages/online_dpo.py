"""DPO on pairs that the policy writes while it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..settings import OnlineDPOSettings
from .on_policy import learn


def online_dpo(
    *,
    model: str,
    reward: str,
    judge: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: OnlineDPOSettings,
    count: int = 0,
) -> dict[str, Any]:
    """DPO on pairs that the policy writes while it learns."""
    return learn(
        "online-dpo",
        "online_dpo",
        "online DPO",
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
