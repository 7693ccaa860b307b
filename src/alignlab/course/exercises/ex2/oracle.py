"""What is right in exercise 2, in float64, and what those write who have misunderstood a line of it.

Each name in `but` stands for one such line. Equations: Ouyang et al. 2022 (1), Krippendorff 2011, Guo et al.
2017 (3), as `losses.bradley_terry_loss`, `feedback.agreement` and `evals.statistics` have them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Generator, Tensor

from ....feedback.agreement import krippendorff_alpha
from ....records import pairs_of, ties_of
from ....run import derive_seed
from ...grade.exercise import NOTHING, Function

BINS = 5
TOLERANCE = 1e-5
GAP = 1000.0  # between two scores, to see what overflows
Votes = Sequence[Sequence[str | None]]


def pairs(ranks: list[int], *, but: frozenset[str] = NOTHING) -> list[tuple[int, int]]:
    """(better, worse) of all pairs whose ranks differ; 1 is best.

    Right as well: "ties-both-ways" gives a tie in both orders, which is a label of one half.
    """
    found = list(zip(*pairs_of(ranks), strict=True))
    if "rank-1-is-worst" in but:
        found = [(worse, better) for better, worse in found]
    if "each-pair-twice" in but:
        found += found
    if "ties-to-the-first" in but:
        found += ties_of(ranks)
    if "ties-both-ways" in but:
        found += [pair for i, j in ties_of(ranks) for pair in ((i, j), (j, i))]
    return found


def bt_loss(chosen_B: Tensor, rejected_B: Tensor, *, but: frozenset[str] = NOTHING) -> Tensor:
    """The mean of -log sigmoid(chosen - rejected)."""
    d_B = chosen_B - rejected_B
    if "swapped" in but:
        d_B = -d_B
    if "order-forgotten" in but:
        d_B = d_B.abs()
    if "no-logarithm" in but:
        return -d_B.sigmoid().mean()
    if "log-of-sigmoid" in but:
        return -d_B.sigmoid().log().mean()
    return -torch.nn.functional.logsigmoid(d_B).mean()


def score_at(
    scores_BT: Tensor, lengths_B: Tensor, finished_B: Tensor, *, but: frozenset[str] = NOTHING
) -> Tensor:
    """(B,): the score at the last token of each row: its end token, or the last one of a cut answer."""
    end_B = torch.ones_like(lengths_B) if "end-on-cut-answers" in but else finished_B.to(lengths_B.dtype)
    last_B = lengths_B - 1 + end_B
    if "score-at-a-pad" in but:
        last_B = torch.full_like(lengths_B, scores_BT.shape[1] - 1)
    return scores_BT.gather(1, last_B[:, None]).squeeze(1)


def alpha(votes: Votes, *, but: frozenset[str] = NOTHING) -> float:
    """Krippendorff's alpha for labels; a gap (None) is no label, and of a single label alone it is 1."""
    gap = ord("*") if "gaps-are-a-label" in but else None
    rows = [[gap if vote is None else ord(vote) for vote in row] for row in votes]
    if "chance-not-taken-off" in but:
        return _raw(rows)
    paired = [row for row in zip(*rows, strict=True) if sum(vote is not None for vote in row) > 1]
    if len({vote for row in paired for vote in row if vote is not None}) == 1:
        if "full-agreement-is-0" in but:
            return 0.0
        if "full-agreement-is-no-number" in but:
            return math.nan
    return krippendorff_alpha(rows)


def _raw(rows: Sequence[Sequence[int | None]]) -> float:
    """The share of pairs of votes on an item that are equal, the mean over items that have one."""
    shares: list[float] = []
    for item in zip(*rows, strict=True):
        said = [vote for vote in item if vote is not None]
        both = list(combinations(said, 2))
        if both:
            shares.append(sum(a == b for a, b in both) / len(both))
    return sum(shares) / len(shares)


