"""Rejection sampling."""

from __future__ import annotations

from dataclasses import dataclass, field

from .shared import AdapterSettings, ModelSettings, OptimSettings, PromptTraining, SamplingSettings, setting


@dataclass(frozen=True, kw_only=True)
class RejectionSettings(PromptTraining):
    """Rounds of sampling, scoring and SFT on the best (Touvron et al. 2023, section 3.2.3; Dong et al. 2023,
    RAFT).
    """

    rounds: int = setting(
        3, "times that the policy is sampled and then trained on its best completions", at_least=1
    )
    prompts: int = setting(500, "prompts a round", at_least=1)
    per_prompt: int = setting(
        8, "completions per prompt, of which the best is kept (Dong et al. 2023: 8 to 32)", at_least=2
    )
    top_share: float = setting(
        1.0,
        "share of the prompts, those with the highest scores, whose best is learnt; 1 = all",
        above=0,
        at_most=1,
    )
    keep_earlier: bool = setting(
        False,
        (
            "the best of all earlier rounds stay in the pool (Touvron et al. 2023 found that forgetting "
            "them cost abilities)"
        ),
    )
    epochs: float = setting(1.0, "passes over the best of a round", above=0)
    batch: int = setting(16, "completions per optimizer update", at_least=1)
    micro_batch: int = setting(0, "completions per forward pass; 0 = the whole batch", at_least=0)
    normalize_scores: bool = setting(
        True, "scores standardized with the mean and deviation saved in the reward model"
    )
    max_prompt_length: int = setting(512, "tokens; truncate says what becomes of a longer prompt", at_least=1)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=2e-4, schedule="constant"))
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
