"""Probabilities of a judge as log-odds, in which they are averaged, scaled and held."""

from __future__ import annotations

import math
from collections.abc import Sequence

from . import sigmoid

FARTHEST = 30.0
"""Log-odds are held within plus and minus this: a probability of exactly 0 has none that could be
averaged.
"""


def of_orders(p_first: float, p_second: float | None) -> float:
    """P(first preferred) of both orders together: the mean of the log-odds, in which a fixed liking for a
    place cancels. With one order, that one.
    """
    if p_second is None:
        return p_first
    return sigmoid((log_odds(p_first) + log_odds(p_second)) / 2)


def at_temperature(p: float, temperature: float) -> float:
    """The probability whose log-odds are those of p over the temperature; at 1 p itself."""
    if temperature == 1:
        return p
    return sigmoid(log_odds(p) / temperature)


def log_odds(p: float) -> float:
    """log p / (1 - p), at most FARTHEST from 0."""
    if p in (0.0, 1.0):
        return math.copysign(FARTHEST, p - 0.5)
    return max(-FARTHEST, min(FARTHEST, math.log(p) - math.log1p(-p)))


def fine_log_odds(logprobs: Sequence[float]) -> float:
    """Log-odds of "fine" from the log-probabilities of a form's `fine`: against the other word, or, of one
    alone, against all else.
    """
    if len(logprobs) == 2:
        difference = 0.0 if max(logprobs) == -math.inf else logprobs[0] - logprobs[1]
        return max(-FARTHEST, min(FARTHEST, difference))
    return log_odds(min(1.0, math.exp(logprobs[0])))
