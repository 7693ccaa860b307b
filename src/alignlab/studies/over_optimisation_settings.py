"""Settings of the study `over-optimisation` (Gao et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..recipes.settings import on_policy
from ..settings import PPOSettings, RLOOSettings, setting
from .settings import FEW, CurveSettings, Measured, Rewarded, group


@dataclass(frozen=True, kw_only=True)
class OverOptimisationSettings:
    """The study `over-optimisation` (Gao et al. 2022)."""

    sizes: str = setting(
        "town-s,town-l",
        (
            "base models of other reward models, comma separated; empty = none. The town's were pretrained "
            "on unlike numbers of tokens"
        ),
        names="policies",
    )
    few: int = setting(8, "one reward model gets one in so many of the rankings", at_least=1)
    dpo_betas: str = setting("0.03,0.1,0.3", "betas of DPO, comma separated")
    rl_steps: str = setting(
        "1,2,4,8,16,32", "steps of PPO and RLOO without a penalty, comma separated: a run of each length"
    )
    labelled: int = setting(
        100, "prompts whose answers are labelled by gold, for the proposal where to stop", at_least=1
    )
    draws: int = setting(
        200,
        (
            "times that prompts are dealt anew into labelled ones and those that say where gold's peak is, "
            "to see how far a proposal can be relied on"
        ),
        at_least=1,
    )
    always_n: int = setting(8, "the control that looks at nothing: always best of so many", at_least=1)
    always_steps: int = setting(8, "the same for PPO and RLOO: always so many steps", at_least=1)
    resamples: int = setting(1000, "bootstrap resamples of the laws' intervals", at_least=1)
    ppo: PPOSettings = field(default_factory=lambda: on_policy(kl_coef=0.0, lr=2e-4, rollouts=128))
    rloo: RLOOSettings = field(default_factory=lambda: group(kl_coef=1e-6, lr=2e-4))


@dataclass(frozen=True, kw_only=True)
class OverOptimisation(Rewarded, Measured):
    """All that the study reads."""

    curve: CurveSettings = field(default_factory=CurveSettings)
    over_optimisation: OverOptimisationSettings = field(default_factory=OverOptimisationSettings)


FAST = OverOptimisation(
    **FEW,
    measured=60,
    curve=CurveSettings(most=16),
    over_optimisation=OverOptimisationSettings(
        sizes="",
        dpo_betas="0.1",
        rl_steps="1,2,4,8",
        labelled=20,
        always_n=4,
        always_steps=4,
        ppo=on_policy(kl_coef=0.0, lr=5e-4, rollouts=64),
        rloo=group(kl_coef=1e-6, lr=5e-4),
    ),
)
