"""Sampling completions: in process (`local`), or from a server (`endpoint`). A sampler from elsewhere keeps
the same three verbs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..records import Completion, Prompt


class Sampler(Protocol):
    """Who writes completions; see `alignlab.sampling.local.LocalSampler` for what the arguments mean.

    A prompt is messages, or the ids or the text of a document to go on with.
    """

    def sample(
        self,
        prompts: Sequence[Prompt | list[int] | str],
        *,
        n: int = 1,
        max_new_tokens: int = 48,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[list[Completion]]:
        """For each prompt, in order, its n completions."""
        ...

    def sync(self, model: Any) -> None:
        """Sample from this model from now on."""
        ...

    def close(self) -> None:
        """Give back what is held between calls."""
        ...
