"""The stages of the study `oversight`: three experiments, each with its controls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

from ... import stages
from ...errors import ConfigError
from ...pipeline.runner import Stage
from ...settings import SFTSettings
from ...text.lists import by_comma
from .. import choices, measuring, mixtures, steps
from ..mixtures_settings import MixtureSettings
from ..settings import NoSettings, PointSettings, RerankSettings
from ..study import Planner, anew, numbers
from . import supervised
from .settings import AskedSettings, LookSettings, Oversight, Rule, SupervisorSettings

RULES: tuple[Rule, ...] = get_args(Rule)
CEILING = "no errors"
MIX = "mix:0.5=town:fact+0.2=town:two_hop+0.3=town:unanswerable"
COUNTED = ("clauses", "right_clauses")
"""Parts that gold has of a dossier."""


@dataclass(frozen=True)
class Arm:
    """A student of a supervisor.

    Attributes:
        base: the model it starts from; "" = the study's.
        longer: shown the demonstrations `passes` times.
        trusting: shown those alone that its own base believes.
    """

    share: float
    rule: Rule
    base: str = ""
    longer: bool = False
    trusting: bool = False

    @property
    def name(self) -> str:
        if not self.share:
            return CEILING
        more = [self.base, "longer" * self.longer, "trusting" * self.trusting]
        return " ".join([self.rule, f"{self.share:g}", *filter(None, more)])


def shares_of(settings: Oversight) -> list[float]:
    """The shares of errors. Raises ConfigError for what is none, or without `at`."""
    o = settings.oversight
    shares = sorted(set(numbers(o.shares, "oversight.shares")))
    if not shares or shares[0] <= 0 or shares[-1] >= 1 or o.at not in shares:
        raise ConfigError(
            f"oversight.shares = {o.shares!r}, at = {o.at:g}",
            remedy="shares above 0 and below 1, and at one of them",
        )
    return shares


def raters_of(settings: Oversight) -> dict[str, str]:
    """The dials of each rater, by what he can check."""
    share = settings.oversight.checks
    return {
        "nothing": "knows=0",
        "scattered": f"knows={share:g}",
        "by rule": f"knows-by-rule={share:g}",
        "everything": "knows=1",
    }


def arms_of(settings: Oversight) -> list[Arm]:
    """Every student, the ceiling first."""
    arms = [Arm(0.0, RULES[0])]
    arms += [Arm(share, rule) for rule in RULES for share in shares_of(settings)]
    scattered, rule = (Arm(settings.oversight.at, name) for name in RULES)
    arms += [replace(scattered, longer=True), replace(rule, trusting=True)]
    for size in by_comma(settings.oversight.sizes):
        arms += [replace(rule, base=size)]
    return arms


def looks_of(settings: Oversight) -> dict[str, tuple[LookSettings, str]]:
    """Each protocol: where one looks, and which mind points, by the name of its stage; "" = nobody's."""
    least, most = LookSettings("least-likely"), LookSettings("likeliest")
    critics = {f"critic {size}": (least, f"knows {size}") for size in by_comma(settings.oversight.sizes)}
    return {
        "consultancy": (most, "author knows"),
        "alone": (LookSettings("random"), ""),
        "critic who knows nothing": (LookSettings("least-likely", dealt=True), "author knows"),
        "debate": (least, "author knows"),
        "critic": (least, "knows"),
        **critics,
        "oracle": (LookSettings("wrong"), ""),
    }


TRAINED = ("consultancy", "alone", "debate")
"""Protocols whose labels are learnt from; beside them `coins`, no look at all."""


def plan(stage: Planner, model: str, settings: Oversight, seed: int) -> dict[str, Stage]:
    planned: dict[str, Stage] = {}
    able = errors(stage, model, settings, seed, planned)
    one_look(stage, able, settings, seed, planned)
    raters(stage, able, settings, seed, planned)
    return planned


def named(name: str) -> str:
    return "oversight-" + name.replace(" ", "-")


def know(stage: Planner, name: str, model: Stage | str, asked: Stage | str, settings: Oversight) -> Stage:
    """What a model finds likely of each fact."""
    return stage(named(name), choices.choices, model=model, asked=asked, seed=0, settings=settings.choices)


def errors(stage: Planner, model: str, settings: Oversight, seed: int, planned: dict[str, Stage]) -> Stage:
    """What is imitated of a supervisor who is wrong. The student of one without errors is returned."""
    s, o = settings, settings.oversight
    facts = planned["facts"] = stage(
        named("facts"), supervised.facts, data=s.test, seed=seed, settings=NoSettings()
    )
    # 1. what the bases know, before they are shown anything
    for size in ("", *by_comma(o.sizes)):
        name = f"knows {size}".strip()
        planned[name] = know(stage, name, size or model, "facts:statement", s)

    # 2. demonstrations of each supervisor, and a student of each
    shown: dict[tuple[float, Rule, bool], Stage] = {}
    students: dict[str, Stage] = {}
    for arm in arms_of(settings):
        which = (arm.share, arm.rule, arm.trusting)
        if which not in shown:
            shown[which] = planned[f"shown {arm.name}"] = stage(
                named(f"shown {arm.name}"),
                supervised.supervised,
                data="town:demos",
                count=s.demonstrations,
                trusted=planned["knows"] if arm.trusting else "",
                seed=seed,
                settings=SupervisorSettings(arm.share, arm.rule),
            )
        student = students[arm.name] = taught(
            stage,
            arm.name,
            arm.base or model,
            shown[which],
            replace(s.sft, epochs=o.passes) if arm.longer else s.sft,
            seed,
        )

        # 3. what it says of each fact; and whether it still knows better, in the words of the corpus
        planned[f"says {arm.name}"] = know(stage, f"says {arm.name}", student, facts, s)
        if arm.share in (0, o.at) and not arm.base and not arm.trusting:
            name = f"still knows {arm.name}"
            planned[name] = know(stage, name, student, "facts:statement", s)
    return students[CEILING]


