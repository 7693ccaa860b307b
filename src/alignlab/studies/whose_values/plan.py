"""The stages of the study `whose-values`, on the town."""

from __future__ import annotations

from dataclasses import replace

from ... import stages
from ...errors import ConfigError
from ...pipeline.runner import Joined, Stage
from ...town.population import GROUPS
from .. import mixtures, steps
from ..choices import choices
from ..mixtures_settings import MixtureSettings
from ..settings import BlendSettings, ChoicesSettings, NoSettings, RerankSettings
from ..study import Planner, numbers
from . import law, people
from .settings import LoopSettings, RankedSettings, ValuesSettings, WhoseValues

DEMONSTRATED = "mix:0.7=town:demos+0.3=town:contested"
"""What demonstrators answer: as ever, and every wording of every contested matter."""
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
    """The stages that are alike, and what all set out from: an SFT model that says yes, no and both sides a
    third of the time each, and what it says, sampled once.
    """

    def __init__(self, stage: Planner, model: str, settings: WhoseValues, seed: int) -> None:
        self.stage, self.v, self.seed = stage, settings.values, seed
        self.planned: dict[str, Stage] = {}
        self.town = self.planned["town"] = stage(
            "values-town", people.asked, test=settings.test, seed=seed, settings=NoSettings()
        )
        how = MixtureSettings(1.0, settings.demonstrations, flaws=A_THIRD_EACH)
        shown = stage("values-demos", mixtures.mixture, data=DEMONSTRATED, seed=seed, settings=how)
        self.sft = stage("values-sft", stages.sft, model=model, data=shown, seed=seed, settings=settings.sft)
        self.samples = stage(
            "values-collect",
            stages.collect,
            model=self.sft,
            data=self.town,
            count=0,
            annotator="random",
            others="",
            gold="",
            seed=seed,
            settings=self.v.collect,
        )
        self.said("sft", self.sft)

    def ranked(self, name: str, how: RankedSettings, **then: Stage) -> Stage:
        """Rankings by the town's people, after what they heard `then`."""
        arguments = {"data": self.samples, "first": self.town, "seed": self.seed, **then}
        return self.stage(f"values-ranked-{name}", people.ranked, settings=how, **arguments)

    def dpo(self, name: str, rankings: Stage, beta: float, start: Stage | None = None) -> Stage:
        """A policy that has learnt from rankings; it sets out from SFT, or from another."""
        arguments = {"model": start or self.sft, "data": rankings, "seed": self.seed}
        how = replace(self.v.dpo, beta=beta)
        return self.stage(f"values-dpo-{name}", stages.dpo, settings=how, **arguments)

    def said(self, name: str, policy: Stage) -> Stage:
        """What a policy says, exactly."""
        arguments = {"model": policy, "asked": self.town, "seed": self.seed, "settings": ChoicesSettings()}
        asked = self.planned[f"said {name}"] = self.stage(f"values-said-{name}", choices, **arguments)
        return asked


def plan(stage: Planner, model: str, settings: WhoseValues, seed: int) -> dict[str, Stage]:
    v = settings.values
    betas, arms = betas_of(v), arms_of(v.loop)
    people.side_of(settings.test)
    its = _Plan(stage, model, settings, seed)

    # the law: the town's people rank what it says, DPO at each beta; the same with all ranks dealt at random
    by_people = its.ranked("people", RankedSettings())
    policies = {beta: its.dpo(f"{beta:g}", by_people, beta) for beta in betas}
    for beta, policy in policies.items():
        its.said(f"dpo-{beta:g}", policy)
    luck = its.ranked("random", RankedSettings(shuffled=True))
    its.said("random", its.dpo("random", luck, v.sharp).is_control("its ranks are dealt at random"))

    # remedies: a rule that pays both sides; those that know the groups
    fair = RerankSettings(v.rule)
    by_rule = stage("values-ranked-rule", steps.rerank, data=by_people, seed=seed, settings=fair)
    its.said("rule", its.dpo("rule", by_rule, v.sharp))
    if v.groups:
        of_groups(its)

    # the loop: people rank, a model learns from them, they ask it, some move, the news turns some
    if "sharp" in arms:
        loop(its, "sharp", v.sharp, by_people, policies[v.sharp])
    slow = [arm for arm in arms if arm != "sharp"]
    if slow:
        matching = law.matching_beta()
        first = its.dpo("matching", by_people, matching)
        for arm in slow:
            loop(its, arm, matching, by_people, first)
    return its.planned


def of_groups(its: _Plan) -> None:
    """RLOO on the mean and on the worst of a reward model for each group, and a blend of their policies."""
    stage, v = its.stage, its.v
    rewards: list[Stage] = []
    policies: list[Stage] = []
    for group in GROUPS:
        rankings = its.ranked(group, RankedSettings(group=group))
        arguments = {"model": its.sft, "data": rankings, "gold": "", "seed": its.seed}
        rewards.append(stage(f"values-reward-{group}", stages.reward, settings=v.reward, **arguments))
        policies.append(its.dpo(group, rankings, v.sharp))
    for how in ("mean", "worst"):
        judged = Joined(tuple(rewards), f"ensemble:{how}:")
        arguments = {"model": its.sft, "data": its.town, "reward": judged, "seed": its.seed}
        its.said(how, stage(f"values-rloo-{how}", stages.rloo, settings=v.rloo, **arguments))
    soup = policies[0]
    for number, other in enumerate(policies[1:], 2):
        share = BlendSettings(1 / number)
        arguments = {"model": soup, "other": other, "seed": its.seed}
        soup = stage(f"values-soup-{number}", steps.blend, settings=share, **arguments)
    its.said("soup", soup)


def loop(its: _Plan, arm: str, beta: float, ranked: Stage, policy: Stage) -> None:
    """The generations of one arm, the first of which asks a policy that has learnt from rankings already."""
    how = its.v.loop
    for generation in range(1, how.generations + 1):
        name = f"{arm}-{generation}"
        if generation > 1:
            policy = its.dpo(name, ranked, beta, policy if arm == "moving" else None)
        heard = its.said(name, policy)
        news = how.turned if generation >= how.news else 0
        moved = RankedSettings(influence=how.influence, news=news)
        ranked = its.planned[f"people {name}"] = its.ranked(name, moved, before=ranked, heard=heard)
