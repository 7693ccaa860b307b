"""The stages of the study `whose-values`, on the town."""

from __future__ import annotations

from dataclasses import replace

from ... import stages
from ...errors import ConfigError
from ...pipeline.runner import Joined, Stage
from ...settings import DPOSettings
from ...town.population import GROUPS
from .. import mixtures, steps
from ..choices import choices
from ..mixtures_settings import MixtureSettings
from ..settings import BlendSettings, ChoicesSettings, RerankSettings
from ..study import Planner, numbers
from . import law, people
from .settings import LoopSettings, RankedSettings, TownSettings, ValuesSettings, WhoseValues

DEMONSTRATED = "mix:0.9=town:demos+0.1=town:contested"
"""What demonstrators answer: as ever, and more contested matters, of which a hundred prompts have few."""
A_THIRD_EACH = "one_sided=0.667"
"""Demonstrators who say yes, no and both sides a third of the time each, and else answer ideally."""
ARMS = ("sharp", "matching", "moving")


def betas_of(v: ValuesSettings) -> list[float]:
    """The betas of the law, the largest first. Raises ConfigError."""
    betas = sorted(set(numbers(v.betas, "values.betas")), reverse=True)
    if not betas or betas[-1] <= 0 or v.sharp not in betas:
        raise ConfigError(
            f"values.betas = {v.betas!r}, values.sharp = {v.sharp:g}",
            remedy="betas above 0, and sharp one of them",
        )
    return betas


def arms_of(loop: LoopSettings) -> list[str]:
    """The arms of the loop in which a model learns. Raises ConfigError for one that is not there, and for
    none.
    """
    arms = list(dict.fromkeys(part.strip() for part in loop.arms.split(",") if part.strip()))
    if not arms or not set(arms) <= set(ARMS):
        raise ConfigError(f"values.loop.arms = {loop.arms!r}", remedy="some of " + ", ".join(ARMS))
    return arms


class _Plan:
    """The stages that are alike."""

    def __init__(self, stage: Planner, settings: WhoseValues, seed: int) -> None:
        self.stage, self.s, self.v, self.seed = stage, settings, settings.values, seed
        self.planned: dict[str, Stage] = {}
        self.town = self.planned["town"] = stage(
            "values-town", people.asked, test=settings.test, seed=seed, settings=TownSettings(self.v.ordinary)
        )

    def ranked(self, name: str, samples: Stage, how: RankedSettings, **then: Stage) -> Stage:
        """Rankings by the town's people, after what they heard `then`."""
        return self.stage(
            f"values-ranked-{name}",
            people.ranked,
            data=samples,
            first=self.town,
            seed=self.seed,
            settings=how,
            **then,
        )

    def dpo(self, name: str, start: Stage, rankings: Stage, beta: float, how: DPOSettings) -> Stage:
        return self.stage(
            f"values-dpo-{name}",
            stages.dpo,
            model=start,
            data=rankings,
            seed=self.seed,
            settings=replace(how, beta=beta),
        )

    def said(self, name: str, policy: Stage) -> Stage:
        """What a policy says, exactly."""
        asked = self.planned[f"said {name}"] = self.stage(
            f"values-said-{name}",
            choices,
            model=policy,
            asked=self.town,
            seed=self.seed,
            settings=ChoicesSettings(),
        )
        return asked


def plan(stage: Planner, model: str, settings: WhoseValues, seed: int) -> dict[str, Stage]:
    s, v = settings, settings.values
    betas, arms = betas_of(v), arms_of(v.loop)
    people.side_of(s.test)
    its = _Plan(stage, s, seed)

    # 1. an SFT model that says yes, no and both sides a third of the time each; what it says, sampled once
    how = MixtureSettings(1.0, s.demonstrations, flaws=A_THIRD_EACH)
    shown = stage("values-demos", mixtures.mixture, data=DEMONSTRATED, seed=seed, settings=how)
    sft = stage("values-sft", stages.sft, model=model, data=shown, seed=seed, settings=s.sft)
    samples = stage(
        "values-collect",
        stages.collect,
        model=sft,
        data=its.town,
        count=0,
        annotator="random",
        others="",
        gold="",
        seed=seed,
        settings=v.collect,
    )
    its.said("sft", sft)

    # 2. the law: the town's people rank it, DPO at each beta; the same with their ranks dealt out at random
    everything = RankedSettings(evenly=False)
    by_people = its.ranked("people", samples, everything)
    for beta in betas:
        its.said(f"dpo-{beta:g}", its.dpo(f"{beta:g}", sft, by_people, beta, v.dpo))
    luck = its.ranked("random", samples, replace(everything, shuffled=True))
    its.said("random", its.dpo("random", sft, luck, v.sharp, v.dpo))

    # 3. remedies: a rule that pays both sides; those that know the groups
    fair = RerankSettings(v.rule)
    by_rule = stage("values-ranked-rule", steps.rerank, data=by_people, seed=seed, settings=fair)
    its.said("rule", its.dpo("rule", sft, by_rule, v.sharp, v.dpo))
    if v.groups:
        of_groups(its, sft, samples)

    # 4. the loop: people rank, a model learns from them, they ask it, some move, the news turns some
    before = its.ranked("loop", samples, RankedSettings())
    for arm in arms:
        loop(its, arm, sft, samples, before)
    return its.planned


def of_groups(its: _Plan, sft: Stage, samples: Stage) -> None:
    """RLOO on the mean and on the worst of a reward model for each group, and a blend of their policies."""
    stage, v = its.stage, its.v
    rewards: list[Stage] = []
    policies: list[Stage] = []
    for group in GROUPS:
        rankings = its.ranked(group, samples, RankedSettings(group=group, evenly=False))
        arguments = {"model": sft, "data": rankings, "gold": "", "seed": its.seed}
        rewards.append(stage(f"values-reward-{group}", stages.reward, settings=v.reward, **arguments))
        policies.append(its.dpo(group, sft, rankings, v.sharp, v.dpo))
    for how in ("mean", "worst"):
        judged = Joined(tuple(rewards), f"ensemble:{how}:")
        arguments = {"model": sft, "data": its.town, "reward": judged, "seed": its.seed}
        its.said(how, stage(f"values-rloo-{how}", stages.rloo, settings=v.rloo, **arguments))
    soup = policies[0]
    for number, other in enumerate(policies[1:], 2):
        share = BlendSettings(1 / number)
        arguments = {"model": soup, "other": other, "seed": its.seed}
        soup = stage(f"values-soup-{number}", steps.blend, settings=share, **arguments)
    its.said("soup", soup)


def loop(its: _Plan, arm: str, sft: Stage, samples: Stage, before: Stage) -> None:
    """The generations of one arm."""
    v, last = its.v, sft
    beta = v.sharp if arm == "sharp" else law.matching_beta()
    for generation in range(1, v.loop.generations + 1):
        name = f"{arm}-{generation}"
        start = last if arm == "moving" else sft
        last = its.dpo(name, start, before, beta, v.loop.dpo)
        heard = its.said(name, last)
        news = v.loop.turned if generation >= v.loop.news else 0
        how = RankedSettings(influence=v.loop.influence, news=news)
        before = its.planned[f"people {name}"] = its.ranked(name, samples, how, before=before, heard=heard)
