"""A policy from completions that were liked or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..run import RunDir
from ..settings import KTOSettings
from .direct import implicit_accuracy
from .rankings import labelled
from .stage import Summary, train_policy, within_context


def kto(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: KTOSettings, count: int = 0
) -> dict[str, Any]:
    """Kahneman-Tversky optimization from completions that were liked or not; of rankings and comparisons,
    from each completion by itself.
    """
    completions = labelled(data, seed, count, settings.held_out)

    def train(run: RunDir, policy: Any) -> Summary:
        from ..methods import kto

        run.note(completions.note)
        fitting = within_context(run, settings, policy.model)
        return kto.train(run, policy, completions.train, fitting, seed=seed, held_out=completions.test)

    return train_policy(
        "kto",
        "KTO",
        names.models.model(model),
        train,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        uses=completions.parts,
        said=implicit_accuracy,
        learnt=(one.completion for one in completions.train if one.label),
    )
