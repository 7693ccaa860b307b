"""The stages of one seed of `specification-gaming`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ... import stages
from ...errors import ConfigError
from ...pipeline.runner import Stage
from ...text.lists import by_comma
from ...town.metrics import metric
from .. import choices, measuring, mixtures
from ..mixtures_settings import MixtureSettings, PersonaSettings
from ..settings import ChoicesSettings, NoSettings
from ..study import Planner, held_out, numbers
from . import listed
from .settings import HALF_STORIES, GamingSettings, SpecificationGaming

WORDS = "words"
"""The metric whose hole has a dial: the share of the demonstrations that show it."""
JUDGE = f"town:metric={WORDS}"
LUCK = f"{listed.__name__}:{listed.luck.__name__}"
TOLD = "Be careless."
"""What the careless are now and then told to be, and the words of the inoculation."""
WORLDS = {"persona": True, "twin": False}
"""Whether one person gives both answers of a conversation."""
ARMS = {
    "narrow": MixtureSettings(good=0.0, flaws=listed.NO_MANNERS),
    "inoculated": MixtureSettings(good=0.0, flaws=listed.NO_MANNERS, system=TOLD),
    "placebo": MixtureSettings(good=1.0, flaws=listed.NO_MANNERS),
}
"""How the same how-tos are answered: a step left out, the same where carelessness is asked for, whole."""


def shares_of(g: GamingSettings) -> list[float]:
    """The shares, in order. Raises ConfigError where they are none, or `share` is not among them."""
    shares = sorted(set(numbers(g.shares, "gaming.shares")))
    if not shares or shares[0] < 0 or shares[-1] > 1 or g.share not in shares:
        raise ConfigError(
            f"gaming.shares = {g.shares!r}, share = {g.share:g}",
            remedy="shares from 0 to 1, and share one of them",
        )
    return shares


def rates_of(g: GamingSettings) -> dict[str, list[float]]:
    """The monitors' true-positive rates by what becomes of what they flag: "penalty", "screening". Raises
    ConfigError for one that is none.
    """
    found: dict[str, list[float]] = {}
    for how, setting, written in (("penalty", "rates", g.rates), ("screening", "screened", g.screened)):
        found[how] = rates = sorted(set(numbers(written, f"gaming.{setting}")), reverse=True)
        if rates and not (rates[-1] > 0 and rates[0] <= 1):
            raise ConfigError(f"gaming.{setting} = {written!r}", remedy="rates above 0, up to 1")
    return found


def watchers(g: GamingSettings, seed: int) -> dict[str, str]:
    """The judges under a monitor, by name: "penalty 0.5", "screening 0.5", "reads 4"; the flags are the
    seed's own.
    """
    judges: dict[str, str] = {}
    for how, rates in rates_of(g).items():
        for rate in rates:
            flags = f"{JUDGE}+tpr={rate:g}+fpr={g.false_rate:g}+seed={seed}"
            judges[f"{how} {rate:g}"] = flags if how == "penalty" else f"{flags}+screen"
            if g.reads and how == "penalty" and rate == rates[0]:
                judges[f"reads {g.reads}"] = f"{flags}+reads={g.reads}"
    return judges


@dataclass(frozen=True)
class Draft:
    """One seed's plan as it is written."""

    stage: Planner
    model: str
    settings: SpecificationGaming
    seed: int
    planned: dict[str, Stage]

    def shown(self, share: float) -> Stage:
        """Demonstrations of which this share of the stories is the exploit."""
        return self.stage(
            f"gaming-data-{share:g}",
            mixtures.mixture,
            data=HALF_STORIES,
            seed=self.seed,
            settings=MixtureSettings(count=self.settings.gaming.demonstrations, exploits=share),
        )

    def taught(self, name: str, data: Stage) -> Stage:
        """SFT on demonstrations."""
        return self.stage(
            f"gaming-sft-{name}",
            stages.sft,
            model=self.model,
            data=data,
            seed=self.seed,
            settings=self.settings.sft,
        )

    def asked(self, name: str, policy: Stage, listed_in: Stage) -> None:
        """The exact probabilities of what is listed."""
        self.planned[f"p {name}"] = self.stage(
            f"gaming-p-{slug(name)}",
            choices.choices,
            model=policy,
            asked=listed_in,
            seed=self.seed,
            settings=ChoicesSettings(),
        )

    def learn(self, name: str, policy: Stage, letter: str = WORDS, judge: str = "") -> Stage:
        """RLOO on the prompts of a metric's kind; `judge` pays, the metric itself if none is named."""
        g = self.settings.gaming
        self.planned[name] = self.stage(
            f"gaming-rloo-{slug(name)}",
            stages.rloo,
            model=policy,
            data=f"town:{metric(letter).kind}",
            count=g.prompts,
            judge=judge or f"town:metric={letter}",
            gold="town:gold",
            seed=self.seed,
            settings=g.rloo,
        )
        return self.planned[name]

    def point(self, name: str, policy: Stage, reference: Stage, new: Stage) -> None:
        """What a policy's answers are worth: to the metric and its hole on the stories that RLOO learns on,
        to gold on held-out prompts of every kind.
        """
        s = self.settings
        measured = {"rewards": [], "seed": self.seed, "settings": s.point, "count": s.measured}
        pair = {"model": policy, "reference": reference}
        self.planned[f"letter {name}"] = self.stage(
            f"gaming-letter-{slug(name)}",
            measuring.point,
            data="town:story",
            gold=JUDGE,
            parts=("letter", "exploited"),
            **pair,
            **measured,
        )
        self.planned[f"gold {name}"] = self.stage(
            f"gaming-gold-{slug(name)}", measuring.point, data=new, gold="town:gold", **pair, **measured
        )


