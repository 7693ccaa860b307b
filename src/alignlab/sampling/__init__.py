"""Sampling completions: in process (`local`), or from a server (`endpoint`).

Whoever answers chats is a `Sampler`: a model, a model behind an endpoint, a bot of rules, a defence around
one of these. `Sampling` says how completions are drawn, whoever draws them:

    sampler.sample(prompts, Sampling(n=4, temperature=0.7), seed=0)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ConfigError
from ..records import Completion, Prompt

if TYPE_CHECKING:
    from ..settings import SamplingSettings


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn.

    Attributes:
        n: completions of each prompt.
        max_new_tokens: completions are cut here, end token included.
        temperature: 0 takes the likeliest token; its log-probability is then the one at temperature 1.
        top_p: the smallest set of likeliest tokens with at least this probability is drawn from (Holtzman et
            al. 2020).

    Raises:
        ConfigError: a temperature below 0, a top_p outside (0, 1], no token or completion asked for.
    """

    n: int = 1
    max_new_tokens: int = 48
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_new_tokens < 1 or self.n < 1:
            raise ConfigError(
                f"cannot sample n={self.n}, max_new_tokens={self.max_new_tokens}, "
                f"temperature={self.temperature}, top_p={self.top_p}",
                remedy="n and max_new_tokens from 1, temperature from 0, top_p above 0 and at most 1",
            )

    @classmethod
    def of(cls, settings: SamplingSettings, n: int = 1, *, temperature: float | None = None) -> Sampling:
        """What the settings `sampling.*` of a stage say; with a temperature of one's own, if one is given."""
        warmth = settings.temperature if temperature is None else temperature
        return cls(n, settings.max_new_tokens, warmth, settings.top_p)


class Sampler(Protocol):
    """Whoever answers chats."""

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling = ..., *, seed: int = 0
    ) -> list[list[Completion]]:
        """For each prompt, in order, its n completions."""
        ...


class ModelSampler(Sampler, Protocol):
    """A model, which goes on with documents too: a prompt may be the ids or the text of one."""

    def sample(
        self,
        prompts: Sequence[Prompt | list[int] | str],
        sampling: Sampling = ...,
        *,
        seed: int = 0,
        first: int = 0,
    ) -> list[list[Completion]]:
        """For each prompt, in order, its n completions; `first` is the place of the first of them among all
        that share the seed.
        """
        ...

    def sync(self, model: Any) -> None:
        """Sample from this model from now on."""
        ...

    def close(self) -> None:
        """Give back what is held between calls."""
        ...
