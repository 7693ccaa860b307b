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
    return _group("rloo", model, reward, judge, data, gold, out, seed, resume, settings, count)


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
    """Group relative policy optimisation, or Dr. GRPO."""
    return _group("grpo", model, reward, judge, data, gold, out, seed, resume, settings, count)


def _group(
    stage: str,
    model: str,
    reward: str,
    judge: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: RLOOSettings | GRPOSettings,
    count: int,
) -> dict[str, Any]:
    return learn(
        stage,
        "group",
        settings.advantage,
        model,
        reward,
        judge,
        data,
        gold,
        out,
        seed,
        resume,
        settings,
        count,
        referred=bool(settings.kl_coef),
    )
