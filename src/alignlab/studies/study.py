"""What a study is: a plan of stages, figures read from their run folders, and what they say over the seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..evals.statistics import seeds_summary
from ..pipeline import Stage
from ..run import RunInfo
from ..settings import StudySettings


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
    """

    title: str
    question: str
    controls: str
    reads: tuple[str, ...]
    plan: Callable[[Planner, str, StudySettings, int], dict[str, Stage]]
    measure: Callable[[dict[str, RunInfo], StudySettings], dict[str, Any]]
    tell: Callable[[Sequence[dict[str, Any]]], Told]


def spread(values: Sequence[float], digits: int = 3, sign: str = "") -> str:
    """Mean and spread over seeds, for people: "0.612 ± 0.020"; a single seed has no spread."""
    s = seeds_summary(values)
    return f"{s['mean']:{sign}.{digits}f}" + (f" ± {s['sd']:.{digits}f}" if s["n"] > 1 else "")


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def numbers(text: str, name: str) -> list[float]:
    """The numbers of a comma-separated setting, as they stand. Raises ConfigError for anything else."""
    from ..errors import ConfigError

    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(f"{name} = {text!r} is not a list of numbers", remedy="as 0.1,0.3,1") from None


def start(stage: Planner, model: str, settings: StudySettings, seed: int) -> tuple[Stage, Stage, Stage]:
    """SFT, rankings of its own and other people's answers, and a reward model: what studies of the town set out from, alike in all of them."""
    from .. import stages

    s = settings
    sft = stage("sft", stages.sft, model=model, data="town:demos", count=s.demonstrations, seed=seed, settings=s.sft)
    ranked = stage("collect", stages.collect, model=sft, data="town:prompts", count=s.prompts, annotator=s.annotator, others="town:crowd", gold="town:gold",
                   seed=seed, settings=s.collect)
    reward = stage("reward", stages.reward, model=sft, data=ranked, gold="town:gold", seed=seed, settings=s.reward)
    return sft, ranked, reward


def fresh(seed: int) -> int:
    """The seed of prompts that no reward model of this seed was trained on: the same kinds of requests, drawn anew."""
    return seed + 500
