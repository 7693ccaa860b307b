"""The arms of the study `quantisation`: SFT, DPO and PPO of one base, rounded in several ways."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ... import stages
from ...errors import ConfigError
from ...pipeline.runner import Stage
from ...text.lists import by_comma
from ...text.nearest import one_of
from ..settings import NoSettings, check_one_side
from ..study import Planner, anew, numbers
from .settings import Quantisation, RoundingSettings

GOLD = "town:gold"
POLICIES = ("sft", "dpo", "ppo")
FILES = ("f16", "q8_0", "q4_1", "q4_0")
WHOLE = "f32"


def plan(stage: Planner, model: str, settings: Quantisation, seed: int) -> dict[str, Stage]:
    check(settings)
    arms = Arms(stage, settings, seed)
    arms.train(model)
    for policy in POLICIES:
        arms.measured(policy, WHOLE, arms.policies[policy])
        for kind in kinds_of(settings):
            arms.rounded(policy, kind, RoundingSettings(kind=kind))
        for bits in bits_of(settings):
            arms.rounded(policy, f"{bits} bits", RoundingSettings(kind="plain", bits=bits))
    arms.controls()
    return arms.planned


def check(settings: Quantisation) -> None:
    """Raise ConfigError for settings that no plan can be made of."""
    check_one_side(settings.test, settings.eval.sampled)
    kinds_of(settings)
    if settings.cliff not in bits_of(settings):
        raise ConfigError(
            f"cliff = {settings.cliff} is no width of bits = {settings.bits!r}", remedy="one of these"
        )


def kinds_of(settings: Quantisation) -> list[Any]:
    """Kinds of files. Raises ConfigError for one that there is not, or without those of the claims."""
    found = by_comma(settings.kinds)
    for kind in found:
        one_of(kind, FILES, "kinds names no such kind", error=ConfigError)
    if lacking := {"q8_0", "q4_0"} - set(found):
        raise ConfigError(f"kinds lacks {', '.join(sorted(lacking))}", remedy="the claims are about these")
    return found


def bits_of(settings: Quantisation) -> list[int]:
    """Widths of plain rounding, falling. Raises ConfigError for what are none."""
    found = numbers(settings.bits, "bits")
    if any(bits % 1 or not 2 <= bits <= 8 for bits in found):
        raise ConfigError(f"bits = {settings.bits!r}", remedy="whole numbers from 2 to 8, comma separated")
    return sorted({int(bits) for bits in found}, reverse=True)


@dataclass
class Arms:
    """Plans the runs of one seed.

    Attributes:
        policies: the trained ones, by name.
        planned: the runs that arms are measured by, by policy and way: "eval ppo q4_0", "text ppo q4_0",
            "rounded ppo q4_0"; and "codes dpo", "codes ppo".
    """

    stage: Planner
    settings: Quantisation
    seed: int
    policies: dict[str, Stage] = field(default_factory=dict)
    planned: dict[str, Stage] = field(default_factory=dict)

    def make(self, folder: str, target: Any, **arguments: Any) -> Stage:
        return self.stage(folder.replace(" ", "-"), target, **({"seed": self.seed} | arguments))

    def train(self, model: str) -> None:
        """The pipeline of `alignlab run`, in its sizes (`recipes.instructgpt`)."""
        s = self.settings
        sft = self.make(
            "sft", stages.sft, model=model, data="town:demos", count=s.demonstrations, settings=s.sft
        )
        ranked = self.make(
            "quant collect",
            stages.collect,
            model=sft,
            data="town:prompts",
            count=s.prompts,
            annotator="town:fair",
            others="town:crowd",
            gold=GOLD,
            settings=s.collect,
        )
        learnt = {"model": sft, "gold": GOLD}
        reward = self.make("quant reward", stages.reward, data=ranked, settings=s.reward, **learnt)
        dpo = self.make("quant dpo", stages.dpo, model=sft, data=ranked, settings=s.dpo)
        asked: dict[str, Any] = {"data": "town:prompts", "count": s.ppo_prompts, "reward": reward}
        ppo = self.make("quant ppo", stages.ppo, settings=s.ppo, **asked, **learnt)
        self.policies = {"sft": sft, "dpo": dpo, "ppo": ppo}

    def rounded(self, policy: str, way: str, settings: RoundingSettings, other: str = "") -> None:
        """A policy rounded in one way, measured."""
        from . import rounding  # which needs torch, as reading the study does not

        start = self.policies[policy]
        more: dict[str, Any] = {"other": self.policies[other]} if other else {}
        made = self.make(f"quant {policy} {way}", rounding.rounded, model=start, settings=settings, **more)
        self.planned[f"rounded {policy} {way}"] = made
        self.measured(policy, way, made)

    def measured(self, policy: str, way: str, model: Stage) -> None:
        """The two runs that an arm is measured by; KL is from the policy before rounding."""
        s, key = self.settings, f"{policy} {way}"
        reference = "" if way == WHOLE else self.policies[policy]
        self.planned[f"eval {key}"] = self.make(
            f"quant eval {key}",
            stages.evaluate,
            model=model,
            data=s.test,
            judge=GOLD,
            baseline="",
            reference=reference,
            settings=s.eval,
        )
        self.planned[f"text {key}"] = self.make(
            f"quant text {key}",
            stages.likelihood,
            model=model,
            texts=s.texts,
            count=s.documents,
            demonstrations="",
            comparisons="",
            baseline="" if way == WHOLE else self.planned[f"text {policy} {WHOLE}"],
            seed=anew(self.seed),
            settings=s.likelihood,
        )

    def controls(self) -> None:
        """What rounding adds to PPO's weights, put elsewhere; and SFT with what PPO changed of its codes."""
        from . import common  # which needs torch too

        four, cliff = RoundingSettings(), RoundingSettings(kind="plain", bits=self.settings.cliff)
        for way, settings in (("q4_0", four), (f"{cliff.bits} bits", cliff)):
            self.rounded("ppo", f"{way} shuffled", replace(settings, place="shuffled"))
            self.rounded("ppo", f"{way} of sft", replace(settings, place="other"), other="sft")
        changed = RoundingSettings(kind="plain", bits=4, place="changed")
        self.rounded("ppo", "changed codes alone", changed, other="sft")
        self.rounded("ppo", "scales alone", replace(changed, place="scales"), other="sft")
        for policy in ("dpo", "ppo"):
            self.planned[f"codes {policy}"] = self.make(
                f"quant codes {policy}",
                common.codes,
                first=self.policies["sft"],
                second=self.policies[policy],
                settings=NoSettings(),
            )
