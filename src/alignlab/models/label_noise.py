"""What a reward model may assume, or learn along, of the labels that it is taught by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, DataError
from ..losses import preference_loss, stated_probability
from ..records import Ranking, pairs_of, ties_of
from ..settings import RewardSettings


class Labels(nn.Module):
    """What is assumed, or learned along, of the labels: how often equals tie, how often a label is turned
    round and by whom.

    Each is a share, kept as its logit: the tie rate begins at the share of ties in the data; a flip rate at
    `label_smoothing`, or 0.1; a reliability at 0.9, for scores that are turned over with everybody's
    reliability fit the labels just as well, and this says which of the two is meant.
    """

    def __init__(self, settings: RewardSettings, rankings: Sequence[Ranking]) -> None:
        super().__init__()
        self.settings = settings
        self.people: dict[str, int] = {}
        if settings.annotators == "reliability":
            names = sorted({ranking.annotator for ranking in rankings})
            if len(names) < 2:
                raise DataError(
                    f"annotators = reliability, but all labels are by one annotator ({names[0]!r})",
                    remedy="--noise learnt, which learns how reliable that one is",
                )
            self.people = {name: i for i, name in enumerate(names)}
        self.tie = self.flip = None
        if settings.ties != "drop":
            start = settings.tie_rate or min(max(_share_of_ties(rankings), 0.01), 0.9)
            self.tie = nn.Parameter(logit([start])[0], requires_grad=not settings.tie_rate)
        if self.people or settings.noise != "smoothing":
            start = 0.1
            if not self.people and settings.label_smoothing:
                start = settings.label_smoothing
            self.flip = nn.Parameter(
                logit([start] * max(1, len(self.people))),
                requires_grad=bool(self.people) or settings.noise == "learnt",
            )

    @property
    def learnt(self) -> bool:
        return any(p.requires_grad for p in self.parameters())

    def loss(
        self, scores_K: Tensor, ranking: Ranking, margins: list[float] | None = None, *, center: float = 0.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean loss over a prompt's pairs, soft labels where it has them; of a prompt without any, 0 and
        no metrics.
        """
        first, second = pairs_of(ranking.ranks)
        noise: dict[str, Any] = {"center": center}
        if self.tie is not None:
            even = ties_of(ranking.ranks)
            noise["tie_B"] = torch.tensor([False] * len(first) + [True] * len(even), device=scores_K.device)
            noise |= {"ties": self.settings.ties, "tie_rate": self.tie.sigmoid().to(scores_K.device)}
            first, second = first + [i for i, _ in even], second + [j for _, j in even]
        if not first:
            return scores_K.sum() * 0.0, {}
        if self.flip is None:
            noise["label_smoothing"] = self.settings.label_smoothing
        else:
            noise["flip_B"] = self._flip(ranking.annotator).to(scores_K.device)
        if margins is not None:
            noise["margin_B"] = scores_K.new_tensor(margins)
        if "labels" in ranking.meta:
            labels = [ranking.label(i, j) for i, j in zip(first, second, strict=True)]
            noise["label_B"] = scores_K.new_tensor([1.0 if label is None else label for label in labels])
        return preference_loss(scores_K[first], scores_K[second], **noise)

    @torch.no_grad()
    def stated(self, margins: Sequence[float], annotators: Sequence[str] | None) -> list[float]:
        """Of each pair of completions the probability that its first one is preferred, given that it is
        decided: what a model fitted with these assumptions states (`losses.stated_probability`).

        Args:
            margins: score of the first less score of the second.
            annotators: for each pair who labels it; None: somebody who turns no label round.
        """
        difference_N, assumed = torch.tensor(margins, dtype=torch.float64), {}
        if self.tie is not None:
            assumed = {"ties": self.settings.ties, "tie_rate": self.tie.sigmoid().double()}
        if self.flip is not None and annotators:
            rates = {name: self._flip(name).item() for name in set(annotators)}
            assumed["flip_B"] = torch.tensor([rates[name] for name in annotators], dtype=torch.float64)
        return stated_probability(difference_N, **assumed).tolist()

    def _flip(self, annotator: str) -> Tensor:
        """The probability that this annotator's label is turned round: of somebody who was not met in
        training, the mean of those who were.
        """
        assert self.flip is not None
        rates = self.flip.sigmoid()
        if annotator in self.people:
            return rates[self.people[annotator]]
        return rates.mean()

    def metrics(self) -> dict[str, float]:
        """`labels/tie_rate`, `labels/flip_rate` or `labels/reliability/NAME`, as they stand."""
        rates: dict[str, float] = {}
        if self.tie is not None:
            rates["labels/tie_rate"] = self.tie.sigmoid().item()
        if self.flip is not None and not self.people:
            rates["labels/flip_rate"] = self.flip.sigmoid().item()
        for name, reliability in self._reliabilities().items():
            rates[f"labels/reliability/{name}"] = reliability
        return rates

    def _reliabilities(self) -> dict[str, float]:
        """By annotator, the share of labels that are not turned round, where that is learned."""
        if self.flip is None or not self.people:
            return {}
        return {name: 1 - rate for name, rate in zip(self.people, self.flip.sigmoid().tolist(), strict=True)}

    def summary(self, rankings: Sequence[Ranking]) -> dict[str, Any]:
        """Plain numbers for the summary and the model's config."""
        numbers: dict[str, Any] = {}
        if self.tie is not None:
            numbers["ties"] = self.settings.ties
            numbers |= {"tie_rate": self.tie.sigmoid().item(), "tie_rate_learnt": self.tie.requires_grad}
        if self.flip is not None and not self.people:
            numbers |= {"flip_rate": self.flip.sigmoid().item(), "flip_rate_learnt": self.flip.requires_grad}
        if self.people:
            counts = Counter(ranking.annotator for ranking in rankings)
            numbers["annotators"] = {
                name: {"reliability": reliability, "rankings": counts[name]}
                for name, reliability in self._reliabilities().items()
            }
        return numbers


