"""Settings of the study `mixed-demonstrations`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..settings import CollectSettings, DPOSettings, OptimSettings, SamplingSettings, SFTSettings, setting
from .settings import Measured, Taught


@dataclass(frozen=True, kw_only=True)
class MixedSettings:
    """The study `mixed-demonstrations`."""

    shares: str = setting("0,0.5,1", "shares of good demonstrators, comma separated")
    control: float = setting(
        0.5, "the share at which the controls are run: one of them", at_least=0, at_most=1
    )
    prompts: int = setting(1200, "prompts whose samples are ranked, for each share", at_least=1)
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(from_others=0.0, held_out=0.1, sampling=SamplingSettings())
    )
    dpo: DPOSettings = field(
        default_factory=lambda: DPOSettings(beta=0.3, pairs_per_prompt=3, optim=OptimSettings(lr=1e-4))
    )
    more: SFTSettings = field(default_factory=lambda: SFTSettings(epochs=1.0, optim=OptimSettings(lr=3e-4)))


@dataclass(frozen=True, kw_only=True)
class MixedDemonstrations(Taught, Measured):
    """All that the study reads."""

    mixed: MixedSettings = field(default_factory=MixedSettings)


FAST = MixedDemonstrations(
    demonstrations=1000, measured=60, mixed=MixedSettings(shares="0,0.5,1", prompts=300)
)
