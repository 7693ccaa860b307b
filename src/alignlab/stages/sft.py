"""Supervised fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..run import writing
from ..settings import SFTSettings
from .stage import card, done, open_run, outside, rate, result, within_context


def sft(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: SFTSettings, count: int = 0
) -> dict[str, Any]:
    """Supervised fine-tuning on demonstrations."""
    demonstrations = names.data.read(data, "demonstration", seed=seed, count=count)
    run = open_run("sft", out, settings, seed, resume, models=[model], data=[demonstrations])
    if run.done:
        return done(run)
    from ..methods import sft as method
    from ..models.load import load_policy, save_policy

    policy = load_policy(names.known.model_path(model), settings.model, settings.adapter, trainable=True)
    after = outside(run, policy, model, (d.completion for d in demonstrations.records))
    summary = (
        method.train(
            run, policy, demonstrations.records, within_context(run, settings, policy.model), seed=seed
        )
        | after()
    )
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=card("SFT", model, data, seed, summary))
    run.finish(summary)
    return result(run, f"held-out loss {rate(summary['eval_loss_before'])} -> {rate(summary['eval_loss'])}")
