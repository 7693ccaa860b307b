"""KTO."""

from __future__ import annotations

from dataclasses import dataclass, field

from .shared import AdapterSettings, DataTraining, ModelSettings, OptimSettings, setting


@dataclass(frozen=True, kw_only=True)
class KTOSettings(DataTraining):
    """Kahneman-Tversky optimization on completions that were liked or not (Ethayarajh et al. 2024, equation
    8).
    """

    beta: float = setting(0.1, "temperature of the implicit reward; Ethayarajh et al.: 0.1", above=0)
    desirable_weight: float = setting(
        0.0,
        (
            "lambda_D; 0 = 1, or what brings (lambda_D liked) / (lambda_U disliked) into 1 to 4/3, as the "
            "paper advises"
        ),
        at_least=0,
    )
    undesirable_weight: float = setting(1.0, "lambda_U", above=0)
    epochs: float = setting(1.0, "passes over the completions", above=0)
    batch: int = setting(
        32, "completions per step, 2 or more: the KL baseline is estimated within it", at_least=2
    )
    micro_batch: int = setting(0, "completions per forward pass; 0 = the whole batch", at_least=0)
    max_length: int = setting(
        512,
        (
            "tokens of prompt and completion; truncate says what becomes of longer ones; the default is for "
            "models of the town"
        ),
        at_least=1,
    )
    held_out: float = setting(
        0.05,
        "share of the questions kept for the held-out accuracy, if the data is not split already",
        at_least=0,
        below=1,
    )
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=5e-5))
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
