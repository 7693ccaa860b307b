"""A study: a plan of stages, figures read from their run folders, and what they say over the seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from ..errors import ConfigError
from ..evals.statistics import seeds_summary
from ..pipeline.runner import Stage
from ..report import charts
from ..run import RunInfo
from ..text.figures import with_spread
from ..text.lists import by_comma
from . import measuring
from .settings import NoSettings, Rewarded

Seeds = Sequence[dict[str, Any]]
"""The figures of each seed that was measured."""


class Planner(Protocol):
    """Plans one stage of one seed: name, function, arguments."""

    def __call__(self, name: str, target: Callable[..., Any], /, **arguments: Any) -> Stage: ...


class CannotSay(Exception):
    """A figure that a claim or a verdict is about is not there; the text says why."""


@dataclass(frozen=True)
class Bar:
    """Something a study claims, and in how many of its seeds it holds. `bar` makes one from the figures.

    Attributes:
        held: by seed; None where it cannot be computed, which never counts as held.
        why: why it could not be computed, where it could not.
        effect: the figure that the claim is about, for people; with it
        control: what it is beside where the cause is absent.
    """

    claim: str
    held: Sequence[bool | None]
    why: str = ""
    effect: str = ""
    control: str = ""

    def __post_init__(self) -> None:
        if any(held is None for held in self.held) != bool(self.why):
            raise ValueError(f"{self.claim}: what cannot be computed says why, and nothing else does")
        if bool(self.effect) != bool(self.control):
            raise ValueError(f"{self.claim}: an effect stands beside its control")

    def to_json(self) -> dict[str, Any]:
        """Counts, and what else there is to say."""
        said: dict[str, Any] = {"claim": self.claim, "held": sum(map(bool, self.held)), "of": len(self.held)}
        if self.why:
            said |= {"unknown": sum(held is None for held in self.held), "why": self.why}
        if self.effect:
            said |= {"effect": self.effect, "control": self.control}
        return said


@dataclass(frozen=True)
class Verdict:
    """What the figures say of the paper that a study mirrors, and a paragraph on why."""

    says: Literal["agrees", "disagrees", "cannot say"]
    why: str


@dataclass(frozen=True)
class Mirror:
    """A published result that a study is set beside: who and what, which figure or table of it, and the
    number there with the models it is of.
    """

    paper: str
    figure: str
    number: str


@dataclass(frozen=True)
class Told:
    """What the figures of all seeds say.

    Attributes:
        conclusion: sentences for people; each figure in them comes from the runs.
        sections: of the page: `title`, `text`, `charts` (svg and caption), `table` (heads, rows, note); the
            picture that says most comes first.
        over_seeds: figure name to mean and spread.
        asked: what was asked and how much of it, where that is not `settings.test`: "TruthfulQA, n = 300
            questions".
    """

    conclusion: Sequence[str]
    sections: Sequence[Mapping[str, Any]]
    bars: Sequence[Bar] = ()
    over_seeds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    asked: str = ""


@dataclass(frozen=True)
class Form:
    """One way to put a study's question.

    Attributes:
        plan: stages of one seed; `measure` reads the run folders of those whose names it returns.
        measure: figures of one seed, plain JSON.
        tell: what the figures of the seeds that were measured say.
        verdict: what they say of the papers that the study mirrors. `CannotSay` in it is that verdict.
    """

    plan: Callable[[Planner, str, Any, int], dict[str, Stage]]
    measure: Callable[[dict[str, RunInfo], Any], dict[str, Any]]
    tell: Callable[[Seeds], Told]
    verdict: Callable[[Seeds], Verdict] | None = None


@dataclass(frozen=True)
class Study:
    """One question put to the models; the question itself and the settings stand in `catalogue`.

    Attributes:
        town: how it is put to a model of the town.
        real: how it is put to any other model; it may be the same form.
        town_alone: why there is no other form; "" = there is.
        changed: what of its claims and settings was changed after figures had been seen.
        claim: what it expects to find, in a sentence.
        mirrors: the published results it is set beside.
        falsified_by: figures with which the claim would be wrong.
        would_change_my_mind: what else, beyond these figures, would.
    """

    title: str
    controls: str
    town: Form
    real: Form | None = None
    town_alone: str = ""
    changed: str = ""
    claim: str = ""
    mirrors: tuple[Mirror, ...] = ()
    falsified_by: str = ""
    would_change_my_mind: str = ""

    def __post_init__(self) -> None:
        if (self.real is None) != bool(self.town_alone):
            raise ValueError(f"{self.title}: a form for other models, or why there is none")
        judged = all(form.verdict for form in (self.town, self.real) if form)
        said = (self.mirrors, self.falsified_by, self.would_change_my_mind, judged)
        if self.claim and not all(said):
            raise ValueError(
                f"{self.title}: a claim has papers beside it, what would falsify it and change minds, and a "
                "verdict"
            )


def bar(
    claim: str,
    seeds: Seeds,
    holds: Callable[[dict[str, Any]], bool],
    *,
    effect: Callable[[dict[str, Any]], float] | None = None,
    control: Callable[[dict[str, Any]], float] | None = None,
    against: str = "control",
) -> Bar:
    """A claim, asked of the figures of each seed.

    Args:
        holds: of one seed; where it raises `CannotSay` (as `value` does) the claim is not held there, and the
            reason is told.
        effect: the figure that the claim is about, and
        control: the same where the cause is absent; shown as mean and spread over the seeds that have both.
        against: what the control is: "placebo".
    """
    held: list[bool | None] = []
    reasons: list[str] = []
    pairs: list[tuple[float, float]] = []
    for figures in seeds:
        try:
            held.append(bool(holds(figures)))
        except CannotSay as reason:
            held.append(None)
            reasons.append(str(reason))
        if effect and control:
            with suppress(CannotSay):
                pairs.append((effect(figures), control(figures)))
    why = "; ".join(dict.fromkeys(reasons))
    if not effect:
        return Bar(claim, held, why)
    if not pairs:
        return Bar(claim, held, why, "no figure", f"{against}: no figure")
    effects, controls = zip(*pairs, strict=True)
    return Bar(claim, held, why, spread(effects), f"{against}: {spread(controls)}")


def value(found: Mapping[str, Any] | float | None, what: str) -> float:
    """A figure as a number, of an S its mean. Raises CannotSay where there is none: nothing was measured, or
    it is not finite.
    """
    number = found["mean"] if isinstance(found, Mapping) else found
    if number is None or not math.isfinite(number):
        raise CannotSay(f"{what} has no figure")
    return float(number)


def spread(values: Sequence[float], digits: int = 3, sign: str = "") -> str:
    """Mean and spread over seeds, for people: "0.612 ± 0.020"; a single seed has no spread."""
    return with_spread(seeds_summary(values), digits, sign)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def each(rows: Sequence[Any], *path: Any) -> list[Any]:
    """What lies at a path in each of some figures: `each(seeds, "rl", "ppo", "kl")`."""
    found = list(rows)
    for key in path:
        found = [one[key] for one in found]
    return found


def numbered(rows: Sequence[Any]) -> np.ndarray:
    """(P,) the number of each row's `question`, by first appearance."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(row["question"], len(numbers)) for row in rows])


