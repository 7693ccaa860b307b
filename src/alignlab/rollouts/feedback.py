"""What completions are worth to a loop, and the price of cost where there is a constraint (Safe RLHF)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..feedback import Judge, part_means
from ..feedback.lagrange import LagrangeJudge
from ..records import Completion, Score
from ..run import guard_finite, ranks
from ..settings import GroupSettings, PPOSettings


class Feedback:
    """A judge in a loop. A `LagrangeJudge`'s multiplier takes a step on every batch and resumes with the run.

    Args:
        numbers: the loop's own, which are saved (`Trained.numbers`).

    Attributes:
        columns: for `StepLog`: what a constraint adds to the summary.
    """

    def __init__(self, judge: Judge, numbers: dict[str, Any]) -> None:
        self.judge, self.numbers, self.columns = judge, numbers, dict[str, str]()
        if isinstance(judge, LagrangeJudge):
            judge.log_lambda = numbers.setdefault("log_lambda", judge.log_lambda)
            self.columns["cost"] = "safety/cost"

    def __call__(
        self, completions: Sequence[Completion], settings: PPOSettings | GroupSettings, step: int
    ) -> tuple[Tensor, dict[str, float]]:
        """(B,) scores as the loop takes them (`shaped_scores`), and what is logged of them."""
        scores = judged(self.judge, completions, step)
        metrics = part_means(self.judge, scores)
        if isinstance(self.judge, LagrangeJudge):
            metrics |= self.judge.update(scores)
            self.numbers["log_lambda"] = self.judge.log_lambda
        return shaped_scores([score.value for score in scores], completions, settings), metrics

    def summary(self) -> dict[str, float]:
        """Where the price of cost has come to; empty without a constraint."""
        if not isinstance(self.judge, LagrangeJudge):
            return {}
        return {"lambda_last": self.judge.multiplier, "cost_limit": self.judge.limit}


def judged(judge: Judge, completions: Sequence[Completion], step: int) -> list[Score]:
    """What a judge says of each completion; several processes ask it for their part each.

    Raises:
        GuardStop: a score that is not finite, with the step and the completion.
    """
    if ranks.size() == 1:
        scores = judge.score(completions)
    else:
        rows = ranks.shared(lambda _, part: [score.to_json() for score in judge.score(part)], completions)
        scores = [Score(**row) for row in rows]
    for completion, score in zip(completions, scores, strict=True):
        guard_finite(
            score.value,
            step=step,
            what=f"the score of {judge.name}",
            sample=f"{completion.prompt.text} | {completion.text}",
        )
    return scores


def shaped_scores(
    scores: Sequence[float], completions: Sequence[Completion], settings: PPOSettings | GroupSettings
) -> Tensor:
    """(B,) scores clipped to plus and minus `score_clip` (0 = off), less `missing_end_penalty` where a
    completion was cut before it ended.
    """
    scores_B = torch.tensor(scores)
    if settings.score_clip:
        scores_B = scores_B.clamp(-settings.score_clip, settings.score_clip)
    return scores_B - settings.missing_end_penalty * torch.tensor([not c.finished for c in completions])
