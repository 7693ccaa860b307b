"""What votes say of style, at once and without torch: which features of an answer people pay for beside what
it says, who loves length, and which votes weigh most.

A pair of answers that somebody decided is won by the first with probability sigmoid(w . (f1 - f2)) (Bradley
and Terry 1952, with features as in Chiang et al. 2024, "Does style matter?"). A difference of features counts
in typical ones (their root mean square over pairs), the side on which an answer was seen is a feature too, a
tie is half a win of each, and the pairs of a ranking of K answers count 2 / K each. Weights have a normal
prior of deviation 2.5, so that a feature that parted all pairs so far is large and not infinite.

The model is fitted again without each item, and without each vote: exactly as long as there are not more than
`EXACT` of them, and by one step of Newton's from the weights of all beyond (the first term of what exact
fitting would give). From the former come intervals, since votes on one item say alike (the jackknife over
items, which holds for few of them where the curvature's interval does not: Bell and McCaffrey 2002), and how
often the model is right on items it did not learn from; from the latter, which votes move the weights.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from ..evals.logistic import curvature_and_slope, logistic, sigmoid
from ..evals.statistics import mean_by_prompt
from .figures import Said
from .manner import FEATURES, manner_of

PRIOR = 2.5  # deviation of the prior of a weight
EXACT = 500  # items or votes up to which the model is fitted again without each of them
FEWEST = 8  # items below which no weight is told
FEWEST_OF = 5  # pairs of a person below which nothing is said of them
WEIGHTIEST = 8  # votes that are named
NAMES = (*FEATURES, "left")
_USELESS = ("gold", "repeat")


@dataclass(frozen=True)
class Pairs:
    """Decided and tied pairs as arrays, a row each.

    Attributes:
        differences: (N, F) features of the first answer less those of the second, F = len(NAMES).
        wins: (N,) 1 the first won, 0 the second, 0.5 a tie.
        counts: (N,) how much a pair counts.
        vote, item: (N,) the number of its vote and of its item.
    """

    differences: np.ndarray
    wins: np.ndarray
    counts: np.ndarray
    vote: np.ndarray
    item: np.ndarray

    def turned(self, vote: int) -> Pairs:
        """As if that vote had said the opposite."""
        wins = np.where(self.vote == vote, 1 - self.wins, self.wins)
        return Pairs(self.differences, wins, self.counts, self.vote, self.item)


def pairs_of(votes: Sequence[Said]) -> Pairs:
    """The pairs of votes; gold and repeated items say nothing of what people like."""
    rows: list[np.ndarray] = []
    others: list[tuple[float, float, int, int]] = []
    items: dict[str, int] = {}
    for number, said in enumerate(votes):
        if said.why in _USELESS or said.given.get("harm"):
            continue
        manners = [np.array(manner_of(completion)) for completion in said.asked.completions]
        seen = {place: at for at, place in enumerate(said.given["order"])}
        ranked = sum(rank is not None for rank in said.ranks)
        of = items.setdefault(said.item, len(items))
        for i, j, sign in said.pairs():
            left = 0.5 if seen[i] < seen[j] else -0.5
            rows.append(np.append(manners[i] - manners[j], left))
            others.append(((1 - sign) / 2, 2 / ranked, number, of))
    differences = np.array(rows).reshape(-1, len(NAMES))
    wins, counts, vote, item = np.array(others).reshape(-1, 4).T
    return Pairs(differences, wins, counts, vote.astype(int), item.astype(int))


# --- the model


def fit(pairs: Pairs, scale: np.ndarray, begin: np.ndarray | None = None, keep: Any = None) -> np.ndarray:
    """(F,) weights of differences in units of `scale`, at the maximum of the posterior.

    Args:
        begin: weights to start from. keep: which pairs count; None = all.
    """
    x, wins, counts = _chosen(pairs, scale, keep)
    return logistic(x, wins, prior=PRIOR, counts_N=counts, begin_F=begin)


def _chosen(pairs: Pairs, scale: np.ndarray, keep: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.divide(pairs.differences, scale, out=np.zeros_like(pairs.differences), where=scale > 0)
    if keep is None:
        return x, pairs.wins, pairs.counts
    return x[keep], pairs.wins[keep], pairs.counts[keep]


def _curvature(pairs: Pairs, scale: np.ndarray, weights: np.ndarray) -> np.ndarray:
    x, wins, counts = _chosen(pairs, scale, None)
    return curvature_and_slope(x, wins, weights, prior=PRIOR, counts_N=counts)[0]


def without_each(pairs: Pairs, scale: np.ndarray, weights: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(G, F) the weights without each group of pairs, exact up to `EXACT` groups.

    Args:
        of: (N,) the group of each pair, from 0 to G - 1; a group may have none.
    """
    count = int(of.max()) + 1
    if count <= EXACT:
        return np.stack([fit(pairs, scale, weights, of != group) for group in range(count)])
    x, wins, counts = _chosen(pairs, scale, None)
    p = sigmoid(x @ weights)
    whole = _curvature(pairs, scale, weights)
    slopes = np.zeros((count, len(scale)))
    np.add.at(slopes, of, x * (counts * (wins - p))[:, None])
    curved = np.zeros((count, len(scale), len(scale)))
    np.add.at(curved, of, (x * (counts * p * (1 - p))[:, None])[:, :, None] * x[:, None, :])
    return weights - np.linalg.solve(whole - curved, slopes[:, :, None])[:, :, 0]


# --- what is said of it


