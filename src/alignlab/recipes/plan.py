"""What a recipe plans with: stages of a pipeline, and the measuring of each model that it makes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import stages
from ..pipeline import Pipeline, Stage
from ..run import derive_seed
from ..settings import PipelineSettings

GOLD = "town:gold"


class Plan:
    """The pipeline of one recipe: `stage` plans a stage, `measure` the evaluation of a model under the name it has in `summary.json`.

    Attributes:
        evals: evaluation of each model by its name, in the order in which they are shown.
        parents: name of the model that each was made from.
    """

    def __init__(self, pipeline: Pipeline, model: str, settings: PipelineSettings, seed: int) -> None:
        self.pipeline, self.model, self.settings, self.seed = pipeline, model, settings, seed
        self.evals: dict[str, Stage] = {}
        self.parents: dict[str, str] = {}
        self._sft: Any = ""

    def stage(self, name: str, target: Callable[..., Any], **arguments: Any) -> Stage:
        return self.pipeline.stage(name, target, **{"seed": self.seed} | arguments)

    def seed_of(self, number: int) -> int:
        """A seed of its own for a round: other prompts, other noise."""
        return derive_seed(self.seed, "round", number)

    def measure(self, name: str, model: Any, *, parent: str = "", completions: Any = "") -> None:
        """Evaluate on held-out prompts by the gold judge; all but `base` and `sft` are compared with `sft`, prompt by prompt."""
        if name == "sft":
            self._sft = model
        compared = {} if name in ("base", "sft") else {"baseline": self.evals["sft"], "reference": self._sft}
        self.evals[name] = self.stage(f"eval-{name.replace('_', '-')}", stages.evaluate, model=model, data="town:test", judge=GOLD,
                                      settings=self.settings.eval, completions=completions, **({"baseline": ""} | compared))
        self.parents[name] = parent


def own_completions(settings: PipelineSettings) -> int:
    """Completions that the policy itself writes for each prompt that is ranked."""
    return max(1, math.ceil(settings.collect.per_prompt * (1 - settings.collect.from_others)))