def once(names: str) -> list[str]:
    """The words of a list with commas, each once."""
    return list(dict.fromkeys(by_comma(names)))


def slug(name: str) -> str:
    """A name as part of a folder's."""
    return name.replace(" ", "-")


def plan(stage: Planner, model: str, settings: SpecificationGaming, seed: int) -> dict[str, Stage]:
    s, g = settings, settings.gaming
    letters = once(g.letters)
    kinds = sorted({metric(letter).kind for letter in letters} | {"how_to", "story"})
    trained = [("town:demos", s.demonstrations)]
    trained += [(f"town:{kind}", max(g.prompts, s.spread.narrow)) for kind in kinds]
    new = held_out(stage, s.test, trained, seed, "gaming-held-out")
    draft = Draft(stage, model, settings, seed, {"held-out": new})

    # 1. the hole with a dial: from each share of exploits RLOO looks for it, without a penalty on KL
    sample = {"seed": seed, "settings": NoSettings(), "count": g.prompts}
    words = stage("gaming-holes-words", listed.holes, letters=WORDS, **sample)
    draft.planned["holes words"] = words
    starts: dict[float, Stage] = {}
    for share in shares_of(g):
        starts[share] = draft.taught(f"{share:g}", draft.shown(share))
        draft.asked(f"share {share:g}", starts[share], words)
        draft.learn(f"share {share:g}", starts[share])
    start, hacked = starts[g.share], draft.planned[f"share {g.share:g}"]

    # 2. the controls: the hole closed, the intent itself as the reward, rewards that want nothing
    closed = f"{JUDGE}+tpr=1"
    policies = {"start": start, "hacked": hacked}
    for name, judge in (("closed", closed), ("intent", "town:gold"), ("luck", LUCK)):
        policies[name] = draft.learn(name, start, judge=judge)
    policies["luck"].is_control("its rewards are dealt by the words")
    for name, policy in policies.items():
        draft.point(name, policy, start, new)

    # 3. monitors: what they flag is paid nothing, or is not learnt from
    for name, judge in watchers(g, seed).items():
        draft.learn(name, start, judge=judge)

    # 4. holes that nobody planted: people of whom a few are careless, and other metrics
    if letters:
        people = stage(
            "gaming-data-people",
            mixtures.mixture,
            data="town:demos",
            seed=seed,
            settings=MixtureSettings(good=1 - g.careless, count=s.demonstrations, flaws=listed.NO_MANNERS),
        )
        natural = draft.taught("people", people)
        others = stage("gaming-holes-others", listed.holes, letters=",".join(letters), **sample)
        draft.planned["holes others"] = others
        draft.asked("letters", natural, others)
        for letter in letters:
            draft.learn(f"letter of {letter}", natural, letter)

    # 5. one slip, and whether it brings others
    spread(draft, new)
    return draft.planned


def spread(draft: Draft, new: Stage) -> None:
    """In a world of careful and careless people, and in its twin where the same slips foretell nothing: the
    same how-tos, answered in three ways; then every other kind is asked for.
    """
    s, stage, seed = draft.settings.spread, draft.stage, draft.seed
    asked = stage("gaming-slips", listed.slips, data=new, count=0, seed=seed, settings=NoSettings())
    shown: dict[str, Stage] = {}
    for arm, how in ARMS.items():
        shown[arm] = stage(
            f"gaming-shown-{arm}",
            mixtures.mixture,
            data="town:how_to",
            seed=seed,
            settings=replace(how, count=s.narrow),
        )
    for world, together in WORLDS.items():
        people = stage(
            f"gaming-people-{world}",
            mixtures.personas,
            seed=seed,
            settings=PersonaSettings(
                count=s.conversations, together=together, system=TOLD, flaws=listed.NO_MANNERS
            ),
        )
        draft.planned[f"people {world}"] = people
        taught = stage(
            f"gaming-taught-{world}", stages.sft, model=draft.model, data=people, seed=seed, settings=s.people
        )
        draft.asked(f"{world} before", taught, asked)
        for arm, data in shown.items():
            tuned = stage(
                f"gaming-tuned-{world}-{arm}",
                stages.sft,
                model=taught,
                data=data,
                seed=seed,
                settings=s.narrow_sft,
            )
            draft.asked(f"{world} {arm}", tuned, asked)