def style(votes: Sequence[Said], *, turned: str = "") -> dict[str, Any]:
    """What votes say of style.

    Args:
        turned: the id of a vote; `features` say too what the weights were if it had said the opposite.

    Returns:
        pairs, items, votes, people, that were looked at; enough, whether there are items for a model.
        features: for each name its meaning, `weight` (log-odds of winning for a typical difference) with
            `low` and `high` at 95 %, the `typical` difference, `differ` (pairs that differ in it), `wins` (S:
            the answer that has more of it wins), `turned` (the weight with that vote turned).
        right: S over items: how often a model that did not see the item orders its pairs as people did.
            longer: S: how often the longer answer won.
        people: for each `annotator` with enough pairs, `longer` (S over items).
        weightiest: the votes without which the weights are most another (in the model's own uncertainty), the
            weightiest first: vote, item, annotator, by, the feature that they move most, and its weight
            without them; each as the fit says. exact: whether it was fitted again for each of them.
    """
    pairs = pairs_of(votes)
    scale = np.sqrt((pairs.differences**2).mean(0)) if len(pairs.wins) else np.zeros(len(NAMES))
    used = np.unique(pairs.item)
    enough = len(used) >= FEWEST
    found: dict[str, Any] = {
        "pairs": len(pairs.wins),
        "items": len(used),
        "votes": len(np.unique(pairs.vote)),
        "enough": enough,
        "features": [_described(pairs, scale, at) for at in range(len(NAMES))],
        "right": mean_by_prompt([], []),
        "longer": _wins(pairs, 0),
        "people": _people(pairs, votes),
        "weightiest": [],
        "exact": True,
    }
    if not enough:
        return found
    weights = fit(pairs, scale)
    by_item = without_each(pairs, scale, weights, pairs.item)
    errors = np.sqrt((len(used) - 1) / len(used) * ((by_item - by_item.mean(0)) ** 2).sum(0))
    half = float(stdtrit(len(used) - 1, 0.975)) * errors
    instead = _turned(pairs, scale, weights, votes, turned)
    for at, row in enumerate(found["features"]):
        if scale[at] > 0:
            row |= {"weight": weights[at], "low": weights[at] - half[at], "high": weights[at] + half[at]}
            row["turned"] = None if instead is None else instead[at]
    found["right"] = _right(pairs, scale, by_item)
    by_vote = without_each(pairs, scale, weights, pairs.vote)
    found["weightiest"] = _weightiest(pairs, scale, weights, by_vote, votes)
    found["exact"] = len(by_vote) <= EXACT
    return found


def _turned(
    pairs: Pairs, scale: np.ndarray, weights: np.ndarray, votes: Sequence[Said], turned: str
) -> np.ndarray | None:
    place = next((place for place, said in enumerate(votes) if said.id == turned), None)
    return None if place is None else fit(pairs.turned(place), scale, weights)


def _described(pairs: Pairs, scale: np.ndarray, at: int) -> dict[str, Any]:
    means = FEATURES.get(NAMES[at], "it was seen first")
    nothing = {"weight": None, "low": None, "high": None, "turned": None}
    differ = int(np.count_nonzero(pairs.differences[:, at]))
    row = {"name": NAMES[at], "means": means, "typical": float(scale[at]), "differ": differ}
    return row | {"wins": _wins(pairs, at)} | nothing


def _wins(pairs: Pairs, at: int, among: np.ndarray | None = None) -> dict[str, Any]:
    """S over items: of decided pairs that differ in a feature, the share that the answer with more of it
    wins.
    """
    difference = pairs.differences[:, at]
    chosen = (difference != 0) & (pairs.wins != 0.5)
    if among is not None:
        chosen &= among
    more = (difference[chosen] > 0) == (pairs.wins[chosen] > 0.5)
    return mean_by_prompt(more.astype(float).tolist(), pairs.item[chosen].tolist(), share=True)


def _people(pairs: Pairs, votes: Sequence[Said]) -> list[dict[str, Any]]:
    of: Mapping[str, list[int]] = defaultdict(list)
    for place, said in enumerate(votes):
        of[said.annotator].append(place)
    rows = [
        {"annotator": person, "longer": _wins(pairs, 0, np.isin(pairs.vote, places))}
        for person, places in of.items()
    ]
    told = [row for row in rows if row["longer"]["n"] >= FEWEST_OF]
    return sorted(told, key=lambda row: (-row["longer"]["mean"], row["annotator"]))


def _right(pairs: Pairs, scale: np.ndarray, by_item: np.ndarray) -> dict[str, Any]:
    x, wins, _ = _chosen(pairs, scale, None)
    logits = (x * by_item[pairs.item]).sum(1)
    decided = wins != 0.5
    right = np.where(logits == 0, 0.5, (logits > 0) == (wins > 0.5))[decided]
    return mean_by_prompt(right.astype(float).tolist(), pairs.item[decided].tolist(), share=True)


def _weightiest(
    pairs: Pairs, scale: np.ndarray, weights: np.ndarray, by_vote: np.ndarray, votes: Sequence[Said]
) -> list[dict[str, Any]]:
    curvature = _curvature(pairs, scale, weights)
    moved = by_vote - weights
    far = np.einsum("vf,fg,vg->v", moved, curvature, moved)
    errors = 1 / np.sqrt(np.diagonal(curvature))
    rows = []
    for place in np.argsort(-far, kind="stable")[:WEIGHTIEST]:
        if far[place] < 1e-12:
            break
        at = int(np.argmax(np.abs(moved[place] / errors)))
        said = votes[place]
        rows.append(
            {"vote": said.id, "item": said.item, "annotator": said.annotator, "by": float(far[place])}
            | {"feature": NAMES[at], "without": float(by_vote[place, at])}
        )
    return rows
