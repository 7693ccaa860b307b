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
from . import Judge, ScoreJudge, values_of

PREFIX = "ensemble:"
Aggregation = Literal["mean", "worst", "uncertainty"]
"""How members' scores become one: their mean; the lowest (worst-case optimization, Coste et al. 2023,
equation 3); the mean less `weight` deviations.
"""


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
        new: dict[tuple[str, str, bool], Completion] = {}
        for key, completion in zip(keys, completions, strict=True):
            if key not in self._known:
                new[key] = completion
        if new:
            self._known |= zip(new, self.judge.score(list(new.values())), strict=True)
        return [self._known[key] for key in keys]


class EnsembleJudge(ScoreJudge):
    """Members' scores, each on a scale of its own with mean 0 and deviation 1, made one.

        mean = sum_i z_i / M      worst = min_i z_i
        uncertainty = mean - weight * sqrt(sum_i (z_i - mean)^2 / M)

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
        by_member = [values_of(member, completions) for member in self.members]
        return [self._as_one(values) for values in zip(*by_member, strict=True)]

    def _as_one(self, values: Sequence[float]) -> Score:
        mean, worst = sum(values) / len(values), min(values)
        spread = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
        parts = {"spread": spread, "mean": mean, "worst": worst}
        for number, value in enumerate(values):
            parts[f"member_{number}"] = value
        if self.aggregation == "uncertainty":
            return Score(mean - self.weight * spread, parts)
        return Score(parts[self.aggregation], parts)


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
    ensemble = Ensemble(tuple(filter(None, runs.split(","))))
    for word in words:
        way = re.fullmatch(r"(mean|worst|uncertainty)=?|(uncertainty)=([0-9]*\.?[0-9]+)", word)
        if word == "allow-missing":
            ensemble = replace(ensemble, allow_missing=True)
        elif way:
            ensemble = replace(ensemble, aggregation=way[1] or way[2], weight=float(way[3] or 1))
        else:
            raise UserError(
                f"{word!r} is no way to make an ensemble's scores one",
                where=name,
                remedy="mean, worst, uncertainty or uncertainty=0.5, and allow-missing",
            )
    if not ensemble.runs:
        raise UserError(
            f"{name!r} names no reward models",
            remedy="ensemble:worst:RUN,RUN, or ensemble:worst:RUN for a run with members",
        )
    return ensemble
