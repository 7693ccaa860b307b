"""Settings of the study `whose-values`."""

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
from ..settings import StudySettings, group


def learning(lr: float, epochs: float) -> DPOSettings:
    """DPO on all pairs, none kept for testing: the question is what it learns of each matter."""
    optim = OptimSettings(lr=lr)
    return DPOSettings(epochs=epochs, held_out=0.0, optim=optim)


@dataclass(frozen=True)
class RankedSettings:
    """Who ranks, on what, and what has happened to them since."""

    group: str = setting("", "the group whose people rank; empty = everybody")
    shuffled: bool = setting(False, "the control: everybody's ranks are dealt out anew at random")
    influence: float = setting(
        0.0, "the chance that somebody moves to the side the model took", at_least=0, at_most=1
    )
    news: int = setting(0, "people whom the news turns, on each matter that it is about", at_least=0)


@dataclass(frozen=True)
class PairsSettings:
    """Simulated people who answer made-up matters with yes or no."""

    people: int = setting(60, "people, each asked in every wording", at_least=2)
    temperature: float = setting(0.25, "of a comparison, where the own side is worth 1", above=0)
    shuffled: bool = setting(False, "the control: their ranks are dealt out anew at random")


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """Generations of people who listen to a model that learns from them."""

    generations: int = setting(6, "generations", at_least=1)
    news: int = setting(3, "the generation in which the news begins, on half of the matters", at_least=1)
    turned: int = setting(6, "of sixty people, how many the news turns each generation", at_least=0)
    influence: float = setting(
        0.45,
        "the chance that somebody who asks the model moves to the side it took; it takes one in about two of "
        "three answers",
        at_least=0,
        at_most=1,
    )
    arms: str = setting(
        "sharp,matching,moving",
        "models that learn: sharp (beta as `sharp`), matching (the beta at which a model says what the town "
        "thinks), moving (the same, each from the last model)",
    )


@dataclass(frozen=True, kw_only=True)
class ValuesSettings:
    """The study `whose-values`."""

    betas: str = setting("1,0.5,0.3,0.1", "betas of DPO, comma separated; `sharp` is one of them")
    sharp: float = setting(
        0.3, "the beta of the loop, of the even-handed rule and of random preferences", above=0
    )
    rule: str = setting("town:fair", "the annotator that pays both sides", names="annotator")
    groups: bool = setting(True, "remedies that know the groups: a reward model and a policy of each")
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(
            per_prompt=9, from_others=0.0, held_out=0.0, sampling=SamplingSettings()
        )
    )
    dpo: DPOSettings = field(default_factory=lambda: learning(3e-4, 8.0))
    reward: RewardSettings = field(
        default_factory=lambda: RewardSettings(held_out=0.0, epochs=8.0, center=0.01)
    )
    rloo: RLOOSettings = field(default_factory=lambda: group(lr=2e-4, steps=16, kl_coef=0.1))
    loop: LoopSettings = field(default_factory=LoopSettings)


@dataclass(frozen=True, kw_only=True)
class RealSettings:
    """The law on another model: made-up matters, yes or no."""

    betas: str = setting("1,0.3", "betas of DPO, comma separated")
    people: int = setting(60, "simulated people, each asked in every wording", at_least=2)
    temperature: float = setting(0.25, "of their comparisons", above=0)
    lr: float = setting(5e-4, "of DPO", above=0)
    epochs: float = setting(20.0, "passes over the pairs", above=0)
    adapter: AdapterSettings = field(default_factory=lambda: AdapterSettings(rank=16))
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class WhoseValues(StudySettings):
    """All that the study reads."""

    test: str = setting(
        "town:test", "whose wordings the matters are asked in: town:test, or the town's other held-out side"
    )
    demonstrations: int = setting(3000, "demonstrations for SFT", at_least=1)
    sft: SFTSettings = field(default_factory=lambda: SFTSettings(epochs=3.0))
    values: ValuesSettings = field(default_factory=ValuesSettings)
    real: RealSettings = field(default_factory=RealSettings)


FAST = WhoseValues(
    values=ValuesSettings(
        betas="1,0.5,0.3", groups=False, dpo=learning(3e-4, 5.0), loop=LoopSettings(arms="sharp,matching")
    )
)
