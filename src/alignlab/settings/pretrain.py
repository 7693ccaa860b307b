"""Pretraining a base model, and reading on until it is a critic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .shared import ModelSettings, OptimSettings, Training, setting


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(Training):
    size: Literal["s", "m", "l"] = setting("m", "shape of the model, see `alignlab.town.shapes`")
    tokens: int = setting(20_000_000, "tokens to train on", at_least=1)
    context: int = setting(128, "tokens a row", at_least=2)
    batch: int = setting(8, "rows per step", at_least=1)
    vocabulary: int = setting(1536, "size of the byte-pair vocabulary, trained first", at_least=1)
    optim: OptimSettings = field(
        default_factory=lambda: OptimSettings(lr=2e-3, warmup=0.02, weight_decay=0.1)
    )
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class CriticSettings(Training):
    """A base model reads on: columns of an editor who works under a given principle (the tiny model's
    counterpart of few-shot prompts).
    """

    tokens: int = setting(1_200_000, "tokens to train on", at_least=1)
    keep: float = setting(
        0.1,
        "share of them, at least, from the documents that it was made of, so that it does not forget",
        at_least=0,
        at_most=1,
    )
    context: int = setting(
        256,
        "tokens a row: whole documents as far as they fit, then the beginning of one that is kept",
        at_least=2,
    )
    batch: int = setting(8, "rows per step", at_least=1)
    cases: int = setting(
        200,
        "drafts on which it is measured, on each of seen and held-out topics and phrasings; 0 = not measured",
        at_least=0,
    )
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=1.5e-3, weight_decay=0.1))
    model: ModelSettings = field(default_factory=ModelSettings)
