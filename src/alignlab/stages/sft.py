"""Supervised fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..run import RunDir
from ..settings import SFTSettings
from .stage import Summary, rate, train_policy, within_context


def sft(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: SFTSettings, count: int = 0
) -> dict[str, Any]:
    """Supervised fine-tuning on demonstrations."""
    demonstrations = names.data.read(data, "demonstration", seed=seed, count=count)

    def train(run: RunDir, policy: Any) -> Summary:
        from ..methods import sft

        fitting = within_context(run, settings, policy.model)
        return sft.train(run, policy, demonstrations.records, fitting, seed=seed)

    def said(summary: Summary) -> str:
        return f"held-out loss {rate(summary['eval_loss_before'])} -> {rate(summary['eval_loss'])}"

    return train_policy(
        "sft",
        "SFT",
        names.models.model(model),
        train,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        uses=[demonstrations],
        said=said,
        learnt=(d.completion for d in demonstrations.records),
    )
