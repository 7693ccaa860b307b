"""Who shares the rows of continuous batching: requests, and the completions that each of them asked for."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .slab import Writing

# tokens by which a request is ahead of one that waits before it gives way; each time something is read anew
AHEAD = 64


@dataclass(eq=False)
class Share:
    """The streams that were joined at once: one request.

    Attributes:
        served: tokens written for it, from what a request that was always there and had no more than its
            share would have had when it came; never further from what that one would have now than `AHEAD`:
            who used what nobody else wanted does not pay for it afterwards.
    """

    served: float = 0.0
    waiting: deque[Stream] = field(default_factory=deque)


@dataclass
class Stream(Writing):
    """One completion being written, and how.

    Attributes:
        top: as many likeliest tokens are kept for each token that is drawn, with their log-probabilities
            under the model at temperature 1; None keeps nothing.
        told: for each token (its log-probability under the model at temperature 1, the likeliest ones as (id,
            log-probability)), if `top` is not None.
        broken: the model's logits were not finite, and there is no more.
        owner: whose it is.
        share: the request that it is part of.
        ends: tokens that end it.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top: int | None = None
    told: list[tuple[float, list[tuple[int, float]]]] = field(default_factory=list)
    broken: bool = False
    owner: Any = None
    share: Share = field(default_factory=Share)
    ends: frozenset[int] = frozenset()

    @property
    def done(self) -> bool:
        return self.broken or self.finished or len(self.ids) == len(self.uniforms)

    @property
    def most_columns(self) -> int:
        """Columns that it may come to occupy."""
        return len(self.prompt_ids) + len(self.uniforms)
