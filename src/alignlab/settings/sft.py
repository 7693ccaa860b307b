"""Supervised fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .shared import TRUNCATE_HELP, AdapterSettings, DataTraining, ModelSettings, OptimSettings, setting


@dataclass(frozen=True, kw_only=True)
class SFTSettings(DataTraining):
    """Supervised fine-tuning on completion tokens only (InstructGPT, section 3.5)."""

    epochs: float = setting(2.0, "passes over the demonstrations", above=0)
    batch: int = setting(16, "demonstrations per step", at_least=1)
    micro_batch: int = setting(0, "demonstrations per forward pass; 0 = the whole batch", at_least=0)
    max_length: int = setting(
        512,
        "tokens; truncate says what becomes of a longer demonstration; the default is for models of the town",
        at_least=1,
    )
    truncate: Literal["start", "end", "drop"] = setting("end", TRUNCATE_HELP)
    packing: bool = setting(False, "several demonstrations a row, attention kept apart")
    train_on: Literal["last", "all"] = setting("last", "assistant turns that carry the loss")
    held_out: float = setting(0.05, "share of the questions kept for the held-out loss", at_least=0, below=1)
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=7e-4))
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