def _share_of_ties(rankings: Sequence[Ranking]) -> float:
    """Of all pairs of completions, those that are ranked alike."""
    ties = sum(len(ties_of(ranking.ranks)) for ranking in rankings)
    pairs = sum(math.comb(len(ranking.ranks), 2) for ranking in rankings)
    return ties / pairs


def logit(shares: Sequence[float]) -> Tensor:
    return torch.tensor(shares, dtype=torch.float32).logit()


def margins_of(ranking: Ranking, settings: RewardSettings) -> list[float] | None:
    """The margin of each decided pair, in the order of `pairs_of`; None where there are none.

    Raises:
        DataError: margins by score, and no scores. ConfigError: the data has margins, and ties are modelled.
    """
    kind, pairs = settings.margins, zip(*pairs_of(ranking.ranks), strict=True)
    if kind == "none" or (kind == "data" and "margin" not in ranking.meta):
        return None
    if kind == "data":
        if settings.ties != "drop":
            raise ConfigError(
                f"the data has margins, and ties = {settings.ties}",
                where=ranking.prompt.text[:80],
                remedy="--margins none or --ties drop: with a margin three outcomes have no probabilities",
            )
        return [settings.margin_scale * float(ranking.meta["margin"]) for _ in pairs]
    if kind == "ranks":
        places = {rank: place for place, rank in enumerate(sorted(set(ranking.ranks)))}
        return [
            settings.margin_scale
            * (places[ranking.ranks[j]] - places[ranking.ranks[i]])
            / (len(ranking.ranks) - 1)
            for i, j in pairs
        ]
    if "scores" not in ranking.meta:
        raise DataError(
            "margins = scores, but the data was not ranked by scores",
            where=ranking.prompt.text[:80],
            remedy="--margins ranks, or data with a scores column",
        )
    return [settings.margin_scale * (ranking.meta["scores"][i] - ranking.meta["scores"][j]) for i, j in pairs]
