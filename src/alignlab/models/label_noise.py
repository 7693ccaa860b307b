"""What a reward model may assume, or learn along, of the labels that it is taught by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, DataError
from ..losses import preference_loss
from ..records import Ranking, pairs_of, ties_of
from ..settings import RewardSettings


class Labels(nn.Module):
    """What is assumed, or learnt along, of the labels: how often equals tie, how often a label is turned
    round and by whom.

    Each is a share, kept as its logit: the tie rate begins at the share of ties in the data; a flip rate at
    `label_smoothing`, or 0.1; a reliability at 0.9, for scores that are turned over with everybody's
    reliability fit the labels just as well, and this says which of the two is meant.
    """

    def __init__(self, settings: RewardSettings, rankings: Sequence[Ranking]) -> None:
        super().__init__()
        self.settings = settings
        self.people = (
            {name: i for i, name in enumerate(sorted({r.annotator for r in rankings}))}
            if settings.annotators == "reliability"
            else {}
        )
        if settings.annotators == "reliability" and len(self.people) < 2:
            raise DataError(
                (
                    "annotators = reliability, but all labels are by one annotator "
                    f"({next(iter(self.people))!r})"
                ),
                remedy="--noise learnt, which learns how reliable that one is",
            )
        self.tie = self.flip = None
        if settings.ties != "drop":
            pairs = [
                r.ranks[i] == r.ranks[j] for r in rankings for i in range(len(r.ranks)) for j in range(i)
            ]
            start = settings.tie_rate or min(max(sum(pairs) / len(pairs), 0.01), 0.9)
            self.tie = nn.Parameter(logit([start])[0], requires_grad=not settings.tie_rate)
        if self.people or settings.noise != "smoothing":
            start = 0.1 if self.people else settings.label_smoothing or 0.1
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
        s, first, second = self.settings, *pairs_of(ranking.ranks)
        tie_B = None
        if self.tie is not None:
            even = ties_of(ranking.ranks)
            tie_B = torch.tensor([False] * len(first) + [True] * len(even), device=scores_K.device)
            first, second = first + [i for i, _ in even], second + [j for _, j in even]
        if not first:
            return scores_K.sum() * 0.0, {}
        flip = (
            None
            if self.flip is None
            else self.flip[self.people.get(ranking.annotator, 0)].sigmoid().to(scores_K.device)
        )
        soft = [
            1.0 if (label := ranking.label(i, j)) is None else label
            for i, j in zip(first, second, strict=True)
        ]
        return preference_loss(
            scores_K[first],
            scores_K[second],
            tie_B=tie_B,
            ties="" if self.tie is None else s.ties,
            tie_rate=None if self.tie is None else self.tie.sigmoid().to(scores_K.device),
            margin_B=None
            if margins is None
            else torch.tensor(margins, dtype=scores_K.dtype, device=scores_K.device),
            center=center,
            label_smoothing=0.0 if flip is not None else s.label_smoothing,
            flip_B=flip,
            label_B=torch.tensor(soft, dtype=scores_K.dtype, device=scores_K.device)
            if "labels" in ranking.meta
            else None,
        )

    def metrics(self) -> dict[str, float]:
        """`labels/tie_rate`, `labels/flip_rate` or `labels/reliability/NAME`, as they stand."""
        found = {} if self.tie is None else {"labels/tie_rate": self.tie.sigmoid().item()}
        if self.flip is not None:
            names = [f"labels/reliability/{name}" for name in self.people] or ["labels/flip_rate"]
            rates = self.flip.sigmoid().tolist()
            found |= dict(zip(names, [1 - rate for rate in rates] if self.people else rates, strict=True))
        return found

    def summary(self, rankings: Sequence[Ranking]) -> dict[str, Any]:
        """Plain numbers for the summary and the model's config."""
        found: dict[str, Any] = (
            {}
            if self.tie is None
            else {
                "ties": self.settings.ties,
                "tie_rate": self.tie.sigmoid().item(),
                "tie_rate_learnt": self.tie.requires_grad,
            }
        )
        if self.flip is not None and not self.people:
            found |= {"flip_rate": self.flip.sigmoid().item(), "flip_rate_learnt": self.flip.requires_grad}
        if self.flip is not None and self.people:
            rates = self.flip.sigmoid().tolist()
            found["annotators"] = {
                name: {"reliability": 1 - rates[i], "rankings": sum(r.annotator == name for r in rankings)}
                for name, i in self.people.items()
            }
        return found


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
                remedy="--margins none or --ties drop: with a margin the three outcomes have no probabilities",
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
