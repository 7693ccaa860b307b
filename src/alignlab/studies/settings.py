"""Settings that several studies read: those that every study has, data of one's own, and those of the stages
that studies share.

A study's own settings stand in a file of its own (`studies/NAME_settings.py`, or `settings.py` in its
folder): one class with all that it reads, made of these and of its table, and `FAST`, what `--fast` stands
for. What a study does not read is no setting of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError
from ..settings import (
    CollectSettings,
    DPOSettings,
    ModelSettings,
    OptimSettings,
    RewardSettings,
    RLOOSettings,
    SamplingSettings,
    SFTSettings,
    Staged,
    setting,
)


def group(*, lr: float, steps: int = 24, **more: Any) -> RLOOSettings:
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
class ChoicesSettings:
    """How the model runs whose choices are asked for."""

    model: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True)
class ShareSettings:
    """Which of how many disjoint shares."""

    part: int = setting(0, "which share, from 0", at_least=0)
    parts: int = setting(1, "how many shares there are", at_least=1)


@dataclass(frozen=True)
class RerankSettings:
    """Who ranks the completions anew."""

    annotator: str = setting("town:fair", "who ranks", names="annotator")


@dataclass(frozen=True)
class BlendSettings:
    """How far to go from the first model's weights to the second's."""

    alpha: float = setting(
        0.5, "share of the second model's weights: 0 is the first, 1 the second", at_least=0, at_most=1
    )


@dataclass(frozen=True)
class NoSettings:
    """Nothing to choose."""


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
class StudySettings(Staged):
    """What every study reads."""


@dataclass(frozen=True, kw_only=True)
class Shown(StudySettings):
    """Of a study that shows a model demonstrations and measures on prompts."""

    test: str = setting(
        "town:test",
        "prompts on which everything is measured, and nothing is trained; a prompt that asks what a ranked "
        "prompt or a demonstration asks is left out",
        names="data",
    )
    demonstrations: int = setting(3000, "demonstrations for SFT", at_least=1)
    sft: SFTSettings = field(default_factory=SFTSettings)


@dataclass(frozen=True, kw_only=True)
class Taught(Shown):
    """Of one in which somebody ranks, too."""

    annotator: str = setting("town:fair", "who ranks", names="annotator")


@dataclass(frozen=True, kw_only=True)
class Ranked(Taught):
    """Of one that has its answers ranked."""

    prompts: int = setting(2000, "prompts that are ranked; PPO and RLOO learn on the same", at_least=1)
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(from_others=0.5, held_out=0.1, sampling=SamplingSettings())
    )
    dpo: DPOSettings = field(
        default_factory=lambda: DPOSettings(beta=0.3, pairs_per_prompt=1, optim=OptimSettings(lr=1e-4))
    )


@dataclass(frozen=True, kw_only=True)
class Rewarded(Ranked):
    """Of one that goes from demonstrations to a reward model, with data of one's own too."""

    own: OwnSettings = field(default_factory=OwnSettings)
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(epochs=2.0))


@dataclass(frozen=True, kw_only=True)
class Measured(StudySettings):
    """Of one that measures policies as points."""

    measured: int = setting(
        300, "how many of the test's prompts: the first, the same for best-of-N and every policy", at_least=2
    )
    point: PointSettings = field(default_factory=PointSettings)


FEW: dict[str, Any] = {"demonstrations": 1000, "prompts": 800, "reward": RewardSettings(epochs=1.0)}
"""The small sizes of `--fast` that studies share."""


def check_one_side(test: str, sampled: bool) -> None:
    """Raise ConfigError unless all kinds of requests of one side of the town are asked, and also at
    temperature 1.
    """
    from ..town.sets import HELD_OUT_SIDES  # settings are read at every start, the town is not

    side = test.removeprefix("town:").split("-")[-1]
    if side not in HELD_OUT_SIDES or test != f"town:{side}":
        raise ConfigError(
            f"test = {test} has not every kind of request of one side of the town, harm and look-alikes "
            "among them",
            remedy="--test town:test",
        )
    if not sampled:
        raise ConfigError(
            "eval.sampled is off: answers at temperature 1 are measured too", remedy="leave it on"
        )
