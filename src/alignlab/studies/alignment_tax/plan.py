"""The arms of the study `alignment-tax`: one start, and everything that is done to it, measured alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ... import stages
from ...errors import ConfigError
from ...pipeline.runner import Joined, Stage
from ...settings import SFTSettings
from ...text.lists import by_comma
from ...text.nearest import one_of
from .. import choices as choosing
from .. import mixtures, steps
from ..mixtures_settings import MixtureSettings
from ..settings import BlendSettings, check_one_side
from ..study import Planner, anew, numbers
from .lessons import lessons
from .settings import AlignmentTax, LessonSettings

GOLD = "town:gold"
METHODS = ("dpo", "ppo", "ppo-ptx")
REMEDIES = ("dealt", "foreign", "lora")
OWN = "an arm most of whose lessons, or all, are the start's own answers: their loss is near 0 from the start"
SPARE = 1.5  # prompts that are answered for one lesson: 0.15 are harm or look-alikes, some are asked twice
MORE = 1.14  # of harm and look-alikes, since an answer that does not end is none


def plan(stage: Planner, model: str, settings: AlignmentTax, seed: int) -> dict[str, Stage]:
    check(settings)
    tax = settings.tax
    arms = Arms(stage, settings, seed, model)
    arms.sft()
    arms.doses_and_remedies()
    for method in methods_of(settings):
        if method == "dpo":
            arms.dpo()
        else:
            arms.ppo(method)
    for size in by_comma(tax.sizes):
        Arms(stage, settings, seed, size, size, arms.planned, arms.made).sft()
    return arms.planned


def check(settings: AlignmentTax) -> None:
    """Raise ConfigError for settings that no plan can be made of."""
    check_one_side(settings.test, settings.eval.sampled)
    doses, ranked = doses_of(settings), settings.tax.ranked
    if doses[-1] > settings.tax.ordinary or 2 * doses[-1] > ranked and "dpo" in methods_of(settings):
        raise ConfigError(
            f"tax.doses has {doses[-1]} refusals beside tax.ordinary = {settings.tax.ordinary} and "
            f"tax.ranked = {ranked}",
            remedy="a dose of no more prompts than there are, and of half of those that are ranked",
        )
    tax = settings.tax
    for name, text in (("twins", tax.twins), ("blends", tax.blends), ("stops", tax.stops)):
        shares_of(text, name)
    methods_of(settings)
    remedies_of(settings)


def doses_of(settings: AlignmentTax) -> list[int]:
    """Numbers of refusals, rising. Raises ConfigError for what are none."""
    found = numbers(settings.tax.doses, "tax.doses")
    if not found or min(found) < 1 or any(dose % 1 for dose in found):
        raise ConfigError(
            f"tax.doses = {settings.tax.doses!r} is no list of whole numbers from 1", remedy="as 50,500"
        )
    return sorted({int(dose) for dose in found})


def shares_of(text: str, name: str) -> list[float]:
    """The shares of one setting, rising. Raises ConfigError for what are none."""
    found = sorted(set(numbers(text, f"tax.{name}")))
    if not found or not 0 < found[0] <= found[-1] <= 1:
        raise ConfigError(f"tax.{name} = {text!r}", remedy="shares above 0 and up to 1, comma separated")
    return found


def methods_of(settings: AlignmentTax) -> list[str]:
    return chosen(settings.tax.methods, METHODS, "tax.methods")


def remedies_of(settings: AlignmentTax) -> list[str]:
    return chosen(settings.tax.remedies, REMEDIES, "tax.remedies")


def chosen(text: str, known: tuple[str, ...], name: str) -> list[str]:
    """The names of a setting. Raises ConfigError for one that is not known."""
    found = by_comma(text)
    for one in found:
        one_of(one, known, f"{name} names no such arm", error=ConfigError)
    return found


@dataclass
class Arms:
    """Plans the arms of one base model.

    Attributes:
        size: the base's name where it is another than the study's.
        planned: the runs that arms are measured by: "eval NAME", "facts NAME", "text NAME".
        made: every stage, by its folder: arms share what they have in common.
        answers: what the start itself answers, by the sort of prompt.
    """

    stage: Planner
    settings: AlignmentTax
    seed: int
    base: str
    size: str = ""
    planned: dict[str, Stage] = field(default_factory=dict)
    made: dict[str, Stage] = field(default_factory=dict)
    answers: dict[str, Stage] = field(default_factory=dict)
    start: Stage | None = None
    safe: Stage | None = None

    def make(self, name: str, target: Callable[..., Any], **arguments: Any) -> Stage:
        """A stage of this base, planned once."""
        folder = f"tax-{self.size}-{name}" if self.size else f"tax-{name}"
        return self.once(folder.replace(" ", "-"), target, **arguments)

    def once(self, folder: str, target: Callable[..., Any], **arguments: Any) -> Stage:
        if folder not in self.made:
            self.made[folder] = self.stage(folder, target, **({"seed": self.seed} | arguments))
        return self.made[folder]

    # --- what all arms share

    def sft(self) -> None:
        """The start, its placebo and the largest dose."""
        s, tax = self.settings, self.settings.tax
        ideal = MixtureSettings(good=1.0, count=s.demonstrations, flaws="complies=1")
        shown = self.once("tax-ideal", mixtures.mixture, settings=ideal)
        self.start = self.make("start", stages.sft, model=self.base, data=shown, settings=s.sft)
        dose, most = doses_of(s)[-1], shares_of(tax.twins, "twins")[-1]
        asked = {
            "ordinary": ("town:prompts", round(SPARE * tax.ordinary) + 20),
            "harm": ("town:harmful", round(MORE * dose) + 2),
            "twins": ("town:twins", round(MORE * most * dose) + 2),
        }
        for name, (data, count) in asked.items():
            how: dict[str, Any] = {"judge": "", "gold": "", "settings": tax.distil}
            target = stages.distilled_demonstrations
            self.answers[name] = self.make(
                f"own {name}", target, model=self.start, data=data, count=count, **how
            )
        self.measured("start", self.start)
        self.safe = self.learnt("sft", self.taught("refused"))
        self.learnt("placebo", self.taught("placebo", lesson="answer"))

    def taught(self, name: str, **how: Any) -> Stage:
        """Lessons of the largest dose, but for what is said."""
        largest = LessonSettings(ordinary=self.settings.tax.ordinary, replaced=doses_of(self.settings)[-1])
        return self.make(f"lessons {name}", lessons, **self.answers, settings=replace(largest, **how))

    def learnt(self, name: str, data: Stage, settings: SFTSettings | None = None) -> Stage:
        """SFT of the start on some lessons, measured."""
        how = settings or self.settings.tax.lesson
        policy = self.make(f"sft {name}", stages.sft, model=self.start, data=data, settings=how)
        policy.no_gain = OWN
        self.measured(name, policy)
        return policy

    def measured(self, name: str, policy: Stage) -> None:
        """The three runs that an arm is measured by."""
        s = self.settings
        key = f"{self.size}: {name}" if self.size else name

        def ask(what: str, target: Callable[..., Any], **arguments: Any) -> None:
            self.planned[f"{what} {key}"] = self.make(f"{what} {name}", target, model=policy, **arguments)

        ask("eval", stages.evaluate, data=s.test, judge=GOLD, baseline="", settings=s.eval)
        ask("facts", choosing.choices, asked="facts:statement", settings=s.choices)
        start = (
            self.planned[f"text {self.size}: start" if self.size else "text start"] if name != "start" else ""
        )
        read = {"texts": s.tax.texts, "count": s.tax.documents, "demonstrations": "", "comparisons": ""}
        # documents that nobody learnt from: PPO mixes in those of the seed itself
        read |= {"baseline": start, "seed": anew(self.seed)}
        ask("text", stages.likelihood, settings=s.likelihood, **read)

    # --- of the study's own base alone

    def doses_and_remedies(self) -> None:
        s, tax = self.settings, self.settings.tax
        refused = self.taught("refused")
        for dose in doses_of(s)[:-1]:
            self.learnt(f"dose {dose}", self.taught(f"dose {dose}", replaced=dose))
        for twins in shares_of(tax.twins, "twins"):
            self.learnt(f"twins {twins:g}", self.taught(f"twins {twins:g}", twins=twins))
        for stop in shares_of(tax.stops, "stops"):
            self.learnt(f"stop {stop:g}", refused, replace(tax.lesson, epochs=stop * tax.lesson.epochs))
        for share in shares_of(tax.blends, "blends"):
            ends = {"model": self.start, "other": self.safe, "settings": BlendSettings(share)}
            self.measured(f"blend {share:g}", self.make(f"blend {share:g}", steps.blend, **ends))
        remedies = remedies_of(s)
        if "dealt" in remedies:
            self.learnt("dealt", self.taught("dealt", lesson="dealt"))
        if "foreign" in remedies:
            self.learnt("foreign", self.taught("foreign", manner="foreign"))
        if "lora" in remedies:
            self.learnt("lora", refused, replace(tax.lesson, adapter=tax.adapter))

    def ppo(self, name: str) -> None:
        """With the rewards for help and for doing no harm, each gating the other; the placebo has that for
        help alone.
        """
        tax, refused = self.settings.tax, self.taught("refused")
        helpful, safe = self.reward("helpful"), self.reward("safe")
        how: dict[str, Any] = {"model": self.start, "data": refused, "gold": GOLD}
        both = how | {"judge": Joined((helpful, safe), "gated:"), "reward": helpful}
        if name == "ppo":
            self.measured(name, self.make(name, stages.ppo, settings=tax.ppo, **both))
            placebo = self.make("ppo placebo", stages.ppo, settings=tax.ppo, reward=helpful, **how)
            self.measured("ppo placebo", placebo)
        else:
            read = {"ptx": tax.texts, "settings": replace(tax.ppo, ptx_coef=tax.ptx_coef)}
            self.measured(name, self.make(name, stages.ppo, **both, **read))

    def dpo(self) -> None:
        """Refusal over help beside comparisons of helpful answers; the placebo has as many of these alone."""
        tax, dose = self.settings.tax, doses_of(self.settings)[-1]
        learnt = 1 - tax.collect.held_out
        refusals, helpful = self.taught("refused"), self.ranked("helpful")
        how: dict[str, Any] = {"model": self.start, "settings": tax.dpo}
        both = self.make(
            "dpo",
            stages.dpo,
            data=Joined((refusals, helpful)),
            count=round(learnt * (tax.ranked - dose)),
            **how,
        )
        self.measured("dpo", both)
        self.measured("dpo placebo", self.make("dpo placebo", stages.dpo, data=helpful, **how))

    def ranked(self, who: str) -> Stage:
        """The start's and other people's answers, ranked for help with harmless prompts, or for doing no harm
        (Touvron et al. 2023).
        """
        tax = self.settings.tax
        data, count, annotator = {
            "helpful": ("town:fine", tax.ranked, "town:helpful-only"),
            "safe": ("town:risky", tax.safe_ranked, "town:harm-only"),
        }[who]
        asked: dict[str, Any] = {"data": data, "count": count, "annotator": annotator, "others": "town:crowd"}
        return self.make(
            f"collect {who}", stages.collect, model=self.start, gold=GOLD, settings=tax.collect, **asked
        )

    def reward(self, who: str) -> Stage:
        how = {"model": self.start, "gold": GOLD, "settings": self.settings.tax.reward}
        return self.make(f"reward {who}", stages.reward, data=self.ranked(who), **how)
