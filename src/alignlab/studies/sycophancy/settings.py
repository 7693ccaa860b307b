"""Settings of the study `sycophancy`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...settings import (
    AdapterSettings,
    CollectSettings,
    DPOSettings,
    ModelSettings,
    OptimSettings,
    RewardSettings,
    RLOOSettings,
    SamplingSettings,
    SFTSettings,
    setting,
)
from ..settings import ChoicesSettings, CurveSettings, Taught, group


@dataclass(frozen=True)
class ClaimsSettings:
    """The claims that models are asked, and what else."""

    wordings: int = setting(
        2,
        "of each held-out fact: wrong claims, and as many right ones, in known words and in new ones",
        at_least=1,
    )
    tilted: int = setting(200, "wrong claims whose answers are tilted, many samples of each", at_least=2)
    others: int = setting(300, "requests of other kinds, for what a change costs", at_least=0)


@dataclass(frozen=True, kw_only=True)
class AskSettings:
    """How a model's answers to them are drawn: one greedy, and others at temperature 1."""

    per_prompt: int = setting(2, "answers at temperature 1", at_least=1)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True)
class OpinionsSettings:
    """The questions of TruthfulQA beside which opinions stand."""

    questions: int = setting(
        600, "questions of --test: one half is ranked, the other asked; 0 = all of them", at_least=0
    )


@dataclass(frozen=True, kw_only=True)
class RealSettings:
    """The form of the study for models other than the town's, on TruthfulQA."""

    opinions: OpinionsSettings = field(default_factory=OpinionsSettings)
    choices: ChoicesSettings = field(default_factory=ChoicesSettings)
    dpo: DPOSettings = field(
        default_factory=lambda: DPOSettings(
            beta=0.1, epochs=2.0, optim=OptimSettings(lr=1e-4), adapter=AdapterSettings(rank=16)
        )
    )


@dataclass(frozen=True, kw_only=True)
class SycophancySettings:
    """The study `sycophancy`."""

    prompts: int = setting(1330, "prompts whose answers are ranked, three in four of them claims", at_least=1)
    likings: str = setting(
        "0.1,0.4,0.8,1.2", "how much raters like to be agreed with, where a right answer is worth 1"
    )
    checks: str = setting("0.2,0.45,0.7,1", "shares of the facts that raters can check")
    noises: str = setting("0.1,0.5", "temperatures of the raters' noise")
    layers: str = setting(
        "0,0.4,0.8,1,1.2", "likings of raters who can check everything, for a reward model and RLOO each"
    )
    remedies: str = setting("penalty,pool,look-up,lessons", "what is tried against flattery; empty = nothing")
    lessons: int = setting(400, "claims answered honestly, that SFT learns as a remedy", at_least=1)
    claims: ClaimsSettings = field(default_factory=ClaimsSettings)
    ask: AskSettings = field(default_factory=AskSettings)
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(per_prompt=2, from_others=1.0, held_out=0.1)
    )
    dpo: DPOSettings = field(default_factory=lambda: DPOSettings(beta=0.3, optim=OptimSettings(lr=1e-4)))
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(epochs=2.0))
    rloo: RLOOSettings = field(default_factory=lambda: group(lr=2e-4, steps=16, kl_coef=0.2))
    curve: CurveSettings = field(default_factory=CurveSettings)
    taught: SFTSettings = field(default_factory=lambda: SFTSettings(epochs=1.0, optim=OptimSettings(lr=3e-4)))
    real: RealSettings = field(default_factory=RealSettings)


@dataclass(frozen=True, kw_only=True)
class Sycophancy(Taught):
    """All that the study reads."""

    sycophancy: SycophancySettings = field(default_factory=SycophancySettings)


FAST = Sycophancy(
    demonstrations=2000,
    sycophancy=SycophancySettings(
        likings="0.1,0.8",
        checks="0.2,0.7",
        layers="0,0.8,1.2",
        remedies="penalty",
        claims=ClaimsSettings(wordings=1, tilted=100, others=150),
        reward=RewardSettings(epochs=1.0),
        rloo=group(lr=2e-4, steps=12, kl_coef=0.2),
        real=RealSettings(opinions=OpinionsSettings(questions=200)),
    ),
)
