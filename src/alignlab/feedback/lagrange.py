"""A reward under a constraint: the score less a cost, at a price that rises while the cost is above its
limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from ..records import Completion, Score
from . import Judge, ScoreJudge, sigmoid


class LagrangeJudge(ScoreJudge):
    """The reward of constrained PPO (Safe RLHF, Dai et al. 2023): max_policy min_lambda E[R] - lambda (E[C] -
    limit), lambda >= 0.

        score = (R - lambda C) / (1 + lambda)
        ln lambda' = ln lambda + lr lambda (mean C - limit)

    The second line is one gradient step on ln lambda, which stays at most ln `maximum`.

    One value model over this score is enough: advantages are linear in the rewards, so that with the same
    gamma and lambda of GAE the advantage of the sum is the sum of Dai et al.'s two, for a model less to
    train; lambda moves slowly against the value model.

    Args:
        reward: any judge.
        cost: a cost model's raw scores, whose negative is the cost: above 0 where unsafe.
        limit: what the mean cost is to stay below.
        kind: "score" takes the cost as it is (Dai et al.); "chance" takes sigmoid(cost), the probability of
            being unsafe that the sign term has trained, so that the limit is a share of the completions. A
            mean of raw costs is moved by how safe the safe ones are: few bad answers hide in it.
        start, lr, maximum: of lambda.

    `Score.parts`: `reward`, `cost`, and the reward's own parts.
    """

    def __init__(
        self,
        reward: Judge,
        cost: Judge,
        *,
        limit: float,
        kind: Literal["chance", "score"] = "chance",
        start: float = 1.0,
        lr: float = 0.1,
        maximum: float = 10.0,
    ) -> None:
        super().__init__(f"{reward.name} - lambda {cost.name}")
        self.reward, self.cost, self.limit, self.kind = reward, cost, limit, kind
        self.lr, self.maximum = lr, maximum
        self.log_lambda = math.log(start)
        self.logged = ("reward", *getattr(reward, "logged", ()))

    @property
    def multiplier(self) -> float:
        return math.exp(self.log_lambda)

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        price, scores = self.multiplier, []
        for reward, safe in zip(self.reward.score(completions), self.cost.score(completions), strict=True):
            cost = sigmoid(-safe.value) if self.kind == "chance" else -safe.value
            parts = {**reward.parts, "reward": reward.value, "cost": cost}
            scores.append(Score((reward.value - price * cost) / (1 + price), parts))
        return scores

    def update(self, scores: Sequence[Score]) -> dict[str, float]:
        """One step of the multiplier on a batch of scores; returns `safety/lambda` that they were made with,
        `safety/cost` (their mean) and `safety/limit`.
        """
        used, cost = self.multiplier, sum(score.parts["cost"] for score in scores) / len(scores)
        self.log_lambda = min(self.log_lambda + self.lr * used * (cost - self.limit), math.log(self.maximum))
        return {"safety/lambda": used, "safety/cost": cost, "safety/limit": self.limit}
