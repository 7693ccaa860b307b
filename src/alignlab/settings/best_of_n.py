"""Best of N."""

from __future__ import annotations

from dataclasses import dataclass, field

from .shared import ModelSettings, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class BestOfNSettings:
    """The best of N samples by the reward model; no training (Stiennon et al. 2020)."""

    per_prompt: int = setting(4, "N: samples that the answer is picked from", at_least=1)
    curve_max: int = setting(
        0,
        "draw proxy and gold against N up to this many samples per prompt, at temperature 1; "
        "0 = only per_prompt",
        at_least=0,
    )
    curve_prompts: int = setting(200, "prompts of that curve", at_least=0)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
