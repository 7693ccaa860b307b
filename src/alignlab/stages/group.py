"""Methods that set several completions of a prompt against each other: RLOO, GRPO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..settings import GRPOSettings, RLOOSettings
from .on_policy import learn


def rloo(
    *,
    model: str,
    reward: str,
    judge: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: RLOOSettings,
    count: int = 0,
) -> dict[str, Any]:
    """REINFORCE whose baseline is the prompt's other completions, or the batch's mean."""
    return learn(
        "rloo",
        "group",
        settings.advantage,
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
        referred=bool(settings.kl_coef),
    )


def grpo(
    *,
    model: str,
    reward: str,
    judge: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: GRPOSettings,
    count: int = 0,
) -> dict[str, Any]:
    """Group relative policy optimization, or Dr. GRPO."""
    return learn(
        "grpo",
        "group",
        settings.advantage,
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
        referred=bool(settings.kl_coef),
    )