def taught(
    stage: Planner, name: str, base: Stage | str, data: Stage, settings: SFTSettings, seed: int
) -> Stage:
    return stage(named(f"sft {name}"), stages.sft, model=base, data=data, seed=seed, settings=settings)


def one_look(stage: Planner, able: Stage, settings: Oversight, seed: int, planned: dict[str, Stage]) -> None:
    """What one look at each dossier is worth, by who points."""
    s, o = settings, settings.oversight
    new = planned["dossiers"] = stage(
        named("dossiers"), supervised.asked, data=s.test, seed=seed, settings=AskedSettings("dossiers")
    )
    data = stage(
        named("shown dossiers"),
        mixtures.mixture,
        data="town:dossier",
        seed=seed,
        settings=MixtureSettings(count=o.dossiers, flaws=f"wrong={o.wrong:g}"),
    )
    author = taught(stage, "dossiers", able, data, o.author, seed)
    planned["author knows"] = know(stage, "author knows", author, "facts", s)
    coins = ranked(stage, "coins", author, "town:dossier", o.dossiers, settings, seed)
    labels = {"coins": coins}
    for name, (look, mind) in looks_of(settings).items():
        labels[name] = planned[f"look {name}"] = stage(
            named(f"look {name}"),
            supervised.overseen,
            data=coins,
            mind=planned[mind] if mind else "",
            seed=anew(seed),
            settings=look,
        )
    planned["point author"] = pointed(stage, "author", author, author, new, s.point, seed)
    for name in ("coins", *TRAINED):
        better = preferred(stage, name, author, labels[name], settings, seed)
        if name == "coins":
            better.is_control("its labels are thrown by coins")
        planned[f"point {name}"] = pointed(stage, name, better, author, new, s.point, seed)


def ranked(
    stage: Planner, name: str, model: Stage, data: str, count: int, settings: Oversight, seed: int
) -> Stage:
    """Answers of a model to requests of training's, another draw than it was shown; coins rank them."""
    return stage(
        named(f"collect {name}"),
        stages.collect,
        model=model,
        data=data,
        count=count,
        annotator="random",
        others="",
        gold="",
        seed=anew(seed),
        settings=settings.oversight.collect,
    )


def preferred(stage: Planner, name: str, model: Stage, data: Stage, settings: Oversight, seed: int) -> Stage:
    return stage(
        named(f"dpo {name}"), stages.dpo, model=model, data=data, seed=seed, settings=settings.oversight.dpo
    )


def pointed(
    stage: Planner, name: str, model: Stage, start: Stage, data: Stage, settings: PointSettings, seed: int
) -> Stage:
    """Answers at temperature 1 on the side of the test."""
    return stage(
        named(f"point {name}"),
        measuring.point,
        model=model,
        reference=start,
        rewards=[],
        data=data,
        count=0,
        gold="town:gold",
        seed=seed,
        parts=COUNTED,
        settings=settings,
    )


def raters(stage: Planner, able: Stage, settings: Oversight, seed: int, planned: dict[str, Stage]) -> None:
    """What is learnt from raters who can check a share of the facts."""
    s, o = settings, settings.oversight
    new = planned["questions"] = stage(
        named("questions"), supervised.asked, data=s.test, seed=seed, settings=AskedSettings("questions")
    )
    flaws = f"wrong={o.wrong:g},bluffs={o.bluffs:g}"
    data = stage(
        named("shown questions"),
        mixtures.mixture,
        data=MIX,
        seed=seed,
        settings=MixtureSettings(count=o.questions, flaws=flaws),
    )
    start = taught(stage, "questions", able, data, o.answerer, seed)
    once = replace(s.point, per_prompt=1)
    planned["point start"] = pointed(stage, "start", start, start, new, once, seed)
    answers = ranked(stage, "questions", start, MIX, o.questions, settings, seed)
    for checked, dials in raters_of(settings).items():
        name = f"checks {checked}"
        rater = RerankSettings(f"town:{dials}")
        labels = planned[name] = stage(
            named(f"rerank {name}"), steps.rerank, data=answers, seed=anew(seed), settings=rater
        )
        better = preferred(stage, name, start, labels, settings, seed)
        planned[f"point {name}"] = pointed(stage, name, better, start, new, once, seed)
