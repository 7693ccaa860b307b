"""Settings of `alignlab run`: every stage's, with the sizes that suit a pipeline of five minutes on two
cores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..settings import (
    BestOfNSettings,
    CollectSettings,
    CriticSettings,
    DistilSettings,
    DPOSettings,
    EvalSettings,
    GRPOSettings,
    LabelSettings,
    OptimSettings,
    PPOSettings,
    RejectionSettings,
    ReviseSettings,
    RewardSettings,
    SamplingSettings,
    SFTSettings,
    Staged,
    setting,
)


def on_policy(*, lr: float, epochs: int = 1, steps: int = 24, **more: Any) -> PPOSettings:
    """PPO on the town: few steps of many rollouts, two of each prompt, which then share its cost."""
    return PPOSettings(
        steps=steps,
        epochs=epochs,
        per_prompt=2,
        sampling=SamplingSettings(),
        optim=OptimSettings(lr=lr, schedule="constant", weight_decay=0.0),
        **more,
    )


def pairs_once(*, lr: float = 7e-5, **more: Any) -> DPOSettings:
    """DPO on the town: one comparison of each prompt, at a rate that suits it."""
    return DPOSettings(pairs_per_prompt=1, optim=OptimSettings(lr=lr), **more)


@dataclass(frozen=True, kw_only=True)
class PipelineSettings(Staged):
    """All stages of `alignlab run`, each with the sizes that suit a pipeline of five minutes on two cores."""

    tracker: str = setting(
        "",
        "tensorboard, wandb or trackio for every stage that trains and names none of its own",
        names="tracker",
    )
    demonstrations: int = setting(3000, "demonstrations for SFT", at_least=1)
    prompts: int = setting(5500, "prompts that are ranked for the reward model and DPO", at_least=1)
    ppo_prompts: int = setting(4000, "prompts PPO draws from", at_least=1)
    annotator: str = setting("town:fair", "who ranks", names="annotator")
    hacking: bool = setting(True, "also run PPO without a KL penalty, to see the proxy being gamed")
    sft: SFTSettings = field(default_factory=SFTSettings)
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(from_others=0.5, held_out=0.1, sampling=SamplingSettings())
    )
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(epochs=2.0))
    ppo: PPOSettings = field(default_factory=lambda: on_policy(kl_coef=0.1, lr=2e-4, rollouts=128))
    dpo: DPOSettings = field(default_factory=lambda: pairs_once(beta=0.3))
    llama3_dpo: DPOSettings = field(
        default_factory=lambda: pairs_once(beta=0.1, nll_coef=0.2)  # Llama 3, section 4.1.4
    )
    zephyr_dpo: DPOSettings = field(
        # Zephyr, section 4.3; three passes at the usual rate wreck a model of the town
        default_factory=lambda: pairs_once(beta=0.1, epochs=3.0, best_only=True, lr=1e-5)
    )
    tulu3_dpo: DPOSettings = field(
        default_factory=lambda: pairs_once(beta=5.0, loss_type="sigmoid_norm", best_only=True)  # section 5
    )
    best_of_n: BestOfNSettings = field(
        default_factory=lambda: BestOfNSettings(curve_max=32, sampling=SamplingSettings(temperature=0.8))
    )
    unpenalised: PPOSettings = field(default_factory=lambda: on_policy(kl_coef=0.0, lr=5e-4, steps=32))
    budget: int = setting(
        14_000,
        (
            "all recipes but instructgpt: completions sampled to learn from, about what that one samples "
            "for its rankings and PPO"
        ),
        at_least=1,
    )
    rounds: int = setting(
        2, "recipes llama2 and llama3: times that new comparisons are collected", at_least=1
    )
    rejection: RejectionSettings = field(
        default_factory=lambda: RejectionSettings(sampling=SamplingSettings())
    )
    teacher: str = setting(
        "",
        "recipe zephyr: the model that writes its demonstrations; empty = town-l, trained on clean ones",
        names="sampler",
    )
    distil: DistilSettings = field(
        default_factory=lambda: DistilSettings(sampling=SamplingSettings(temperature=0.7))
    )
    rlvr: GRPOSettings = field(
        default_factory=lambda: GRPOSettings(
            steps=24,
            rollouts=128,
            sampling=SamplingSettings(),
            optim=OptimSettings(lr=2e-4, schedule="constant", weight_decay=0.0),
        )
    )
    constitution: str = setting(
        "town",
        (
            "recipe constitutional: town, general, elsewhere (the control: principles of another world), or "
            "a file"
        ),
        names="constitution",
    )
    red_team: int = setting(
        500,
        (
            "recipe constitutional: red-team prompts that are answered, criticised and revised; more of "
            "them refuse more look-alikes"
        ),
        at_least=1,
    )
    labelled: int = setting(
        1500, "recipe constitutional: red-team prompts whose answers the judge compares", at_least=1
    )
    compared: int = setting(
        3000, "recipe constitutional: prompts whose answers people rank for helpfulness alone", at_least=1
    )
    critic: CriticSettings = field(default_factory=CriticSettings)
    revise: ReviseSettings = field(
        default_factory=lambda: ReviseSettings(
            rounds=2, sampling=SamplingSettings(), critic_sampling=SamplingSettings(max_new_tokens=96)
        )
    )
    sl_cai: SFTSettings = field(default_factory=SFTSettings)
    label: LabelSettings = field(
        default_factory=lambda: LabelSettings(
            ask="each", principles=2, certain=0.05, sampling=SamplingSettings()
        )
    )
    eval: EvalSettings = field(
        default_factory=lambda: EvalSettings(sampling=SamplingSettings(temperature=0.0))
    )


FAST = PipelineSettings(
    demonstrations=1500,
    prompts=1200,
    hacking=False,
    reward=RewardSettings(epochs=1.0),
    ppo=on_policy(kl_coef=0.1, lr=2e-4, rollouts=128, steps=12),
    dpo=DPOSettings(beta=0.3, optim=OptimSettings(lr=1e-4)),
    best_of_n=BestOfNSettings(sampling=SamplingSettings(temperature=0.8)),
    red_team=300,
    labelled=500,
    compared=400,
    critic=CriticSettings(tokens=300_000, cases=0),
    eval=EvalSettings(prompts=400, sampling=SamplingSettings(temperature=0.0)),
)
