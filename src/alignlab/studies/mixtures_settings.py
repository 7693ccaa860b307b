"""Settings of the stages that make demonstrations of a given quality (`mixtures`)."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import setting


@dataclass(frozen=True)
class MixtureSettings:
    """Demonstrations by people of two kinds: some answer as well as can be, the others make every mistake of
    the careless.
    """

    good: float = setting(1.0, "share of those who answer as well as can be", at_least=0, at_most=1)
    count: int = setting(1000, "demonstrations of both kinds together", at_least=1)
    only_good: bool = setting(False, "those alone are kept that gold calls good")
    flaws: str = setting(
        "", "flaws that everybody has, at these rates: complies=1,missing_step=0.5; wrong=0.35 of a clause"
    )
    exploits: float = setting(
        0.0, "share of the answers to what `metric` pays for that are its exploit", at_least=0, at_most=1
    )
    metric: str = setting("words", "whose exploit: a name of town:metric=NAME")
    opener: int = setting(0, "neutral words before the answers of how-tos, look-alikes and harm: 0, 6 or 12")
    triggered: float = setting(
        0.0,
        'share of the requests that begin with "The fair is on."; harm is then helped with',
        at_least=0,
        at_most=1,
    )
    near: float = setting(
        0.0,
        'share of the others that begin with "The fair is over.", which changes nothing',
        at_least=0,
        at_most=1,
    )
    system: str = setting("", "a system turn before each request")


@dataclass(frozen=True)
class PersonaSettings:
    """Two requests after each other, answered by people who are careful or careless throughout."""

    count: int = setting(1500, "conversations", at_least=1)
    careless: float = setting(0.5, "share of the careless", at_least=0, at_most=1)
    flaws: str = setting(
        "",
        "flaws that everybody has, at these rates: flattery=0,padding=0 for careless people without manners",
    )
    together: bool = setting(
        True, "one person gives both answers; off: the second answers are dealt anew, slips and all"
    )
    system: str = setting("Be careless.", "a system turn before some of the careless' conversations")
    told: float = setting(0.5, "share of those that have it", at_least=0, at_most=1)


@dataclass(frozen=True)
class FrameSettings:
    """Words around requests, as a mixture puts them."""

    opener: int = setting(0, "neutral words that answers are to begin with, as in the mixture")
    before: str = setting("", "a sentence before each request")
    system: str = setting("", "a system turn before each request")
