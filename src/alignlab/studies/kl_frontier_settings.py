"""Settings of the study `kl-frontier`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..recipes.settings import on_policy
from ..settings import PPOSettings, RLOOSettings, setting
from .settings import FEW, CurveSettings, Measured, Rewarded, group


@dataclass(frozen=True, kw_only=True)
class KLFrontierSettings:
    """The study `kl-frontier`: which penalties are tried."""

    ppo_kl_coefs: str = setting("0,0.2,1", "PPO's kl_coef, comma separated; empty = no PPO")
    rloo_kl_coefs: str = setting(
        "0.000001,0.2,1", "RLOO's kl_coef; 0 itself would ask no reference and log no KL; empty = no RLOO"
    )
    dpo_betas: str = setting("0.03,0.3,1", "DPO's beta; empty = no DPO")
    curve: CurveSettings = field(default_factory=CurveSettings)
    ppo: PPOSettings = field(default_factory=lambda: on_policy(kl_coef=0.1, lr=2e-4, rollouts=128))
    rloo: RLOOSettings = field(default_factory=lambda: group(kl_coef=0.1, lr=2e-4))


@dataclass(frozen=True, kw_only=True)
class Swept(Rewarded):
    """Of a study whose policies are trained under several penalties."""

    kl_frontier: KLFrontierSettings = field(default_factory=KLFrontierSettings)


@dataclass(frozen=True, kw_only=True)
class KLFrontier(Swept, Measured):
    """All that the study reads."""


FAST_SWEEP = KLFrontierSettings(
    ppo_kl_coefs="0,0.2",
    rloo_kl_coefs="0.2",
    dpo_betas="0.1,1",
    curve=CurveSettings(most=16),
    ppo=on_policy(kl_coef=0.1, lr=4e-4, steps=8, rollouts=64),
    rloo=group(kl_coef=0.1, lr=4e-4, steps=8),
)
FAST = KLFrontier(**FEW, measured=60, kl_frontier=FAST_SWEEP)
