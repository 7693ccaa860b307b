"""Reward models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .shared import AdapterSettings, DataTraining, ModelSettings, OptimSettings, setting


@dataclass(frozen=True, kw_only=True)
class RewardSettings(DataTraining):
    """Scalar head on the SFT model, Bradley-Terry loss (InstructGPT, equation 1)."""

    epochs: float = setting(1.0, "passes over the rankings; InstructGPT: more than one overfits", above=0)
    batch: int = setting(8, "prompts per step, each with all its pairs", at_least=1)
    micro_batch: int = setting(0, "prompts per forward pass; 0 = the whole batch", at_least=0)
    max_length: int = setting(
        512,
        (
            "tokens of prompt and completion; truncate says what becomes of longer ones; the default is for "
            "models of the town"
        ),
        at_least=1,
    )
    center: float = setting(
        0.0, "weight of mean((chosen + rejected)^2); 0.01 keeps scores near 0", at_least=0
    )
    margins: Literal["none", "data", "ranks", "scores"] = setting(
        "data",
        "how much better the better one has to be (Llama 2, equation 2): data = its margin column, if it has "
        "one (as TRL); ranks = places apart / (K - 1), "
        "with K = 4 Llama 2's thirds; scores = the difference of the scores that the data was ranked by",
    )
    margin_scale: float = setting(
        1.0, "margins are multiplied by this; Llama 2: 1 (small) or 3 (large)", at_least=0
    )
    ties: Literal["drop", "rao_kupper", "davidson"] = setting(
        "drop",
        (
            "pairs of equal rank: left out, or learnt from (Rao and Kupper 1967: a difference below a "
            "threshold; Davidson 1970: ratios of worths kept)"
        ),
    )
    tie_rate: float = setting(
        0.0, "share of ties between two equally good completions; 0 = learnt along", at_least=0, below=1
    )
    label_smoothing: float = setting(0.0, "share of labels taken to be wrong", at_least=0, below=0.5)
    noise: Literal["smoothing", "flip", "learnt"] = setting(
        "smoothing",
        (
            "how that share enters: label smoothing; flip = a label is turned round with this probability, "
            "in the likelihood; learnt = flip, the share learnt along"
        ),
    )
    annotators: Literal["alike", "reliability"] = setting(
        "alike", "reliability = a flip rate for each annotator, learnt along (CrowdBT, Chen et al. 2013)"
    )
    label_lr: float = setting(
        0.05, "learning rate of what is learnt about labels: tie rate, flip rate, reliabilities", at_least=0
    )
    safety: float = setting(
        0.0,
        (
            "weight of the sign term on safe / unsafe labels (Safe RLHF: 1): the result is a cost model, "
            "its cost the negative score; 0 = off"
        ),
        at_least=0,
    )
    members: int = setting(
        1,
        "an ensemble of this many, alike but for head and order of the data (Coste et al. 2023: 5)",
        at_least=1,
    )
    bootstrap: bool = setting(
        False, "train on as many prompts drawn with replacement, another draw for each member"
    )
    held_out: float = setting(
        0.15, "share of the questions kept for testing, if the data is not split already", at_least=0, below=1
    )
    folds: int = setting(
        0,
        (
            "also test on all of a small data set: its questions are cut into so many parts, and each is "
            "tested on a model that learnt from the others; 0 = no"
        ),
        at_least=0,
    )
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=5e-4))
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
