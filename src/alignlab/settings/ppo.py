"""PPO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .shared import AdapterSettings, ModelSettings, OptimSettings, RolloutTraining, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class PPOSettings(RolloutTraining):
    """PPO with a KL penalty against the SFT model (InstructGPT, equation 2; Schulman et al. 2017)."""

    steps: int = setting(48, "rollout batches", at_least=1)
    rollouts: int = setting(64, "completions per step", at_least=1)
    per_prompt: int = setting(
        1, "completions per prompt; they stay side by side in a minibatch, where they share it", at_least=1
    )
    epochs: int = setting(4, "passes over each batch of rollouts", at_least=1)
    minibatch: int = setting(16, "completions per optimizer update", at_least=1)
    micro_batch: int = setting(0, "completions per forward pass; 0 = the whole minibatch", at_least=0)
    kl_coef: float = setting(0.05, "weight of the KL penalty in the reward", at_least=0)
    adaptive_kl: float = setting(
        0.0,
        "nats per completion that an adaptive kl_coef steers for; 0 = fixed (Ziegler et al. 2019: 6)",
        at_least=0,
    )
    kl_horizon: int = setting(10_000, "completions over which the adaptive kl_coef reacts", at_least=1)
    cliprange: float = setting(0.2, "clip of the probability ratio", above=0)
    importance_cap: float = setting(
        0.0,
        "tokens are weighted by trainer over sampler probability, at most this (Yao et al. 2025: 2); 0 = off",
        at_least=0,
    )
    cliprange_value: float = setting(0.2, "clip of the value against the old value", above=0)
    vf_coef: float = setting(
        0.1,
        (
            "scales the value model's gradient; with an optimizer of its own, that only moves where "
            "max_grad_norm clips"
        ),
        at_least=0,
    )
    gamma: float = setting(1.0, "discount", at_least=0, at_most=1)
    lam: float = setting(0.95, "lambda of generalized advantage estimation", at_least=0, at_most=1)
    whiten_advantages: bool = setting(True, "advantages to mean 0 and variance 1 over the batch")
    whiten_rewards: bool = setting(False, "rewards to variance 1 over the batch, mean kept")
    normalize_scores: bool = setting(
        True, "scores standardized with the mean and deviation saved in the reward model"
    )
    score_clip: float = setting(
        5.0, "scores are clipped to plus and minus this after normalization; 0 = off", at_least=0
    )
    missing_end_penalty: float = setting(
        1.0, "taken from the score of a completion that did not end by itself", at_least=0
    )
    cost_limit: float = setting(
        0.02, "what the mean cost is to stay below, with --cost: a share of unsafe completions, or a score"
    )
    cost_kind: Literal["chance", "score"] = setting(
        "chance",
        (
            "chance = sigmoid of the cost model's score, the probability of being unsafe; score = as it is "
            "(Safe RLHF), moved by how safe the safe ones are"
        ),
    )
    lambda_start: float = setting(1.0, "the price of cost at the beginning (Safe RLHF: 1)", above=0)
    lambda_lr: float = setting(
        4.0,
        (
            "step of ln lambda: lr * lambda * (mean cost - limit); chances are small, so it is large (Safe "
            "RLHF on scores: 0.04 to 0.1)"
        ),
        at_least=0,
    )
    lambda_max: float = setting(10.0, "the price rises no further", above=0)
    stop_at_kl: float = setting(
        0.0,
        "stop the epochs of a step when approx_kl (k3) against the old policy exceeds this; 0 = never",
        at_least=0,
    )
    value_lr: float = setting(0.0, "learning rate of the value model; 0 = that of the policy", at_least=0)
    ptx_coef: float = setting(
        0.0,
        "weight of the language-modelling loss on pretraining text (PPO-ptx); InstructGPT: 27.8",
        at_least=0,
    )
    ptx_batch: int = setting(
        8, "pretraining rows mixed into each optimizer update when ptx_coef is not 0", at_least=1
    )
    gold_every: int = setting(1, "steps between looks at the gold judge, where one is known", at_least=1)
    max_prompt_length: int = setting(512, "tokens; truncate says what becomes of a longer prompt", at_least=1)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    optim: OptimSettings = field(
        default_factory=lambda: OptimSettings(lr=1.5e-4, schedule="constant", weight_decay=0.0)
    )
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
