"""Settings of the study `quantisation`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...recipes.settings import on_policy, pairs_once
from ...settings import (
    CollectSettings,
    DPOSettings,
    EvalSettings,
    LikelihoodSettings,
    PPOSettings,
    RewardSettings,
    SamplingSettings,
    SFTSettings,
    setting,
)
from ..settings import StudySettings

WIDTHS = (8, 6, 5, 4, 3, 2)
"""Bits of a code at which two models are compared."""


@dataclass(frozen=True)
class RoundingSettings:
    """How the weights of a model are rounded, and where what rounding changes is put."""

    kind: Literal["f16", "q8_0", "q4_1", "q4_0", "plain"] = setting(
        "q4_0", "as `export --gguf` writes them, or plain rounding of the same matrices to `bits`"
    )
    bits: int = setting(4, "bits of a code, where rounding is plain", at_least=2, at_most=8)
    place: Literal["own", "shuffled", "other", "changed", "scales"] = setting(
        "own",
        "own = each weight is rounded; shuffled = what rounding adds to the weights of a matrix, dealt among "
        "them at random; other = what rounding adds to another model is added; changed, scales = the other "
        "model rounded, with this one's weights where its code differs, or where it does not",
    )


@dataclass(frozen=True, kw_only=True)
class Quantisation(StudySettings):
    """All that the study reads."""

    test: str = setting("town:test", "prompts on which everything is measured, of one side", names="data")
    demonstrations: int = setting(3000, "demonstrations for SFT", at_least=1)
    prompts: int = setting(5500, "prompts that are ranked for the reward model and DPO", at_least=1)
    ppo_prompts: int = setting(4000, "prompts PPO draws from", at_least=1)
    kinds: str = setting("f16,q8_0,q4_1,q4_0", "kinds of GGUF weights, comma separated")
    bits: str = setting("6,5,3,2", "bits of plain rounding, comma separated; empty = none")
    cliff: int = setting(
        3, "bits of plain rounding at which there are controls beside those of q4_0", at_least=2, at_most=8
    )
    texts: str = setting("town:corpus", "documents whose loss is measured", names="data")
    documents: int = setting(300, "how many documents", at_least=2)
    sft: SFTSettings = field(default_factory=SFTSettings)
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(from_others=0.5, held_out=0.1, sampling=SamplingSettings())
    )
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(epochs=2.0))
    dpo: DPOSettings = field(default_factory=lambda: pairs_once(beta=0.3))
    ppo: PPOSettings = field(default_factory=lambda: on_policy(kl_coef=0.1, lr=2e-4, rollouts=128))
    eval: EvalSettings = field(default_factory=lambda: EvalSettings(prompts=1000))
    likelihood: LikelihoodSettings = field(default_factory=LikelihoodSettings)


FAST = Quantisation(
    demonstrations=1000,
    prompts=1200,
    ppo_prompts=1000,
    kinds="q8_0,q4_0",
    bits="3,2",
    documents=60,
    reward=RewardSettings(epochs=1.0),
    ppo=on_policy(kl_coef=0.1, lr=2e-4, steps=12, rollouts=128),
    eval=EvalSettings(prompts=400),
)
