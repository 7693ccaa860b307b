"""Settings of `alignlab study`: those of each study, and of the stages that studies share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..recipes.settings import on_policy
from ..settings import (
    CollectSettings,
    CrowdSettings,
    DistilSettings,
    DPOSettings,
    EvalSettings,
    ModelSettings,
    OptimSettings,
    PPOSettings,
    RewardSettings,
    RLOOSettings,
    SamplingSettings,
    SelfInstructSettings,
    SFTSettings,
    ShiftSettings,
    setting,
)


def _group(*, lr: float, steps: int = 24, **more: Any) -> RLOOSettings:
    """RLOO on the town: as many rollouts a step as PPO, four of each prompt, four updates."""
    return RLOOSettings(
        steps=steps,
        rollouts=128,
        minibatch=32,
        sampling=SamplingSettings(),
        optim=OptimSettings(lr=lr, schedule="constant", weight_decay=0.0),
        **more,
    )


@dataclass(frozen=True, kw_only=True)
class ClosedFormSettings:
    """The study `closed-form`: sizes of the task whose optimum is known, and how long each method learns."""

    prompts: int = setting(8, "prompts, whose rewards spread from 0.4 to 1.6", at_least=1)
    vocabulary: int = setting(4, "tokens", at_least=2)
    length: int = setting(3, "tokens a completion: vocabulary^length completions are enumerated", at_least=1)
    beta: float = setting(
        0.5,
        "weight of the KL penalty (kl_coef of PPO, beta of DPO): the optimum is ref exp(r / beta)",
        above=0,
    )
    group: int = setting(8, "completions of a prompt that are compared with each other", at_least=2)
    groups: int = setting(4, "such groups of each prompt a step", at_least=1)
    steps: int = setting(800, "updates of each method", at_least=1)
    lr: float = setting(0.05, "Adam's rate at the first update; it falls to 0", above=0)
    comparisons: int = setting(
        200, "comparisons a prompt of the DPO that sees sampled labels only", at_least=1
    )
    best_of: int = setting(4, "samples that rejection sampling picks from", at_least=1)


@dataclass(frozen=True, kw_only=True)
class CurveSettings:
    """Best-of-N of every N up to `most`, from the same samples (Nakano et al. 2021, appendix I)."""

    most: int = setting(
        32, "samples a prompt, at temperature 1: N runs over the powers of 2 up to it", at_least=1
    )
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, kw_only=True)
class PointSettings:
    """A policy as one point of a frontier: KL, proxy and gold of its own samples at temperature 1."""

    per_prompt: int = setting(2, "samples per prompt", at_least=1)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True)
class ShareSettings:
    """Which of how many disjoint shares."""

    part: int = setting(0, "which share, from 0", at_least=0)
    parts: int = setting(1, "how many shares there are", at_least=1)


@dataclass(frozen=True)
class RelabelSettings:
    """Who ranks what an AI has labelled."""

    annotator: str = setting("town:harm-only", "who ranks", names="annotator")


@dataclass(frozen=True)
class NoSettings:
    """Nothing to choose."""


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
    rloo: RLOOSettings = field(default_factory=lambda: _group(kl_coef=1e-6, lr=2e-4))


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
    rloo: RLOOSettings = field(default_factory=lambda: _group(kl_coef=0.1, lr=2e-4))


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
class SourcesSettings:
    """The study `demonstrations`."""

    count: int = setting(1000, "demonstrations of each source", at_least=1)
    crowd: CrowdSettings = field(default_factory=CrowdSettings)
    distil: DistilSettings = field(
        default_factory=lambda: DistilSettings(sampling=SamplingSettings(temperature=0.7))
    )
    self_instruct: SelfInstructSettings = field(
        default_factory=lambda: SelfInstructSettings(
            batch=128, similarity=1.0, sampling=SamplingSettings(temperature=0.7)
        )
    )
    eval: EvalSettings = field(
        default_factory=lambda: EvalSettings(prompts=600, sampling=SamplingSettings(temperature=0.0))
    )


@dataclass(frozen=True, kw_only=True)
class OwnSettings:
    """Data, a judge and a reward model of one's own, in the place of the town's."""

    demonstrations: str = setting(
        "town:demos", "demonstrations for SFT; empty = --model has learnt to answer already", names="data"
    )
    prompts: str = setting("town:prompts", "prompts whose answers are ranked", names="data")
    gold: str = setting("town:gold", "the judge that knows the truth", names="judge")
    reward: str = setting(
        "", "the reward model that is asked about; empty = one is trained on the rankings", names="reward"
    )


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """All that `alignlab study` needs; each study reads the tables it names and refuses a change to the
    others.
    """

    workers: int = setting(
        0, "stages run side by side, one thread each; 0 = one for each core, 2 at most", at_least=0
    )
    test: str = setting(
        "town:test",
        "prompts on which everything is measured, and nothing is trained; a prompt that asks what a ranked "
        "prompt or a demonstration asks is left out",
        names="data",
    )
    measured: int = setting(
        300, "how many of them: the first, the same for best-of-N and every policy", at_least=2
    )
    demonstrations: int = setting(3000, "demonstrations for SFT", at_least=1)
    prompts: int = setting(2000, "prompts that are ranked; PPO and RLOO learn on the same", at_least=1)
    annotator: str = setting("town:fair", "who ranks", names="annotator")
    own: OwnSettings = field(default_factory=OwnSettings)
    sft: SFTSettings = field(default_factory=SFTSettings)
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(from_others=0.5, held_out=0.1, sampling=SamplingSettings())
    )
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(epochs=2.0))
    dpo: DPOSettings = field(
        default_factory=lambda: DPOSettings(beta=0.3, pairs_per_prompt=1, optim=OptimSettings(lr=1e-4))
    )
    point: PointSettings = field(default_factory=PointSettings)
    curve: CurveSettings = field(default_factory=CurveSettings)
    over_optimisation: OverOptimisationSettings = field(default_factory=OverOptimisationSettings)
    kl_frontier: KLFrontierSettings = field(default_factory=KLFrontierSettings)
    closed_form: ClosedFormSettings = field(default_factory=ClosedFormSettings)
    mixed: MixedSettings = field(default_factory=MixedSettings)
    sources: SourcesSettings = field(default_factory=SourcesSettings)
    shift: ShiftSettings = field(
        default_factory=lambda: ShiftSettings(prompts=300, sampling=SamplingSettings())
    )
    shift_prompts: int = setting(
        1200,
        (
            "the study reward-shift: prompts that are ranked anew, on the furthest policy's answers and on "
            "the SFT model's"
        ),
        at_least=1,
    )


FAST_STUDY = StudySettings(
    demonstrations=1000,
    prompts=800,
    reward=RewardSettings(epochs=1.0),
    measured=60,
    curve=CurveSettings(most=16),
    closed_form=ClosedFormSettings(steps=200),
    over_optimisation=OverOptimisationSettings(
        sizes="",
        dpo_betas="0.1",
        rl_steps="1,2,4,8",
        labelled=20,
        always_n=4,
        always_steps=4,
        ppo=on_policy(kl_coef=0.0, lr=5e-4, rollouts=64),
        rloo=_group(kl_coef=1e-6, lr=5e-4),
    ),
    kl_frontier=KLFrontierSettings(
        ppo_kl_coefs="0,0.2",
        rloo_kl_coefs="0.2",
        dpo_betas="0.1,1",
        curve=CurveSettings(most=16),
        ppo=on_policy(kl_coef=0.1, lr=4e-4, steps=8, rollouts=64),
        rloo=_group(kl_coef=0.1, lr=4e-4, steps=8),
    ),
    mixed=MixedSettings(shares="0,0.5,1", prompts=300),
    shift=ShiftSettings(prompts=60, best_of="4", sampling=SamplingSettings()),
    shift_prompts=300,
    sources=SourcesSettings(
        count=300, eval=EvalSettings(prompts=200, sampling=SamplingSettings(temperature=0.0))
    ),
)