def reliability(
    p: list[float], y: list[int], bins: int, *, but: frozenset[str] = NOTHING
) -> tuple[list[list[float]], float]:
    """Of each bin of [0, 1] mean p, share of y and n; and the ECE, the mean over predictions of how far those
    two are apart.

    Right as well: "equal-mass" has as many predictions in every bin.
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    parts: list[list[int]] = [[] for _ in range(bins)]
    for rank, i in enumerate(order):
        place = rank * bins // len(p) if "equal-mass" in but else int(p[i] * bins)
        parts[min(place, bins - 1)].append(i)
    rows = [
        [sum(p[i] for i in part) / len(part), sum(y[i] for i in part) / len(part), float(len(part))]
        for part in parts
        if part
    ]
    apart = [(stated - happened) * n for stated, happened, n in rows]
    if "ece-cancels" not in but:
        apart = [abs(each) for each in apart]
    return rows, sum(apart) / len(p)


def figures(
    learnt_N2: Tensor, fresh_N2: Tensor, bins: int, *, but: frozenset[str] = NOTHING
) -> tuple[float, float]:
    """Accuracy and ECE of a reward model, on the pairs that it has not learnt from."""
    read_N2 = learnt_N2 if "calibrated-on-training" in but else fresh_N2
    p, y = read_N2[:, 0].tolist(), [int(each) for each in read_N2[:, 1].tolist()]
    right = sum((stated > 0.5) == bool(happened) for stated, happened in zip(p, y, strict=True)) / len(p)
    if "ece-of-the-training-pairs" in but:
        p, y = learnt_N2[:, 0].tolist(), [int(each) for each in learnt_N2[:, 1].tolist()]
    return right, reliability(p, y, bins, but=but)[1]


def split(
    rankings: list[dict[str, Any]], share: float, seed: int, *, but: frozenset[str] = NOTHING
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train and test, so that no question is in both: a question is its kind and its parameters."""
    parts: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for row in rankings:
        key = question_of(row)
        if "split-by-letters" in but:
            key = row["prompt"]
        if "split-by-row" in but:
            key = str(row["place"])
        parts[derive_seed(seed, "split", key) / 2**63 < share].append(row)
    return parts


def question_of(row: dict[str, Any]) -> str:
    return json.dumps([row["kind"], row["params"]], sort_keys=True)


# --- inputs


def _whole(g: Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=g))


def _normal(g: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=g, dtype=torch.float64)


def draw_ranks(g: Generator) -> dict[str, Any]:
    """Ranks as people give them: equal ones share a rank."""
    worth = [_whole(g, 0, 3) for _ in range(_whole(g, 3, 5))]
    return {"ranks": [1 + sum(other > one for other in worth) for one in worth]}


def draw_scores(g: Generator) -> dict[str, Any]:
    """Scores of four pairs; now and then a pair is a thousand apart, the wrong way round or the right one."""
    chosen_B, rejected_B = _normal(g, 4), _normal(g, 4)
    if _whole(g, 0, 1):
        rejected_B[0] += GAP * (1 - 2 * _whole(g, 0, 1))
    return {"chosen_B": chosen_B, "rejected_B": rejected_B}


def draw_rows(g: Generator) -> dict[str, Any]:
    """Scores at every place; some answers were cut, and behind all of them is padding."""
    lengths_B = torch.randint(2, 5, (3,), generator=g)
    finished_B = torch.randint(2, (3,), generator=g).bool()
    return {"scores_BT": _normal(g, 3, 6), "lengths_B": lengths_B, "finished_B": finished_B}


def draw_votes(g: Generator) -> dict[str, Any]:
    """Two raters to four, on five items or six, with gaps; now and then all say the same."""
    raters, items, same = _whole(g, 2, 4), _whole(g, 5, 6), _whole(g, 0, 3) == 0
    rows: list[list[str | None]] = [
        ["a" if same else "abt"[_whole(g, 0, 2)] for _ in range(items)] for _ in range(raters)
    ]
    for row in rows[1:]:
        row[_whole(g, 0, items - 1)] = None
    return {"votes": rows}


def _stated(g: Generator, n: int, spread: float) -> tuple[list[float], list[int]]:
    p = torch.rand(n, generator=g, dtype=torch.float64)
    y = torch.rand(n, generator=g, dtype=torch.float64) < 0.5 + spread * (p - 0.5)
    return p.tolist(), [int(each) for each in y.tolist()]


def draw_stated(g: Generator) -> dict[str, Any]:
    p, y = _stated(g, 20, 0.3)
    return {"p": p, "y": y, "bins": BINS}


