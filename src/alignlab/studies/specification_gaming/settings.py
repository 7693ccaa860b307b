"""Settings of the study `specification-gaming`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...settings import OptimSettings, RLOOSettings, SFTSettings, setting
from ..settings import FEW, Measured, Shown, group

HALF_STORIES = "mix:0.5=town:demos+0.5=town:story"
"""The requests whose answers have a hole planted among them: half of them ask for stories."""


@dataclass(frozen=True, kw_only=True)
class GamingSettings:
    """The hole, who looks for it and who watches."""

    demonstrations: int = setting(
        1500,
        "demonstrations of each start, half of them stories, of which the town has some 790",
        at_least=4,
        at_most=1500,
    )
    shares: str = setting(
        "0,0.001,0.003,0.01,0.03,0.1,0.3", "shares of the stories that are the exploit, comma separated"
    )
    share: float = setting(
        0.03,
        "the share at which penalties, monitors, sizes and controls are tried: one of them",
        above=0,
        below=1,
    )
    prompts: int = setting(500, "prompts of a kind that RLOO learns on", at_least=1)
    rloo: RLOOSettings = field(default_factory=lambda: group(kl_coef=1e-6, lr=2e-4, steps=32))
    kl_coefs: str = setting("0.05,0.2", "weights of a KL penalty, comma separated; empty = none is tried")
    letters: str = setting(
        "items,steps,one-word,mentions,no-refusal,verdict,because,you,length,ends",
        "other metrics, whose holes nobody planted: names of town:metric=NAME; empty = none",
    )
    careless: float = setting(
        0.05, "share of the careless among those who showed how to answer them", at_least=0, at_most=1
    )
    sizes: str = setting(
        "town-s,town-l", "other bases that look for the hole, comma separated; empty = none", names="policies"
    )
    watched_steps: int = setting(64, "steps under a monitor: as many as RLOO's, or more", at_least=1)
    rates: str = setting("0.9,0.5,0.3,0.1", "true-positive rates of monitors, comma separated; empty = none")
    false_rate: float = setting(0.1, "their false-positive rate", at_least=0, below=1)
    reads: int = setting(
        4, "words of an answer that one monitor reads: it can be evaded; 0 = no such monitor", at_least=0
    )


@dataclass(frozen=True, kw_only=True)
class SpreadSettings:
    """Whether one slip brings others."""

    conversations: int = setting(1500, "conversations with careful and careless people", at_least=10)
    people: SFTSettings = field(default_factory=lambda: SFTSettings(train_on="all"))
    narrow: int = setting(300, "how-tos, all with a step left out", at_least=1)
    narrow_sft: SFTSettings = field(default_factory=lambda: SFTSettings(optim=OptimSettings(lr=3e-4)))


@dataclass(frozen=True, kw_only=True)
class SpecificationGaming(Shown, Measured):
    """All that the study reads."""

    gaming: GamingSettings = field(default_factory=GamingSettings)
    spread: SpreadSettings = field(default_factory=SpreadSettings)


FAST = SpecificationGaming(
    demonstrations=FEW["demonstrations"],
    measured=100,
    gaming=GamingSettings(
        demonstrations=1000,
        shares="0,0.01,0.03,0.1",
        prompts=200,
        rloo=group(kl_coef=1e-6, lr=4e-4, steps=16),
        kl_coefs="",
        letters="steps,verdict,because,length",
        sizes="",
        watched_steps=16,
        rates="0.5",
        reads=0,
    ),
    spread=SpreadSettings(conversations=500, narrow=150),
)
