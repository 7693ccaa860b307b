"""A policy from completions that were liked or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..settings import KTOSettings
from .direct import learn_directly
from .rankings import labelled


def kto(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: KTOSettings, count: int = 0
) -> dict[str, Any]:
    """Kahneman-Tversky optimisation from completions that were liked or not; of rankings and comparisons,
    from each completion by itself.
    """
    return learn_directly(
        "kto",
        "KTO",
        labelled,
        "kto",
        model=model,
        data=data,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        count=count,
    )
