"""Which of a few choices an answer begins with: from the likeliest tokens in its first place, or from its
words where a server gives no probabilities.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

UNSAID = math.log(1e-6)  # of a choice of which nothing is known but that it was not said


def of_tokens(top: Sequence[tuple[str, float]], choices: Sequence[str]) -> tuple[float, ...]:
    """The log-probability of each choice from the likeliest first tokens."""
    left = max(0.0, 1 - sum(math.exp(logprob) for _, logprob in top))
    unseen = min(top[-1][1], math.log(left) if left > 0 else UNSAID)
    masses = [0.0] * len(choices)
    for token, logprob in top:
        place = begun(token, choices)
        if place is not None:
            masses[place] += math.exp(logprob)
    return tuple(math.log(mass) if mass > 0 else max(unseen, UNSAID) for mass in masses)


def of_words(text: str, choices: Sequence[str]) -> tuple[float, ...]:
    """0 for the choice that a text begins with, `UNSAID` for the others."""
    logprobs = [UNSAID] * len(choices)
    place = begun(text, choices)
    if place is not None:
        logprobs[place] = 0.0
    return tuple(logprobs)


def begun(text: str, choices: Sequence[str]) -> int | None:
    """The choice that a text begins, or begins with; None if it is none, or could be two."""
    start = text.strip().lstrip("([*\"'`")
    if not start:
        return None
    fitting = [place for place, choice in enumerate(choices) if _fits(start, choice.strip())]
    return fitting[0] if len(fitting) == 1 else None


def _fits(start: str, choice: str) -> bool:
    if choice.startswith(start):
        return True
    goes_on = re.match(r"\w| +[a-z]", start[len(choice) :])  # "A good reply" chooses nothing
    return start.startswith(choice) and not goes_on
