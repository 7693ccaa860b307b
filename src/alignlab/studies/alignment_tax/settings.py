"""Settings of the study `alignment-tax`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...recipes.settings import on_policy
from ...settings import (
    AdapterSettings,
    CollectSettings,
    DistilSettings,
    DPOSettings,
    EvalSettings,
    LikelihoodSettings,
    OptimSettings,
    PPOSettings,
    ReviseSettings,
    RewardSettings,
    SamplingSettings,
    SFTSettings,
    setting,
)
from ..settings import ChoicesSettings, StudySettings


@dataclass(frozen=True, kw_only=True)
class LessonSettings:
    """What a model is taught next: its own answers to ordinary prompts, some of which make room."""

    ordinary: int = setting(1500, "ordinary prompts, neither harm nor look-alikes", at_least=1)
    replaced: int = setting(350, "how many of them make room for requests for harm", at_least=0)
    twins: float = setting(
        0.0, "for each of these, how many more make room for look-alikes, answered", at_least=0, at_most=1
    )
    lesson: Literal["refuse", "answer", "dealt"] = setting(
        "refuse",
        "refuse = harm is refused; answer = it is answered as the start itself does; dealt = as many "
        "refusals are dealt at random over harm and as many ordinary prompts",
    )
    manner: Literal["town", "foreign"] = setting(
        "town", "words of the refusals: those that the base model has read, or some that it has not"
    )


@dataclass(frozen=True, kw_only=True)
class TaxSettings:
    """The study `alignment-tax`: which arms it has, and how they are trained."""

    ordinary: int = setting(
        1500, "prompts of each training: ordinary ones and those in their place", at_least=1
    )
    doses: str = setting(
        "50,150,350",
        "how many of them are refusals of harm, comma separated; the largest is the dose of all else",
    )
    twins: str = setting(
        "0.25,0.5", "look-alikes answered for each refusal of the largest dose, comma separated"
    )
    methods: str = setting("dpo,ppo,ppo-ptx", "methods beside SFT, comma separated; empty = none")
    remedies: str = setting(
        "dealt,foreign,lora",
        "other SFT of the largest dose, comma separated: refusals dealt at random, refusals in foreign "
        "words, an adapter; empty = none",
    )
    blends: str = setting(
        "0.5,0.7,0.8,0.9", "shares of the safe model's weights in a blend with the start, comma separated"
    )
    stops: str = setting("0.1,0.25,0.5", "shares of the epoch after which the same SFT is stopped")
    sizes: str = setting(
        "town-s,town-l", "base models of other sizes, comma separated; empty = none", names="policies"
    )
    ranked: int = setting(1500, "harmless prompts whose answers are ranked, for DPO and PPO", at_least=1)
    safe_ranked: int = setting(
        1000, "requests for harm and look-alikes whose answers are ranked, for PPO", at_least=1
    )
    texts: str = setting("town:corpus", "documents whose loss is measured", names="data")
    documents: int = setting(300, "how many documents", at_least=2)
    lesson: SFTSettings = field(
        default_factory=lambda: SFTSettings(
            epochs=1.0, optim=OptimSettings(lr=1e-4, schedule="constant", warmup=0.0)
        )
    )
    adapter: AdapterSettings = field(default_factory=lambda: AdapterSettings(rank=8))
    distil: DistilSettings = field(
        default_factory=lambda: DistilSettings(sampling=SamplingSettings(temperature=0.0))
    )
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(from_others=0.5, held_out=0.1, sampling=SamplingSettings())
    )
    dpo: DPOSettings = field(
        default_factory=lambda: DPOSettings(beta=0.3, pairs_per_prompt=1, optim=OptimSettings(lr=1e-4))
    )
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(epochs=2.0, center=0.01))
    ppo: PPOSettings = field(default_factory=lambda: on_policy(kl_coef=0.1, lr=2e-4, steps=16, rollouts=128))
    ptx_coef: float = setting(0.01, "weight of the pretraining text in PPO-ptx", above=0)


@dataclass(frozen=True, kw_only=True)
class RealSettings:
    """The same for a model that is not the town's: what it forgets, by likelihood."""

    requests: str = setting("", "requests that SL-CAI answers, criticizes and revises", names="data")
    ordinary: str = setting(
        "",
        "demonstrations by people; the model answers their prompts itself, and their loss is measured",
        names="data",
    )
    comparisons: str = setting(
        "", "comparisons of which the chosen one is the harmless one, for DPO", names="data"
    )
    texts: str = setting("", "documents whose loss is measured; empty = none", names="data")
    constitution: str = setting("general", "by whose principles is revised", names="constitution")
    count: int = setting(64, "requests that are revised, and comparisons for DPO", at_least=1)
    measured: int = setting(
        0,
        "demonstrations, comparisons and documents, at most, of which the held-out share has its loss "
        "measured; 0 = all of each",
        at_least=0,
    )
    revise: ReviseSettings = field(
        default_factory=lambda: ReviseSettings(
            rounds=1,
            helpful_count=60,
            sampling=SamplingSettings(max_new_tokens=64, temperature=0.5),
            critic_sampling=SamplingSettings(max_new_tokens=80, temperature=0.5),
        )
    )
    sft: SFTSettings = field(
        default_factory=lambda: SFTSettings(
            epochs=1.0, batch=8, micro_batch=4, max_length=256, held_out=0.1, optim=OptimSettings(lr=2e-5)
        )
    )
    dpo: DPOSettings = field(
        default_factory=lambda: DPOSettings(
            batch=8,
            max_length=256,
            held_out=0.3,
            adapter=AdapterSettings(rank=16),
            optim=OptimSettings(lr=1e-4),
        )
    )
    distil: DistilSettings = field(
        default_factory=lambda: DistilSettings(sampling=SamplingSettings(max_new_tokens=64, temperature=0.5))
    )
    likelihood: LikelihoodSettings = field(
        default_factory=lambda: LikelihoodSettings(max_length=256, held_out=0.3)
    )


@dataclass(frozen=True, kw_only=True)
class AlignmentTax(StudySettings):
    """All that the study reads."""

    test: str = setting("town:test", "prompts on which everything is measured, of one side", names="data")
    demonstrations: int = setting(
        3000,
        "ideal demonstrations, which help with harm too, for the model that all set out from",
        at_least=1,
    )
    sft: SFTSettings = field(default_factory=SFTSettings)
    eval: EvalSettings = field(default_factory=lambda: EvalSettings(prompts=0))
    choices: ChoicesSettings = field(default_factory=ChoicesSettings)
    likelihood: LikelihoodSettings = field(default_factory=LikelihoodSettings)
    tax: TaxSettings = field(default_factory=TaxSettings)
    real: RealSettings = field(default_factory=RealSettings)


FAST = AlignmentTax(
    eval=EvalSettings(prompts=400),
    tax=TaxSettings(
        doses="350",
        twins="0.5",
        remedies="dealt,foreign",
        blends="0.7,0.8,0.9",
        stops="0.25",
        ranked=1000,
        safe_ranked=500,
        documents=200,
    ),
)
