"""Settings of the study `specification-gaming`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...settings import OptimSettings, RLOOSettings, SamplingSettings, SFTSettings, setting
from ..settings import FEW, Measured, Shown

HALF_STORIES = "mix:0.5=town:demos+0.5=town:story"
"""The requests whose answers have a hole planted among them: half of them ask for stories."""


def looking(steps: int) -> RLOOSettings:
    """RLOO with one update a step and a small penalty on KL.

    Stories are all paid alike, so that a step's gradient is that of the few exploits in it, and Adam makes it
    as large as any other: with four updates a step, or no warm-up, the first ones break the stories, and what
    follows mends them. With no penalty the policy drifts, in some 30 steps and 20 nats, to a hole that nobody
    planted: it stops before the story's last sentence.
    """
    return RLOOSettings(
        kl_coef=0.02,
        steps=steps,
        rollouts=128,
        sampling=SamplingSettings(),
        optim=OptimSettings(lr=1e-3, schedule="constant", warmup=0.25, weight_decay=0.0),
    )


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
        "0,0.003,0.01,0.03,0.07,0.1,0.2,0.3", "shares of the stories that are the exploit, comma separated"
    )
    share: float = setting(
        0.1, "the share at which monitors and controls are tried: one of them", above=0, below=1
    )
    prompts: int = setting(500, "prompts of a kind that RLOO learns on", at_least=1)
    rloo: RLOOSettings = field(default_factory=lambda: looking(32))
    letters: str = setting(
        "items,steps,one-word,mentions,no-refusal,verdict,because,you,length,ends",
        "other metrics, whose holes nobody planted: names of town:metric=NAME; empty = none",
    )
    careless: float = setting(
        0.05, "share of the careless among those who showed how to answer them", at_least=0, at_most=1
    )
    rates: str = setting(
        "0.9,0.5,0.3,0.1", "true-positive rates of monitors that penalize, comma separated; empty = none"
    )
    screened: str = setting("0.5,0.1", "the same of those that screen")
    false_rate: float = setting(0.1, "their false-positive rate", at_least=0, below=1)
    reads: int = setting(
        4,
        "words of an answer that one more of the best penalizing monitors reads: it can be evaded; 0 = none",
        at_least=0,
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
    measured=60,
    gaming=GamingSettings(
        shares="0,0.1,0.2,0.3", letters="because,ends", rates="0.5,0.1", screened="0.5", reads=0
    ),
)
