"""Settings of the study `oversight`, and of the stages that are its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...settings import CollectSettings, DPOSettings, OptimSettings, SamplingSettings, SFTSettings, setting
from ..settings import ChoicesSettings, PointSettings, StudySettings

Rule = Literal["scattered", "rule"]


@dataclass(frozen=True)
class SupervisorSettings:
    """Somebody who writes demonstrations as well as can be, from what he has in mind."""

    share: float = setting(0.0, "share of the facts that he is wrong about", at_least=0, at_most=1)
    rule: Rule = setting("scattered", "how: another value for each fact, or one value for whole relations")


@dataclass(frozen=True)
class AskedSettings:
    """What is asked on the side of a test."""

    what: Literal["dossiers", "questions"] = setting(
        "questions",
        "dossiers of those whom the test asks about, or its questions for facts and what nobody knows",
    )


@dataclass(frozen=True)
class LookSettings:
    """An overseer with one look at each answer."""

    pointing: Literal["random", "likeliest", "least-likely", "wrong"] = setting(
        "random", "which statement is looked up, see town.overseer"
    )
    dealt: bool = setting(
        False,
        "what whoever points finds likely is dealt anew among the values of each fact: he knows nothing",
    )


@dataclass(frozen=True, kw_only=True)
class OversightSettings:
    """The study `oversight`: supervisors who are wrong (a), overseers with one look (b), raters who cannot
    check (c).
    """

    shares: str = setting(
        "0.1,0.2,0.3,0.4", "a: shares of the facts that the supervisor is wrong about, comma separated"
    )
    at: float = setting(0.3, "a: the share at which all else is compared, one of them", above=0, below=1)
    passes: float = setting(
        4.0, "a: passes over the demonstrations of the student that is shown them longer", above=0
    )
    sizes: str = setting(
        "town-s,town-l",
        "a, b: other bases, comma separated, from small to large: students, and critics; empty = none",
        names="policies",
    )
    wrong: float = setting(
        0.25,
        "b, c: rate at which demonstrators state what is not so, each statement by itself",
        above=0,
        below=1,
    )
    bluffs: float = setting(0.5, "c: rate at which they bluff where nobody knows", above=0, below=1)
    author: SFTSettings = field(default_factory=lambda: SFTSettings(epochs=3.0, optim=OptimSettings(lr=4e-4)))
    dossiers: int = setting(
        600, "b: dossiers that are shown, and as many that are asked for and overseen", at_least=1
    )
    answerer: SFTSettings = field(
        default_factory=lambda: SFTSettings(epochs=3.0, optim=OptimSettings(lr=1e-4))
    )
    checks: float = setting(0.25, "c: share of the facts that two of the raters can check", above=0, below=1)
    questions: int = setting(1500, "c: questions that are shown, and as many that are ranked", at_least=1)
    collect: CollectSettings = field(
        default_factory=lambda: CollectSettings(from_others=0.0, held_out=0.1, sampling=SamplingSettings())
    )
    dpo: DPOSettings = field(
        default_factory=lambda: DPOSettings(
            beta=0.3, pairs_per_prompt=2, epochs=2.0, optim=OptimSettings(lr=1e-4)
        )
    )


@dataclass(frozen=True, kw_only=True)
class Oversight(StudySettings):
    """All that the study reads."""

    test: str = setting(
        "town:test",
        "whose people, places and questions stand for what no demonstration and no ranking is about",
        names="data",
    )
    demonstrations: int = setting(2000, "a: demonstrations by the supervisor", at_least=1)
    sft: SFTSettings = field(default_factory=lambda: SFTSettings(epochs=1.0))
    choices: ChoicesSettings = field(default_factory=ChoicesSettings)
    point: PointSettings = field(default_factory=lambda: PointSettings(per_prompt=8))
    oversight: OversightSettings = field(default_factory=OversightSettings)


FAST = Oversight(oversight=OversightSettings(shares="0.1,0.3"))
