"""Measuring models: evaluation, likelihood, and reward models away from their data."""

from __future__ import annotations

from dataclasses import dataclass, field

from .shared import ModelSettings, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    prompts: int = setting(1000, "held-out prompts, the same for every model; 0 = all", at_least=0)
    sampled: bool = setting(True, "also at temperature 1")
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(temperature=0.0))
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class LikelihoodSettings:
    """What a model makes of held-out text."""

    max_length: int = setting(
        512,
        "tokens; a longer record is dropped and counted; the default is for models of the town",
        at_least=1,
    )
    held_out: float = setting(
        1.0,
        (
            "share of the questions that is measured: with the same --seed those that a stage with this "
            "held_out kept for testing; 1 = all"
        ),
        above=0,
        at_most=1,
    )
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class ShiftSettings:
    """A reward model's accuracy on what policies write."""

    prompts: int = setting(400, "held-out prompts, the same for every policy", at_least=1)
    per_prompt: int = setting(4, "completions per prompt, compared in pairs", at_least=2)
    best_of: str = setting(
        "4,16", "also the best of so many samples of the reference, comma separated; empty = none"
    )
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
