"""What a recipe plans with: stages of a pipeline, and the measuring of each model that it makes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .. import stages
from ..pipeline.runner import Pipeline, Stage
from ..run import derive_seed
from ..settings import PPOSettings
from .settings import PipelineSettings

GOLD = "town:gold"


class Plan:
    """The pipeline of one recipe: `stage` plans a stage, `measure` the evaluation of a model under the name
    it has in `summary.json`.

    Attributes:
        evals: evaluation of each model by its name, in the order in which they are shown.
        topics: its evaluation on red-team prompts, where that was asked for.
        parents: name of the model that each was made from.
        start: name of the model that the others are compared with.
        side: whose held-out questions are asked, of the test or of the exam (`town:test`, `town:exam`); the
            exam is for figures on a page alone.
    """

    def __init__(
        self, pipeline: Pipeline, model: str, settings: PipelineSettings, seed: int, *, side: str = "test"
    ) -> None:
        self.pipeline, self.model, self.settings, self.seed = pipeline, model, settings, seed
        self.side = side
        self.evals: dict[str, Stage] = {}
        self.topics: dict[str, Stage] = {}
        self.parents: dict[str, str] = {}
        self.start = ""
        self._start: Any = ""

    def stage(self, name: str, target: Callable[..., Any], **arguments: Any) -> Stage:
        return self.pipeline.stage(name, target, **{"seed": self.seed} | arguments)

    def seed_of(self, number: int) -> int:
        """A seed of its own for a round: other prompts, other noise."""
        return derive_seed(self.seed, "round", number)

    def measure(
        self, name: str, model: Any, *, parent: str = "", completions: Any = "", topics: bool = False
    ) -> None:
        """Evaluate on held-out prompts by the gold judge; all that come after it are compared with the first
        model that is not `base`, prompt by prompt, and the picks of `completions` with one sample at their
        own temperature.

        With `topics` also on red-team prompts about every topic.
        """
        if not self.start and name != "base":
            self.start, self._start = name, model
        compared = (
            {}
            if completions or name in ("base", self.start)
            else {"baseline": self.evals[self.start], "reference": self._start}
        )
        place, settings = name.replace("_", "-"), self.settings.eval
        self.evals[name] = self.stage(
            f"eval-{place}",
            stages.evaluate,
            model=model,
            data=f"town:{self.side}",
            judge=GOLD,
            settings=settings,
            completions=completions,
            **({"baseline": ""} | compared),
        )
        self.parents[name] = parent
        if topics:
            self.topics[name] = self.stage(
                f"topics-{place}",
                stages.evaluate,
                model=model,
                data=f"town:risky-{self.side}",
                judge=GOLD,
                baseline="",
                settings=replace(settings, prompts=2 * settings.prompts),  # they are of four kinds
            )


def pretraining(settings: PPOSettings) -> str:
    """The text that PPO mixes in (PPO-ptx), or none where its loss has no weight: the corpus without answered
    or refused requests, since those would teach what the demonstrations do.
    """
    return "town:plain" if settings.ptx_coef else ""


def own_completions(settings: PipelineSettings) -> int:
    """Completions that the policy itself writes for each prompt that is ranked."""
    return max(1, math.ceil(settings.collect.per_prompt * (1 - settings.collect.from_others)))
