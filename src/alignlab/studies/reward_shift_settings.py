"""Settings of the study `reward-shift`: its policies are those of `kl-frontier`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..settings import SamplingSettings, ShiftSettings, setting
from .kl_frontier_settings import FAST_SWEEP, Swept
from .settings import FEW


@dataclass(frozen=True, kw_only=True)
class RewardShift(Swept):
    """All that the study reads."""

    shift: ShiftSettings = field(
        default_factory=lambda: ShiftSettings(prompts=300, sampling=SamplingSettings())
    )
    shift_prompts: int = setting(
        1200,
        "prompts that are ranked anew, on the furthest policy's answers and on the SFT model's",
        at_least=1,
    )


FAST = RewardShift(
    **FEW,
    kl_frontier=FAST_SWEEP,
    shift=ShiftSettings(prompts=60, best_of="4", sampling=SamplingSettings()),
    shift_prompts=300,
)
