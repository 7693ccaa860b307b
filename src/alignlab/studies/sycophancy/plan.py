"""Stages of the study `sycophancy`, for models of the town."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ... import stages
from ...errors import ConfigError
from ...pipeline.runner import Stage
from ...text.lists import by_comma
from .. import measuring, mixtures, steps
from ..mixtures_settings import MixtureSettings
from ..settings import NoSettings, RerankSettings
from ..study import Planner, held_out, numbers
from . import asking, rewarding
from .law import Rater
from .settings import Sycophancy, SycophancySettings

ASKED = "mix:0.75=town:claim+0.25=town:prompts"
"""What is ranked, and what RLOO learns on."""
SHOWN = "mix:0.4=town:claim+0.6=town:demos"
"""What SFT learns to answer: many claims, so that it learns how often they are agreed with."""
WITHOUT_LOOKING = "agrees=0.4"
"""The only flaw of the demonstrations: so often they agree with a claim without looking."""
BLIND = 0.1
"""How much raters like agreement who can check nothing: as little as any."""
EVERYTHING = 1.0
STRONG, LAX = (1.2, 1.0), (0.4, 0.2)
"""Liking and share of facts that can be checked, of the raters whose flattery is to be cured: one likes
agreement more than the truth, the other cannot see it."""
LESSONS = {"lessons": "town:claim", "placebo": "town:fact"}
"""What SFT learns as a remedy, answered as well as can be: claims, of which two in five are right (Wei et al.
2023); and, as a control, as many plain questions."""
REMEDIES = ("penalty", "pool", "look-up", "lessons")


def grid(settings: SycophancySettings) -> list[Rater]:
    """The raters of the phase diagram. Raises ConfigError for numbers that are none of theirs."""
    likings, checks, noises = (
        dial(getattr(settings, name), name) for name in ("likings", "checks", "noises")
    )
    if not (likings and checks and noises) or checks[-1] > 1 or noises[0] <= 0:
        raise ConfigError(
            f"sycophancy.likings = {settings.likings!r}, checks = {settings.checks!r}, "
            f"noises = {settings.noises!r}",
            remedy="one or more of each; checks are shares from 0 to 1, and noises are above 0",
        )
    found: list[Rater] = []
    for noise in noises:
        found += [Rater(liking, check, noise) for liking in likings for check in checks]
        found.append(Rater(BLIND, 0.0, noise))
    return sorted(set(found))


def least_noise(settings: SycophancySettings) -> float:
    """The noise of the raters whose preferences are looked into and cured."""
    return dial(settings.noises, "noises")[0]


def layered(settings: SycophancySettings) -> list[Rater]:
    """Raters who can check everything, for whom reward models and RLOO are trained, at the least noise."""
    noise = least_noise(settings)
    return [Rater(liking, EVERYTHING, noise) for liking in dial(settings.layers, "layers")]


def cured(settings: SycophancySettings) -> list[Rater]:
    """The raters whose flattery is to be cured."""
    return [Rater(liking, check, least_noise(settings)) for liking, check in (STRONG, LAX)]


def looking_up(rater: Rater) -> Rater:
    """The same, who may look up every second of the facts that he does not know."""
    return replace(rater, knows=(1 + rater.knows) / 2)


def tried(settings: SycophancySettings) -> list[str]:
    """The remedies. Raises ConfigError for one that is none, or that needs a rater who is not layered."""
    remedies = by_comma(settings.remedies)
    unknown = sorted(set(remedies) - set(REMEDIES))
    if unknown or ("penalty" in remedies and STRONG[0] not in dial(settings.layers, "layers")):
        raise ConfigError(
            f"sycophancy.remedies = {settings.remedies!r}, layers = {settings.layers!r}",
            remedy=f"of {', '.join(REMEDIES)}; the penalty needs {STRONG[0]:g} among the layers",
        )
    return remedies


def dial(text: str, name: str) -> list[float]:
    """The values of a list, smallest first, each once. Raises ConfigError for one below 0."""
    values = sorted(set(numbers(text, f"sycophancy.{name}")))
    if values and values[0] < 0:
        raise ConfigError(f"sycophancy.{name} = {text!r}", remedy="no value below 0")
    return values


def pool_of(rater: Rater, honest: int) -> str:
    """Three people who share the work, of whom so many are honest and can check everything."""
    return f"pool:{rater.name}*{3 - honest},{upright(rater).name}*{honest}"


def for_pool(rater: Rater, honest: int) -> float:
    """The share of their comparisons that agreement wins."""
    return (rater.for_agreement * (3 - honest) + upright(rater).for_agreement * honest) / 3


def upright(rater: Rater) -> Rater:
    """Somebody honest who can check everything, with the same noise."""
    return replace(rater, agreeing=0.0, knows=EVERYTHING)


def reward_name(rater: Rater) -> str:
    """The run folder of the reward model of a layered rater, by which its scores are named."""
    return f"sycophancy-reward-{rater.agreeing:g}"


class Planned:
    """The stages of one seed, by name, as they are planned."""

    def __init__(self, stage: Planner, model: str, settings: Sycophancy, seed: int) -> None:
        self.stage, self.settings, self.seed = stage, settings.sycophancy, seed
        self.stages: dict[str, Stage] = {}
        self.policies: dict[str, Stage] = {}
        s, y = settings, settings.sycophancy
        trained = [(SHOWN, s.demonstrations), (ASKED, y.prompts)]
        self.held_out = held_out(stage, s.test, trained, seed, "sycophancy-held-out")
        self.stages["held-out"] = self.held_out
        self.claims = self.keep("claims", asking.claims, data=self.held_out, settings=y.claims)
        people = MixtureSettings(count=s.demonstrations, flaws=WITHOUT_LOOKING)
        shown = self.make("demonstrations", mixtures.mixture, data=SHOWN, settings=people)
        self.sft = self.make("sft", stages.sft, model=model, data=shown, settings=s.sft)
        asked = {"data": ASKED, "count": y.prompts}
        both = self.make("answers", asking.answers, settings=NoSettings(), **asked)
        self.ranked = self.make(
            "collect",
            stages.collect,
            model=self.sft,
            annotator=s.annotator,
            others=both,
            gold="",
            settings=y.collect,
            **asked,
        )
        self.learnt = {"model": self.sft, "settings": y.rloo, **asked}

    def make(self, name: str, target: Any, **arguments: Any) -> Stage:
        """A stage of this study alone, in a folder by its name."""
        folder = "sycophancy-" + name.replace(",", "").replace(" ", "-")
        return self.stage(folder, target, seed=self.seed, **arguments)

    def keep(self, name: str, target: Any, **arguments: Any) -> Stage:
        """One that figures are read from; asked for twice, it is made once."""
        if name not in self.stages:
            self.stages[name] = self.make(name, target, **arguments)
        return self.stages[name]

    def ask(self, name: str, policy: Stage, **more: Any) -> None:
        """What a policy says of the claims."""
        self.policies[name] = policy
        self.keep(
            f"ask {name}",
            asking.ask,
            model=policy,
            settings=self.settings.ask,
            **{"data": self.claims} | more,
        )

    def by(self, name: str, annotator: str) -> Stage:
        """The answers that were collected, ranked by somebody else."""
        return self.keep(f"rank {name}", steps.rerank, data=self.ranked, settings=RerankSettings(annotator))

    def dpo(self, name: str, rankings: Stage) -> Stage:
        """DPO on rankings, and what it says of the claims."""
        if name not in self.policies:
            how = {"model": self.sft, "data": rankings, "settings": self.settings.dpo}
            self.ask(name, self.make(f"dpo {name}", stages.dpo, **how))
        return self.policies[name]

    def of(self, rater: Rater) -> Stage:
        """DPO on what a rater prefers."""
        return self.dpo(str(rater), self.by(str(rater), rater.name))

    def curve(self, name: str, data: Stage, rewards: list[Stage]) -> Stage:
        """Many answers to the first claims, wrong ones, scored by reward models and gold."""
        return self.keep(
            name,
            measuring.curve,
            model=self.sft,
            rewards=rewards,
            data=data,
            count=self.settings.claims.tilted,
            gold="town:gold",
            settings=self.settings.curve,
            parts=("agreement",),
        )


def plan(stage: Planner, model: str, settings: Sycophancy, seed: int) -> dict[str, Stage]:
    y, p = settings.sycophancy, Planned(stage, model, settings, seed)
    remedies = tried(y)

    # 1. people who often agree without looking, and two controls: raters without taste, honest ones who can
    # check everything
    p.ask("sft", p.sft)
    p.dpo("random", p.by("random", "random")).is_control("its preferences are dealt at random")
    p.dpo("honest", p.ranked)

    # 2. the phase diagram: raters who differ in taste, knowledge and noise rank the same answers
    for rater in grid(y):
        p.of(rater)

    # 3. three layers: what the rater prefers, what a reward model makes of it, what RLOO makes of that
    rewards: dict[Rater, Stage] = {}
    for rater in layered(y):
        rankings = p.by(str(rater), rater.name)
        rewards[rater] = p.stage(
            reward_name(rater),
            stages.reward,
            model=p.sft,
            data=rankings,
            gold="",
            seed=seed,
            settings=y.reward,
        )
        p.keep(f"pairs {rater}", rewarding.pairs, reward=rewards[rater], data=p.claims, settings=NoSettings())
        free = p.make(f"rloo {rater}", stages.rloo, reward=rewards[rater], judge="", **p.learnt)
        p.ask(f"rloo {rater}", free, reference=p.sft)
    if rewards:
        p.curve("curve", p.claims, list(rewards.values()))

    # 4. remedies
    strong, lax = cured(y)
    if "penalty" in remedies:
        wrong = replace(y.claims, others=0)
        known = p.keep("known claims", asking.claims, data=p.held_out, side="train", settings=wrong)
        drawn = p.curve("known curve", known, [rewards[strong]])
        p.ask("known", p.policies[f"rloo {strong}"], data=known, reference=p.sft)
        asked = p.stages["ask known"]
        price = p.keep("penalty", rewarding.penalty, curve=drawn, asked=asked, settings=NoSettings())
        reward = rewards[strong]
        p.ask("priced", p.make("rloo priced", rewarding.priced_rloo, price=price, reward=reward, **p.learnt))
    for rater in (strong, lax) if set(remedies) - {"penalty"} else ():
        flattering = p.of(rater)
        for honest in (1, 2) if "pool" in remedies else ():
            p.dpo(f"pool {honest} {rater}", p.by(f"pool {honest} {rater}", pool_of(rater, honest)))
        if "look-up" in remedies:
            p.of(looking_up(rater))
        for what, data in LESSONS.items() if "lessons" in remedies else ():
            answered = MixtureSettings(good=1.0, count=y.lessons)
            shown = p.keep(what, mixtures.mixture, data=data, settings=answered)
            how = {"model": flattering, "data": shown, "settings": y.taught}
            p.ask(f"{what} {rater}", p.make(f"sft {what} {rater}", stages.sft, **how))
    return p.stages
