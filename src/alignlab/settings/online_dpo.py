"""Online DPO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .shared import AdapterSettings, ModelSettings, OptimSettings, RolloutTraining, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class OnlineDPOSettings(RolloutTraining):
    """DPO on pairs that the policy writes and a judge compares while it learns (Guo et al. 2024; Calandriello
    et al. 2024).
    """

    steps: int = setting(48, "batches of prompts, an optimizer update each", at_least=1)
    prompts: int = setting(32, "prompts per step, one comparison each", at_least=1)
    per_prompt: int = setting(
        2, "completions per prompt; of more than two the best is set against the worst", at_least=2
    )
    ask: Literal["score", "compare"] = setting(
        "score", "the judge scores each completion, or compares the two of a prompt"
    )
    micro_batch: int = setting(0, "comparisons per forward pass; 0 = the whole batch", at_least=0)
    beta: float = setting(
        0.1, "temperature of the implicit reward: how dear it is to leave the reference", above=0
    )
    loss_type: Literal["sigmoid", "hinge", "ipo"] = setting(
        "sigmoid", "loss on the margin of implicit rewards (Guo et al. 2024: all three)"
    )
    unfinished_loses: bool = setting(
        True, "a completion that was cut loses against one that ended, whatever the judge says"
    )
    normalize_scores: bool = setting(
        True, "scores standardized with the mean and deviation saved in the reward model"
    )
    gold_every: int = setting(1, "steps between looks at the gold judge, where one is known", at_least=1)
    max_prompt_length: int = setting(512, "tokens; truncate says what becomes of a longer prompt", at_least=1)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    optim: OptimSettings = field(
        default_factory=lambda: OptimSettings(lr=5e-5, schedule="constant", weight_decay=0.0)
    )
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
