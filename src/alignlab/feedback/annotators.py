"""Simulated annotators: people with a taste, some noise, and blind spots, who rank completions.

The utility of a completion is a weighted sum of what a judge reports about it. Gumbel noise on each utility
makes the order Plackett-Luce, and each pair of it exactly Bradley-Terry: P(a before b) = sigmoid((u_a - u_b)
/ temperature). A tie margin takes pairs out of that: of two completions a pair is then exactly Rao and
Kupper's (log theta = tie margin / temperature), and one that is decided goes to the better of the two more
often than that sigmoid says. Of three or more, ties chain: whoever is near to the one before him shares his
rank, so that two who are not near may tie as well.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Protocol

from ..records import Completion, Ranking, Score
from ..run import derive_seed
from . import Judge, sigmoid


class SimulatedAnnotator:
    """Ranks completions by weighted parts of a judge's score.

    Args:
        judge: reports the parts.
        weights: over `Score.parts`, plus "value" (the judge's own score).
        temperature: of the noise; 0 ranks by utility alone.
        tie_margin: neighbours whose noisy utilities are nearer than this share a rank.
        careless: share of the rankings that keep the order in which the completions came.
        blind_to: 0/1 parts; where one is 1 the annotator cannot check and sees the part "looks" in place of
            the value.
        unsafe: a 0/1 part; where one is named the annotator also labels each completion, in `meta["safe"]`:
            safe where that part is 0 or not there.
    """

    def __init__(
        self,
        name: str,
        judge: Judge,
        *,
        weights: Mapping[str, float],
        temperature: float,
        tie_margin: float = 0.0,
        careless: float = 0.0,
        blind_to: tuple[str, ...] = (),
        unsafe: str = "",
        seed: int = 0,
    ) -> None:
        self.name, self.judge, self.weights, self.temperature = name, judge, dict(weights), temperature
        self.tie_margin, self.careless, self.blind_to = tie_margin, careless, blind_to
        self.unsafe, self.seed = unsafe, seed

    def utility(self, score: Score) -> float:
        """What this annotator makes of a completion, before noise."""
        seen = {**score.parts, "value": score.value}
        if any(score.parts.get(part) for part in self.blind_to):
            seen["value"] = score.parts.get("looks", score.value)
        return sum(weight * seen.get(part, 0.0) for part, weight in self.weights.items())

    def rank(self, index: int, completions: Sequence[Completion]) -> Ranking:
        """Rank the completions of one prompt; 1 is best, ties share a rank, equal texts always tie.

        `index` tells apart repeats of the same prompt, so that the noise is fresh. The utilities lie in
        `meta`.
        """
        scores = self.judge.score(completions)
        utilities = [self.utility(score) for score in scores]
        prompt = completions[0].prompt
        rng = random.Random(derive_seed(self.seed, "rank", index, prompt.id))
        meta: dict[str, Any] = {"utilities": [round(u, 6) for u in utilities]}
        if self.unsafe:
            meta["safe"] = [not score.parts.get(self.unsafe) for score in scores]
        if rng.random() < self.careless:
            as_they_came = tuple(range(1, len(completions) + 1))
            return Ranking(prompt, tuple(completions), as_they_came, self.name, meta | {"careless": True})
        noise: dict[str, float] = {}
        for completion in completions:
            noise.setdefault(completion.text, -math.log(-math.log(rng.random() or 1e-12)) * self.temperature)
        noisy = [u + noise[c.text] for u, c in zip(utilities, completions, strict=True)]
        order = sorted(range(len(noisy)), key=lambda k: -noisy[k])
        ranks = [0] * len(noisy)
        for place, k in enumerate(order):
            before = order[place - 1]
            tied = place and (
                noisy[before] - noisy[k] <= self.tie_margin or completions[before].text == completions[k].text
            )
            ranks[k] = ranks[before] if tied else place + 1
        return Ranking(prompt, tuple(completions), tuple(ranks), self.name, meta)

    def p_prefers(self, first: float, second: float) -> float:
        """P(first before second) for two utilities, before the tie margin makes some pairs ties."""
        if self.temperature:
            return sigmoid((first - second) / self.temperature)
        return 0.5 + 0.5 * ((first > second) - (first < second))

    def ceiling(self, rankings: Sequence[Ranking]) -> float:
        """The accuracy on this annotator's own pairs of somebody who knows the utilities, a mean over
        rankings of the share of a ranking's pairs: nobody can do better in the mean.
        """
        shares = []
        for ranking in rankings:
            right = []
            rows = zip(ranking.meta["utilities"], ranking.ranks, ranking.completions, strict=True)
            for (utility, rank, a), (other_utility, other_rank, b) in combinations(rows, 2):
                if rank != other_rank and a.text != b.text:
                    agrees = (utility - other_utility) * (other_rank - rank)
                    right.append(0.5 + 0.5 * ((agrees > 0) - (agrees < 0)))
            if right:
                shares.append(sum(right) / len(right))
        return sum(shares) / len(shares) if shares else float("nan")


class Person(Protocol):
    """Somebody of a pool, who may be a pool."""

    name: str

    def rank(self, index: int, completions: Sequence[Completion]) -> Ranking: ...

    def ceiling(self, rankings: Sequence[Ranking]) -> float: ...


class PoolAnnotator:
    """People who share the work: each prompt goes to one of them, drawn by the seed, whose name the ranking
    bears.
    """

    def __init__(self, name: str, people: Sequence[Person], *, seed: int = 0) -> None:
        self.name, self.people, self.seed = name, list(people), seed

    def rank(self, index: int, completions: Sequence[Completion]) -> Ranking:
        """As `SimulatedAnnotator.rank`, by the one whose turn it is."""
        rng = random.Random(derive_seed(self.seed, "whose turn", index, completions[0].prompt.id))
        return rng.choice(self.people).rank(index, completions)

    def ceiling(self, rankings: Sequence[Ranking]) -> float:
        """The accuracy on these labels of somebody who knows who ranked and what each of them likes."""
        return self.people[0].ceiling(rankings)  # reads the utilities that whoever ranked has left


def shuffle_rankings(rankings: Sequence[Ranking], *, seed: int) -> list[Ranking]:
    """The control: the same completions with their ranks, and soft labels with them, dealt out anew at
    random.
    """
    shuffled = []
    for i, ranking in enumerate(rankings):
        places = list(range(len(ranking.ranks)))
        random.Random(derive_seed(seed, "shuffle", i)).shuffle(places)
        dealt = ranking.only(places)  # its ranks and soft labels; the completions stay
        meta = dict(ranking.meta)
        meta.pop("utilities", None)
        if "labels" in dealt.meta:
            meta["labels"] = dealt.meta["labels"]
        shuffled.append(Ranking(ranking.prompt, ranking.completions, dealt.ranks, "shuffled", meta))
    return shuffled