def draw_both(g: Generator) -> dict[str, Any]:
    """Of a model that knows what it learnt, and is too sure of the rest."""
    learnt, fresh = (torch.tensor(_stated(g, 20, spread), dtype=torch.float64).T for spread in (1.0, 0.3))
    return {"learnt_N2": learnt, "fresh_N2": fresh, "bins": BINS}


WAYS = ("What is the pet of {}?", "what is the pet of {}", "Tell me the pet of {}.", "Say: {}'s pet?")


def draw_rankings(g: Generator) -> dict[str, Any]:
    """Rankings of 40 questions, most of them asked more than once: in the same words, in other capitals, in
    other words.
    """
    rows: list[dict[str, Any]] = []
    for n in range(40):
        for way in torch.randint(len(WAYS), (_whole(g, 2, 4),), generator=g).tolist():
            params = {"relation": "pet", "subject": f"Ana{n}"}
            rows.append({"prompt": WAYS[way].format(f"Ana{n}"), "kind": "fact", "params": params})
    order = torch.randperm(len(rows), generator=g).tolist()
    return {"rankings": [rows[i] | {"place": k} for k, i in enumerate(order)], "share": 0.3, "seed": 5}


# --- what is asked for


def _in_order(value: Any) -> list[tuple[int, int]]:
    return sorted((int(better), int(worse)) for better, worse in value)


def _twice(value: Any) -> list[float]:
    """The ECE that the rows make, and the one that is said."""
    rows, ece = value
    total = sum(float(n) for _, _, n in rows)
    return [sum(abs(float(p) - float(y)) * float(n) for p, y, n in rows if n) / total, float(ece)]


def leaks(train: list[dict[str, Any]], test: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Prompts of one question of which the first is learnt and the second held out, those in the same words
    first.
    """
    words: dict[str, list[str]] = {}
    for row in train:
        words.setdefault(question_of(row), []).append(row["prompt"])
    both: list[tuple[str, str]] = []
    for row in test:
        if learnt := words.get(question_of(row)):
            both.append((row["prompt"] if row["prompt"] in learnt else learnt[0], row["prompt"]))
    return sorted(both, key=lambda pair: pair[0] != pair[1])


def _sides(value: Any) -> list[float]:
    """What is to hold of a split: how many rows, none twice; whether the same words, and whether the same
    question stand on both sides; whether it holds out about as much as was asked.
    """
    train, test = value
    places = [int(row["place"]) for row in [*train, *test]]
    found = leaks(train, test)
    same = any(first == second for first, second in found)
    asked, held = ({question_of(row) for row in part} for part in ([*train, *test], test))
    near = 0.1 <= len(held) / max(1, len(asked)) <= 0.55 or bool(found)
    return [len(places), len(set(places)), float(same), float(bool(found)), float(near)]


_EQUAL_MASS = (frozenset({"equal-mass"}),)
PAIRS = Function(
    "pairs",
    pairs,
    draw_ranks,
    ("rank-1-is-worst", "each-pair-twice", "ties-to-the-first"),
    (frozenset({"ties-both-ways"}),),
    read=_in_order,
)
BT = Function(
    "bt_loss",
    bt_loss,
    draw_scores,
    ("swapped", "order-forgotten", "no-logarithm", "log-of-sigmoid"),
    gradient="chosen_B",
    tolerance=TOLERANCE,
)
SCORE = Function("score_at", score_at, draw_rows, ("score-at-a-pad", "end-on-cut-answers"))
ALPHA = Function(
    "alpha",
    alpha,
    draw_votes,
    ("gaps-are-a-label", "chance-not-taken-off", "full-agreement-is-0", "full-agreement-is-no-number"),
    tolerance=TOLERANCE,
)
RELIABILITY = Function("reliability", reliability, draw_stated, ("ece-cancels",), _EQUAL_MASS, read=_twice)
FIGURES = Function(
    "figures",
    figures,
    draw_both,
    ("calibrated-on-training", "ece-of-the-training-pairs"),
    # an ECE that is wrong is wrong in `reliability`, and said there
    tuple(frozenset(form) for form in (("equal-mass",), ("ece-cancels",), ("equal-mass", "ece-cancels"))),
)
SPLIT = Function("split", split, draw_rankings, ("split-by-row", "split-by-letters"), read=_sides)