def banded(xs: Sequence[float], ys: Sequence[float], errors: Sequence[float]) -> charts.Curve:
    """A curve between its values less and more their errors."""
    low, high = np.subtract(ys, errors).tolist(), np.add(ys, errors).tolist()
    return charts.Curve(xs, ys, low, high)


def numbers(text: str, name: str) -> list[float]:
    """The numbers of a comma-separated setting, as they stand. Raises ConfigError for anything else."""
    try:
        return list(map(float, by_comma(text)))
    except ValueError:
        raise ConfigError(f"{name} = {text!r} is not a list of numbers", remedy="as 0.1,0.3,1") from None


TOWN = ("town:", "pool:town:")


def of_the_town(settings: Rewarded) -> bool:
    """Whether the prompts are the town's."""
    return settings.own.prompts.startswith(TOWN) and settings.test.startswith(TOWN)


def check_own(settings: Rewarded) -> None:
    """Raise ConfigError where prompts are others than the town's and something else is the town's, who cannot
    read or judge them; DataError where no prompt is left to measure on.
    """
    o = settings.own
    if of_the_town(settings):
        return
    named = {"annotator": settings.annotator, "test": settings.test}
    for name in ("demonstrations", "prompts", "gold"):
        named[f"own.{name}"] = getattr(o, name)
    for name, value in named.items():
        if value.startswith(TOWN):
            remedy = f"--{name} of your own too"
            if name == "own.demonstrations":
                remedy += ', or "" if --model answers already'
            what = f"{name} = {value} knows the town alone, and the prompts are others"
            raise ConfigError(what, remedy=remedy)
    measuring.read_held_out(settings.test, trained_on(settings), seed=0)


def start(
    stage: Planner, model: str, settings: Rewarded, seed: int
) -> tuple[Stage | str, Stage, Stage | str]:
    """SFT, rankings of its own and (in the town) other people's answers, and a reward model: what studies set
    out from, alike in all of them.

    A model that answers already and a reward model of one's own stand for themselves, as names.
    """
    from .. import stages

    s, o, town = settings, settings.own, of_the_town(settings)
    sft: Stage | str = model
    if o.demonstrations:
        shown = {"data": o.demonstrations, "count": s.demonstrations}
        sft = stage("sft", stages.sft, model=model, seed=seed, settings=s.sft, **shown)
    ranked = stage(
        "collect",
        stages.collect,
        model=sft,
        data=o.prompts,
        count=s.prompts,
        annotator=s.annotator,
        others="town:crowd" if town else "",
        gold=o.gold,
        seed=seed,
        settings=s.collect if town else replace(s.collect, from_others=0.0),
    )
    reward = o.reward or stage(
        "reward", stages.reward, model=sft, data=ranked, gold=o.gold, seed=seed, settings=s.reward
    )
    return sft, ranked, reward


def made(named: Mapping[str, Stage | str]) -> dict[str, Stage]:
    """Those that are stages of the study."""
    return {name: one for name, one in named.items() if isinstance(one, Stage)}


def trained_on(settings: Rewarded) -> list[tuple[str, int]]:
    """Data whose questions a study trains on, and how many rows of each."""
    trained = [(settings.own.prompts, settings.prompts)]
    if settings.own.demonstrations:
        trained.append((settings.own.demonstrations, settings.demonstrations))
    return trained


def held_out(
    stage: Planner, test: str, trained: list[tuple[str, int]], seed: int, name: str = "held-out"
) -> Stage:
    """The prompts on which everything is measured, drawn once for all: none asks what is `trained` on
    (`measuring.read_held_out`).
    """
    arguments = {"data": test, "trained": trained, "settings": NoSettings()}
    return stage(name, measuring.held_out, seed=seed, **arguments)


def anew(seed: int) -> int:
    """The seed of further draws of training prompts: others, which often ask the same questions."""
    return seed + 500
