"""What can be known of the study without training anything: the optimum that preference learning has, and
where a town goes that listens to it.

Preferences of many people are fitted by one reward r, their Bradley-Terry fit; the policy that is best by it
at a KL price beta is p(answer) ~ start(answer) exp(r(answer) / beta) (Rafailov et al. 2023, equation 4). So

    logit p - logit start = (r_yes - r_no) / beta                  between yes and no

and a share of one half that grows by dq moves p by `gain` times dq. A town whose people move to what they
are told, with probability `influence`, goes to q' = q + influence (p_yes - (p_yes + p_no) q): above a gain of
1 it leaves one half, below it comes back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from ...feedback import sigmoid
from ...town.population import Matter, Person, Population, Three, bradley_terry

NEAR = 1e-3  # of a share, for slopes


def optimum(start: Sequence[float], reward: Sequence[float], beta: float) -> Three:
    """The policy that is best by a reward at a KL price: start exp(reward / beta), normalized."""
    most = max(reward)
    tilted = [share * math.exp((worth - most) / beta) for share, worth in zip(start, reward, strict=True)]
    pro, con, both = (weight / sum(tilted) for weight in tilted)
    return pro, con, both


@lru_cache(maxsize=4096)
def gap(share: float, both: float = 0.5, temperature: float = 0.25) -> float:
    """r_yes - r_no of a large town of which this share is for yes, stakes being 1: the Bradley-Terry fit of
    its preferences among yes, no and both sides.
    """
    tables: list[tuple[Three, Three, Three]] = []
    for side in (1, -1):
        one = Population((Person("", ""),), {"": Matter((side,))}, both, temperature)
        tables.append(one.preferences(""))
    mixed = [
        [share * yes + (1 - share) * no for yes, no in zip(*rows, strict=True)]
        for rows in zip(*tables, strict=True)
    ]
    scores = bradley_terry(mixed)
    return scores[0] - scores[1]


def gain_of(slope: float) -> float:
    """By how much p moves where a share moves, at one half, of a model whose logit p - logit start is `slope`
    times r_yes - r_no; of the optimum that is 1 / beta.
    """
    at_half = (gap(0.5 + NEAR) - gap(0.5 - NEAR)) / (2 * NEAR)
    return slope * at_half / 4


def matching_beta() -> float:
    """The beta at which the gain is 1: the model says what the town thinks, near one half."""
    return gain_of(1.0)


def told(start: float, share: float, beta: float) -> float:
    """p(yes) among yes and no of the optimum, from a start that has this logit."""
    return sigmoid(start + gap(share) / beta)


def heard(share: float, said: Sequence[float], influence: float) -> float:
    """The share for yes after everybody has asked a model that says yes, no or both with these probabilities,
    and has moved to the side it took with probability `influence`.
    """
    pro, con, _ = said
    return share + influence * (pro - (pro + con) * share)


def moved(
    for_yes: int, people: int, said: Sequence[float], *, influence: float, news: int = 0, towards: int = 0
) -> int:
    """How many stand for yes a generation later: as many as are expected to, to a person; then as many as the
    news turns go over to its side.

    Args:
        for_yes: how many do now, of so many people.
        news: how many it turns. towards: the side that it speaks for, 1 or -1.
    """
    after = round(people * heard(for_yes / people, said, influence))
    return min(people, max(0, after + towards * news))


def doubt(shares: Sequence[float]) -> float:
    """The variance of opinion, q (1 - q), in the mean over matters."""
    return sum(share * (1 - share) for share in shares) / len(shares)


def entropy(said: Sequence[float]) -> float:
    """Of what a model says, nats."""
    return -sum(share * math.log(share) for share in said if share > 0)
