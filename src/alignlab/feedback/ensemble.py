"""Several judges as one: reward models that differ by their head, the order of their data or the data itself,
and what they do not agree on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import UserError
from ..records import Completion, Score
from . import Judge, ScoreJudge

PREFIX = "ensemble:"
Aggregation = Literal["mean", "worst", "uncertainty"]
"""How members' scores become one: their mean; the lowest (worst-case optimisation, Coste et al. 2023, equation 3); the mean less `weight` deviations."""


class Remembering(ScoreJudge):
    """A judge that is asked about each completion once, whoever asks again: for several figures of the same
    completions.
    """

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge.name)
        self.judge = judge
        self._known: dict[tuple[str, str, bool], Score] = {}

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        keys = [(c.prompt.id, c.text, c.finished) for c in completions]
        new = {key: c for key, c in zip(keys, completions, strict=True) if key not in self._known}
        if new:
            self._known |= dict(zip(new, self.judge.score(list(new.values())), strict=True))
        return [self._known[key] for key in keys]


class EnsembleJudge(ScoreJudge):
    """Members' scores, each on a scale of its own with mean 0 and deviation 1, made one.

        mean = sum_i z_i / M      worst = min_i z_i      uncertainty = mean - weight * sqrt(sum_i (z_i - mean)^2 / M)

    A policy finds what its reward model overrates; where members were led to different mistakes, the last two
    do not pay for it. Coste et al. take off the variance, Eisenstein et al. (2023) the deviation, as here: it
    is in the unit of the score, so that one weight suits any model.

    Args:
        members: judges whose scores are standardized already, as a `RewardModelJudge` does with the mean and
            deviation saved in its model.
        weight: deviations taken off by `uncertainty`; 1 is Eisenstein et al.'s mean minus deviation.

    `Score.parts`: `spread`, the deviation among the members; `mean` and `worst`; `member_0` and so on.
    """

    logged = ("spread",)

    def __init__(
        self,
        members: Sequence[Judge],
        *,
        aggregation: Aggregation = "mean",
        weight: float = 1.0,
        name: str = "",
    ) -> None:
        super().__init__(name or f"ensemble:{aggregation}:" + ",".join(member.name for member in members))
        self.members, self.aggregation, self.weight = list(members), aggregation, weight

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        if not completions:
            return []
        found = []
        for values in zip(
            *([score.value for score in member.score(completions)] for member in self.members), strict=True
        ):
            mean, worst = sum(values) / len(values), min(values)
            spread = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
            value = {"mean": mean, "worst": worst, "uncertainty": mean - self.weight * spread}[
                self.aggregation
            ]
            found.append(
                Score(
                    value,
                    {"spread": spread, "mean": mean, "worst": worst}
                    | {f"member_{m}": value for m, value in enumerate(values)},
                )
            )
        return found


@dataclass(frozen=True)
class Ensemble:
    """The reward models behind one name, and how their scores become one."""

    runs: tuple[str, ...]
    aggregation: Aggregation = "mean"
    weight: float = 1.0
    allow_missing: bool = False


def parse(name: str) -> Ensemble:
    """What `ensemble:[HOW:]RUN,RUN,...` says; any other name stands for itself alone.

    HOW is `mean`, `worst`, `uncertainty` or `uncertainty=WEIGHT`, and may go on with `,allow-missing`. It
    stands in the name so that an ensemble can stand wherever a judge can, without a setting in every command.
    """
    if not name.startswith(PREFIX):
        return Ensemble((name,))
    how, _, runs = name.removeprefix(PREFIX).partition(":")
    words = how.split(",")
    if not re.fullmatch(r"(mean|worst|uncertainty(=.*)?|allow-missing)", words[0]):
        words, runs = [], name.removeprefix(PREFIX)
    found = Ensemble(tuple(run for run in runs.split(",") if run))
    for word in words:
        kind, _, weight = word.partition("=")
        if word == "allow-missing":
            found = replace(found, allow_missing=True)
        elif kind in ("mean", "worst", "uncertainty") and (
            not weight or (kind == "uncertainty" and re.fullmatch(r"[0-9]*\.?[0-9]+", weight))
        ):
            found = replace(found, aggregation=kind, weight=float(weight or 1))
        else:
            raise UserError(
                f"{word!r} is no way to make an ensemble's scores one",
                where=name,
                remedy="mean, worst, uncertainty or uncertainty=0.5, and allow-missing",
            )
    if not found.runs:
        raise UserError(
            f"{name!r} names no reward models",
            remedy="ensemble:worst:RUN,RUN, or ensemble:worst:RUN for a run with members",
        )
    return found
