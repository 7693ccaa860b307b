"""How right a simple judge of these votes is after so many of them, and where that leads: a - b n^-c.

The judge is a logistic model of words and length, which is fitted in a moment and stands for nothing but how
fast these votes can be learnt from; the reward model of a run has a curve of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log1p
from typing import Any

import numpy as np

from ..evals.logistic import logistic
from .figures import Said

FIRST = 40
"""Votes from which on there is a curve."""
LEAST, RATIO = 10, 2**0.5
"""The curve begins with so many votes, and each of its points has so many times as many as the one before."""
FOLDS, DRAWS = 5, 4
WORDS = 64
"""Features of words, by their hash; one more is the length."""
PRIOR = 1.0  # standard deviation of each weight; a pair has no first, so that there is no constant
EXPONENTS = np.linspace(0.1, 2.0, 39)
SCATTER = 0.7
"""A curve that leaves more of the variance of its points than this explains nothing."""


@dataclass(frozen=True, slots=True)
class Curve:
    """a - b n^-c."""

    a: float
    b: float
    c: float

    def at(self, n: float) -> float:
        return self.a - self.b * n**-self.c


def learning(votes: Sequence[Said], *, seed: int = 0) -> dict[str, Any]:
    """The curve of these votes.

    Returns:
        points: n, and the share of votes on other questions that are then predicted; fit: a, b, c, or None;
        why: why there is no fit; twice: what the fit says of twice as many votes.
    """
    pairs = [pair for said in votes if (pair := _pair(said)) is not None]
    none = {"points": [], "fit": None, "twice": None}
    if len(pairs) < FIRST:
        return none | {"why": f"{FIRST} decided votes are needed for a curve, and there are {len(pairs)}"}
    x = np.array([features for features, _, _ in pairs])
    y = np.array([first for _, first, _ in pairs])
    questions = [question for _, _, question in pairs]
    if len(set(questions)) < FOLDS:
        return none | {"why": f"votes on {FOLDS} questions or more are needed for a curve"}
    points = _points(x, y, questions, seed)
    found = fit([(float(point["n"]), point["right"]) for point in points])
    if isinstance(found, str):
        return {"points": points, "fit": None, "twice": None, "why": found}
    named = {"a": found.a, "b": found.b, "c": found.c}
    return {"points": points, "fit": named, "twice": found.at(2 * points[-1]["n"]), "why": ""}


def fit(points: Sequence[tuple[float, float]]) -> Curve | str:
    """a - b n^-c by least squares over a grid of c, a at most 1; or why it cannot be fitted."""
    if len(points) < 4:
        return f"a curve of three numbers needs four points, and there are {len(points)}"
    n, y = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    best: tuple[float, Curve] | None = None
    for c in EXPONENTS:
        z = n**-c
        slope = float(np.cov(z, y, bias=True)[0, 1] / z.var())
        a, b = float(y.mean() - slope * z.mean()), -slope
        if a > 1:
            a = 1.0
            b = float(((1 - y) * z).sum() / (z * z).sum())
        error = float(((a - b * z - y) ** 2).sum())
        if b > 0 and (best is None or error < best[0] - 1e-15):
            best = error, Curve(a, b, float(c))
    total = float(((y - y.mean()) ** 2).sum())
    if best is None:
        return "it does not rise with the number of votes yet"
    if best[0] > SCATTER * total:
        return "its points scatter more than they rise"
    return best[1]


def _pair(said: Said) -> tuple[np.ndarray, float, str] | None:
    """Features of one decided vote, of its best answer and its worst in the order of the item: those of the
    first less those of the second; whether the first is the better one; its question.
    """
    if said.why in ("gold", "repeat"):
        return None
    decided = [(i, j, sign) for i, j, sign in said.pairs() if sign]
    if not decided:
        return None
    i, j, sign = decided[0]
    first, second = (said.asked.completions[place].text for place in (i, j))
    return _features(first) - _features(second), float(sign < 0), said.asked.prompt.id


def _features(text: str) -> np.ndarray:
    found = np.zeros(WORDS + 1)
    for word in text[:4000].casefold().split():
        found[zlib.crc32(word.strip(".,;:!?\"'()").encode("utf-8", "replace")) % WORDS] += 1
    found[:WORDS] = np.sqrt(found[:WORDS])
    found[WORDS] = log1p(len(text))
    return found


def _points(x: np.ndarray, y: np.ndarray, questions: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """The share of votes on other questions that are predicted, by how many were learnt from."""
    draw = np.random.Generator(np.random.Philox(key=[seed, 7]))
    names = sorted(set(questions))
    fold = dict(zip(names, draw.permutation(len(names)) % FOLDS, strict=True))
    of = np.array([fold[question] for question in questions])
    most = min(int((of != k).sum()) for k in range(FOLDS))
    sizes = [LEAST]
    while sizes[-1] * RATIO < most:
        sizes.append(round(sizes[-1] * RATIO))
    if most > sizes[-1]:
        sizes[-1:] = [size for size in (sizes[-1], most) if size == most or most > 1.2 * size]
    right = {size: [0.0, 0] for size in sizes}
    for k in range(FOLDS):
        learn, test = np.flatnonzero(of != k), np.flatnonzero(of == k)
        for _ in range(DRAWS):
            order = draw.permutation(learn)
            for size in sizes:
                weights = logistic(x[order[:size]], y[order[:size]], prior=PRIOR)
                said = x[test] @ weights
                score = np.where(said == 0, 0.5, (said > 0) == (y[test] > 0.5))
                right[size][0] += float(score.sum())
                right[size][1] += len(test)
    assert all(a < b for a, b in pairwise(sizes))
    return [{"n": size, "right": hits / count} for size, (hits, count) in right.items()]
