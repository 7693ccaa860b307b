"""Settings of the study `closed-form`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..settings import setting
from .settings import StudySettings


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
class ClosedForm(StudySettings):
    """All that the study reads."""

    closed_form: ClosedFormSettings = field(default_factory=ClosedFormSettings)


FAST = ClosedForm(closed_form=ClosedFormSettings(steps=200))
