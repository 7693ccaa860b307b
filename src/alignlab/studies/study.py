"""A study: a plan of stages, figures read from their run folders, and what they say over the seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from ..errors import ConfigError
from ..evals.statistics import seeds_summary
from ..pipeline.runner import Stage
from ..report import charts
from ..run import RunInfo
from ..text.figures import with_spread
from ..text.lists import by_comma
from . import measuring
from .settings import NoSettings, StudySettings

TO_DPO = ("test", "demonstrations", "prompts", "annotator", "own", "sft", "collect", "reward", "dpo")
"""The settings that a study reads which goes from demonstrations to a reward model and DPO."""


class Planner(Protocol):
    """Plans one stage of one seed: name, function, arguments."""

    def __call__(self, name: str, target: Callable[..., Any], /, **arguments: Any) -> Stage: ...


@dataclass(frozen=True)
class Bar:
    """Something a study claims, and in how many of its seeds it holds."""

    claim: str
    held: Sequence[bool]

    def to_json(self) -> dict[str, Any]:
        return {"claim": self.claim, "held": sum(self.held), "of": len(self.held)}


@dataclass(frozen=True)
class Told:
    """What the figures of all seeds say.

    Attributes:
        conclusion: sentences for people; each figure in them comes from the runs.
        sections: of the page: `title`, `text`, `charts` (svg and caption), `table` (heads, rows, note).
        over_seeds: figure name to mean and spread.
    """

    conclusion: Sequence[str]
    sections: Sequence[Mapping[str, Any]]
    bars: Sequence[Bar] = ()
    over_seeds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """One question put to the models.

    Attributes:
        plan: stages of one seed; `measure` reads the run folders of those whose names it returns.
        measure: figures of one seed, plain JSON.
        tell: what the figures of all seeds say.
        reads: the tables of `StudySettings` that it uses; it refuses a change to any other.
        changed: what of its claims and settings was changed after figures had been seen.
        town_alone: why its question makes no sense with data of one's own; "" = it does.
    """

    title: str
    question: str
    controls: str
    reads: tuple[str, ...]
    plan: Callable[[Planner, str, StudySettings, int], dict[str, Stage]]
    measure: Callable[[dict[str, RunInfo], StudySettings], dict[str, Any]]
    tell: Callable[[Sequence[dict[str, Any]]], Told]
    changed: str = ""
    town_alone: str = ""


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


def of_the_town(settings: StudySettings) -> bool:
    """Whether the prompts are the town's."""
    return settings.own.prompts.startswith(TOWN) and settings.test.startswith(TOWN)


def check_own(settings: StudySettings) -> None:
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
    stage: Planner, model: str, settings: StudySettings, seed: int
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


def trained_on(settings: StudySettings) -> list[tuple[str, int]]:
    """Data whose questions a study trains on, and how many rows of each."""
    trained = [(settings.own.prompts, settings.prompts)]
    if settings.own.demonstrations:
        trained.append((settings.own.demonstrations, settings.demonstrations))
    return trained


def held_out(stage: Planner, settings: StudySettings, seed: int) -> Stage:
    """The prompts on which everything is measured, drawn once for all: none asks what a ranked prompt or a
    demonstration of this seed asks.
    """
    arguments = {"data": settings.test, "trained": trained_on(settings), "settings": NoSettings()}
    return stage("held-out", measuring.held_out, seed=seed, **arguments)


def anew(seed: int) -> int:
    """The seed of further draws of training prompts: others, which often ask the same questions."""
    return seed + 500
