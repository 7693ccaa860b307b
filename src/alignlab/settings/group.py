"""Policy gradients without a value model: RLOO, REINFORCE, GRPO and Dr. GRPO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .shared import AdapterSettings, ModelSettings, OptimSettings, RolloutTraining, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class GroupSettings(RolloutTraining):
    """Policy gradients with a baseline from the completions of a batch; no value model. What RLOO, REINFORCE,
    GRPO and Dr. GRPO share.
    """

    steps: int = setting(48, "rollout batches", at_least=1)
    rollouts: int = setting(64, "completions per step", at_least=1)
    per_prompt: int = setting(
        4,
        "completions per prompt, compared with each other (Ahmadian et al. 2024: 2 to 4; Shao et al. 2024: "
        "64)",
        at_least=1,
    )
    epochs: int = setting(
        1,
        "passes over each batch of rollouts; with more than one, or with minibatches, the ratio is clipped",
        at_least=1,
    )
    minibatch: int = setting(0, "completions per optimizer update; 0 = all of the step", at_least=0)
    micro_batch: int = setting(0, "completions per forward pass; 0 = the whole minibatch", at_least=0)
    kl_coef: float = setting(
        0.05, "weight of the KL penalty (TRL calls it beta); 0 = none, and no reference is asked", at_least=0
    )
    cliprange: float = setting(
        0.2, "clip of the probability ratio (Schulman et al. 2017); TRL calls it epsilon", above=0, below=1
    )
    cliprange_high: float = setting(
        0.0, "another clip above 1; 0 = cliprange (Yu et al. 2025, clip-higher: 0.28)", at_least=0
    )
    ratio_level: Literal["token", "sequence"] = setting(
        "token",
        (
            "whose probability ratio is clipped; sequence = the completion's, to the power 1 / length "
            "(GSPO, Zheng et al. 2025, cliprange 3e-4, cliprange_high 4e-4)"
        ),
    )
    importance_cap: float = setting(
        2.0,
        "tokens are weighted by trainer over sampler probability, at most this (Yao et al. 2025); 0 = off",
        at_least=0,
    )
    normalize_scores: bool = setting(
        True, "scores standardized with the mean and deviation saved in the reward model"
    )
    score_clip: float = setting(
        5.0, "scores are clipped to plus and minus this after normalization; 0 = off", at_least=0
    )
    missing_end_penalty: float = setting(
        1.0, "taken from the score of a completion that did not end by itself", at_least=0
    )
    gold_every: int = setting(1, "steps between looks at the gold judge, where one is known", at_least=1)
    max_prompt_length: int = setting(512, "tokens; truncate says what becomes of a longer prompt", at_least=1)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    optim: OptimSettings = field(
        default_factory=lambda: OptimSettings(lr=1.5e-4, schedule="constant", weight_decay=0.0)
    )
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)


KLPenalty = Literal["k1_in_reward", "k3_in_loss", "k2_in_loss"]
LossMean = Literal["sequence", "token", "constant"]
KL_HELP = (
    "k1 in the reward, or an estimate added to the loss: k3 as GRPO has it (its gradient is that of "
    "KL(reference || policy)), or k2"
)
MEAN_HELP = (
    "a completion's tokens share one weight (GRPO), all tokens weigh alike (DAPO), or each weighs 1 / "
    "max_new_tokens (Dr. GRPO: the policy gradient)"
)


@dataclass(frozen=True, kw_only=True)
class RLOOSettings(GroupSettings):
    """REINFORCE with leave-one-out (Ahmadian et al. 2024) or with the batch mean as baseline (Williams
    1992).
    """

    advantage: Literal["rloo", "reinforce"] = setting(
        "rloo", "baseline: the mean of the prompt's other completions, or of the batch"
    )
    kl_penalty: KLPenalty = setting("k1_in_reward", KL_HELP)
    loss_mean: LossMean = setting("constant", MEAN_HELP)


@dataclass(frozen=True, kw_only=True)
class GRPOSettings(GroupSettings):
    """Group relative policy optimization (Shao et al. 2024) and Dr. GRPO (Liu et al. 2025), without its two
    biases.
    """

    advantage: Literal["grpo", "dr_grpo"] = setting(
        "grpo", "score less the group's mean, divided by the group's deviation (grpo) or not (dr_grpo)"
    )
    kl_penalty: KLPenalty = setting("k3_in_loss", KL_HELP)
    loss_mean: Literal["auto", "sequence", "token", "constant"] = setting(
        "auto", MEAN_HELP + "; auto = sequence for grpo, constant for dr_grpo"
    )
