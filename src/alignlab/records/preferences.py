"""Which of several answers to a prompt is the better one: comparisons and rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import DataError
from .completions import Completion, Unpaired, check_label, completion_text
from .prompts import Prompt, filled


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two completions of one prompt; `chosen` was preferred. `tie` says that neither was.

    Attributes:
        label: the probability that `chosen` is the better one, from 0 to 1 (a soft label, as an AI judge
            gives it); None is certainty, 1.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    margin: float | None = None
    tie: bool = False
    chosen_finished: bool = True
    rejected_finished: bool = True
    meta: Mapping[str, Any] = field(default_factory=dict)
    label: float | None = None

    def __post_init__(self) -> None:
        if self.label is not None:
            check_label(self.label)

    @property
    def favoured(self) -> Comparison:
        """The comparison as whoever takes a label for certain has to read it: the favoured completion chosen,
        no soft label; at one half, a tie.
        """
        if self.label is None:
            return self
        sure = replace(self, label=None, tie=self.tie or self.label == 0.5)
        if self.label >= 0.5:
            return sure
        return replace(
            sure,
            chosen=self.rejected,
            rejected=self.chosen,
            chosen_finished=self.rejected_finished,
            rejected_finished=self.chosen_finished,
        )

    def to_json(self) -> dict[str, Any]:
        row = self.prompt.to_json() | {"chosen": self.chosen, "rejected": self.rejected}
        if self.label is not None:
            row["label"] = self.label
        if self.margin is not None:
            row["margin"] = self.margin
        if self.tie:
            row["tie"] = True
        if not self.chosen_finished:
            row["chosen_finished"] = False
        if not self.rejected_finished:
            row["rejected_finished"] = False
        return row | filled(comparison_meta=dict(self.meta))

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Comparison:
        return Comparison(
            Prompt.from_json(row),
            completion_text(row["chosen"]),
            completion_text(row["rejected"]),
            row.get("margin"),
            row.get("tie", False),
            row.get("chosen_finished", True),
            row.get("rejected_finished", True),
            row.get("comparison_meta") or {},
            row.get("label"),
        )


MOST_RANKED = 256  # completions of one ranking: its pairs go by their square
PER_COMPLETION = ("utilities", "scores", "safe", "safer")
"""Lists in a ranking's meta with one entry per completion: a simulated annotator's utilities; the scores
it was ranked by; whether it is safe (true, false, null); its rank by harm alone, where the ranks are by
something else."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """K completions of one prompt with their ranks: 1 is best, equal ranks are ties.

    All K(K-1)/2 pairs of a ranking stay in one batch element of the reward model (InstructGPT, section 3.5).

    `meta["labels"]`, where it is there, holds a soft label for each pair: the probability that completion i
    is better than completion j, for (0, 1), (0, 2), ..., (1, 2), ...; see `label`.
    """

    prompt: Prompt
    completions: tuple[Completion, ...]
    ranks: tuple[int, ...]
    annotator: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.completions) != len(self.ranks):
            raise DataError(f"a ranking of {len(self.completions)} completions has {len(self.ranks)} ranks")
        if len(self.completions) > MOST_RANKED:
            raise DataError(
                (
                    f"a ranking of {len(self.completions):,} completions has "
                    f"{len(self.completions) * (len(self.completions) - 1) // 2:,} pairs"
                ),
                remedy=(
                    f"at most {MOST_RANKED} completions of one prompt: keep the best and the worst, or some "
                    "drawn at random"
                ),
            )
        if (labels := self.meta.get("labels")) is not None:
            k = len(self.ranks)
            if not isinstance(labels, list | tuple) or len(labels) != k * (k - 1) // 2:
                raise DataError(
                    f"a ranking of {k} completions has {k * (k - 1) // 2} pairs, and its soft labels "
                    f"are {labels!r:.60}"
                )
            for value in labels:
                check_label(value)

    def label(self, i: int, j: int) -> float | None:
        """The soft label of a pair: the probability that completion i is better than completion j. None where
        the ranks are all there is.
        """
        labels = self.meta.get("labels")
        if labels is None:
            return None
        low, high = min(i, j), max(i, j)
        value = float(labels[low * (2 * len(self.ranks) - low - 1) // 2 + high - low - 1])
        return value if i < j else 1 - value

    def only(self, places: Sequence[int]) -> Ranking:
        """The ranking of some of its completions; what `meta` says of each completion (`PER_COMPLETION`) goes
        along.
        """
        meta = {
            name: [value[i] for i in places] if name in PER_COMPLETION else value
            for name, value in self.meta.items()
            if value is not None
        }
        if "labels" in meta:
            meta["labels"] = [self.label(i, j) for n, i in enumerate(places) for j in places[n + 1 :]]
        return Ranking(
            self.prompt,
            tuple(self.completions[i] for i in places),
            tuple(self.ranks[i] for i in places),
            self.annotator,
            meta,
        )

    def comparisons(self, *, ties: bool = False) -> list[Comparison]:
        """All pairs whose ranks differ, better one first, with their soft labels; with `ties` the equal ones
        too.
        """
        pairs = []
        for i, first in enumerate(self.completions):
            for j in range(i + 1, len(self.completions)):
                second = self.completions[j]
                tie = self.ranks[i] == self.ranks[j]
                if (tie and not ties) or first.text == second.text:
                    continue
                good, bad, label = first, second, self.label(i, j)
                if self.ranks[i] > self.ranks[j]:
                    good, bad, label = second, first, self.label(j, i)
                pairs.append(
                    Comparison(
                        self.prompt,
                        good.text,
                        bad.text,
                        None,
                        tie,
                        good.finished,
                        bad.finished,
                        {"annotator": self.annotator, "sources": [good.source, bad.source]},
                        label,
                    )
                )
        return pairs

    def unpaired(self) -> list[Unpaired]:
        """Each completion by itself: liked if it beats more of the others than beat it, disliked if fewer,
        left out if as many.

        Without ties that is the better half, the worse half, and of an odd number the middle one. A soft
        label counts for whom it favours. Where `meta["both_bad"]` says that none is good, all are disliked.
        """
        if self.meta.get("both_bad"):
            return [Unpaired(self.prompt, each.text, False, each.finished) for each in self.completions]
        liked_or_not = []
        for i, completion in enumerate(self.completions):
            ahead = sum(self._favor(i, j) for j in range(len(self.ranks)) if j != i)
            if ahead:
                liked_or_not.append(Unpaired(self.prompt, completion.text, ahead > 0, completion.finished))
        return liked_or_not

    def _favor(self, i: int, j: int) -> int:
        """1 if completion i beats completion j, -1 if it is beaten, else 0; by the soft labels where there
        are some.
        """
        if "labels" not in self.meta:
            return (self.ranks[j] > self.ranks[i]) - (self.ranks[j] < self.ranks[i])
        label = self.label(i, j) or 0.0
        return (label > 0.5) - (label < 0.5)

    def to_json(self) -> dict[str, Any]:
        row = self.prompt.to_json() | {
            "completions": [c.text for c in self.completions],
            "ranks": list(self.ranks),
            "finished": [c.finished for c in self.completions],
            "sources": [c.source for c in self.completions],
        }
        return row | filled(annotator=self.annotator, ranking_meta=dict(self.meta))

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Ranking:
        prompt = Prompt.from_json(row)
        texts = [completion_text(c) for c in row["completions"]]
        finished = row.get("finished") or [True] * len(texts)
        sources = row.get("sources") or [""] * len(texts)
        if row.get("ranks") is not None:
            ranks = [int(r) for r in row["ranks"]]
        else:
            ranks = ranks_from_scores(row["scores"])
        completions = tuple(
            Completion(prompt, text, finished=f, source=s)
            for text, f, s in zip(texts, finished, sources, strict=True)
        )
        return Ranking(
            prompt, completions, tuple(ranks), row.get("annotator", ""), row.get("ranking_meta") or {}
        )


def pairs_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices (better, worse) of all pairs whose ranks differ."""
    pairs = [(i, j) for i in range(len(ranks)) for j in range(len(ranks)) if ranks[i] < ranks[j]]
    return [i for i, _ in pairs], [j for _, j in pairs]


def ties_of(ranks: Sequence[int]) -> list[tuple[int, int]]:
    """Indices of all pairs whose ranks are equal."""
    return [(i, j) for i in range(len(ranks)) for j in range(i + 1, len(ranks)) if ranks[i] == ranks[j]]


def ranks_from_scores(scores: Sequence[float]) -> list[int]:
    """Ranks from scores: the highest score gets rank 1, equal scores share a rank."""
    return [1 + sum(other > score for other in scores) for score in scores]
