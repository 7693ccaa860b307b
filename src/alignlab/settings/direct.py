"""Learning from comparisons directly: DPO, ORPO and SimPO. A class here says all that other rooms ask of a
loss on pairs; its arithmetic is in `losses`, and how the loop calls it in `methods.direct`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from .shared import AdapterSettings, DataTraining, ModelSettings, OptimSettings, Rates, setting


@dataclass(frozen=True, kw_only=True)
class PairSettings(DataTraining):
    """What the methods that learn from comparisons directly share.

    Of the method, for whoever trains by it or reads its runs:
        method, title: its stage, and what people call it.
        rates: learning rates for other people's models.
        turn: the one setting to turn when likelihood displacement has gone too far.
        reference: whether a reference is asked; without one, a reward is one per token.
        soft_labels: whether it learns from them.
    """

    method: ClassVar[str]
    title: ClassVar[str]
    rates: ClassVar[Rates]
    turn: ClassVar[str] = "a smaller optim.lr"
    reference: ClassVar[bool] = False
    soft_labels: ClassVar[bool] = False

    epochs: float = setting(1.0, "passes over the comparisons", above=0)
    batch: int = setting(16, "comparisons per step", at_least=1)
    micro_batch: int = setting(0, "comparisons per forward pass; 0 = the whole batch", at_least=0)
    max_length: int = setting(
        512,
        (
            "tokens of prompt and completion; truncate says what becomes of longer ones; the default is for "
            "models of the town"
        ),
        at_least=1,
    )
    pairs_per_prompt: int = setting(0, "comparisons taken from each ranking; 0 = all", at_least=0)
    best_only: bool = setting(
        False,
        (
            "of a ranking only the comparisons that its best completion wins; with pairs_per_prompt 1 the "
            "best against a random other one (Zephyr)"
        ),
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


@dataclass(frozen=True, kw_only=True)
class DPOSettings(PairSettings):
    """Direct preference optimization (Rafailov et al. 2023, equation 7)."""

    method, title, reference, soft_labels = "dpo", "DPO", True, True
    rates = Rates(1e-6, 5e-7, 2e-7, lora=5e-6)
    turn = "a larger beta"

    beta: float = setting(
        0.1,
        (
            "temperature of the implicit reward: how dear it is to leave the reference; with sigmoid_norm a "
            "reward per token (Tulu 3: 5)"
        ),
        above=0,
    )
    loss_type: Literal["sigmoid", "sigmoid_norm", "hinge", "ipo", "robust"] = setting(
        "sigmoid",
        "loss on the margin of implicit rewards; sigmoid_norm divides each by its completion's length",
    )
    label_smoothing: float = setting(
        0.0, "share of labels taken to be wrong, for sigmoid, sigmoid_norm and robust", at_least=0, below=0.5
    )
    nll_coef: float = setting(
        0.0,
        "weight of the chosen completion's negative log-likelihood, per token, beside the loss; Llama 3: 0.2",
        at_least=0,
        at_most=100,
    )


@dataclass(frozen=True, kw_only=True)
class ORPOSettings(PairSettings):
    """Odds-ratio preference optimization, which needs no reference (Hong et al. 2024, equation 6)."""

    method, title = "orpo", "ORPO"
    rates = Rates(8e-6, 5e-6, 2e-6, lora=8e-5)

    beta: float = setting(
        0.1,
        (
            "lambda of the paper (TRL: beta): weight of the odds-ratio term beside the chosen completion's "
            "likelihood"
        ),
        above=0,
    )


@dataclass(frozen=True, kw_only=True)
class SimPOSettings(PairSettings):
    """Simple preference optimization, which needs no reference (Meng et al. 2024, equation 6)."""

    method, title = "simpo", "SimPO"
    rates = Rates(1e-6, 5e-7, 3e-7, lora=5e-6)

    beta: float = setting(
        2.0, "scales the reward, the mean log-probability of a token; Meng et al.: 2 to 2.5", above=0
    )
    gamma: float = setting(
        1.0, "margin between the rewards that is aimed for; Meng et al.: 0.3 to 1.6", at_least=0
    )


PAIRS: dict[str, type[PairSettings]] = {
    kind.method: kind for kind in (DPOSettings, ORPOSettings, SimPOSettings)
}
"""Every loss on pairs, by its stage."""
