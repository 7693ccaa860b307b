"""Sampling completions: in process (`local`). A sampler from elsewhere keeps the same three verbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..records import Completion, Prompt


class Sampler(Protocol):
    """Who writes completions."""

    def sample(self, prompts: Sequence[Prompt | list[int]], *, n: int = 1, max_new_tokens: int = 48, temperature: float = 1.0, top_p: float = 1.0,
               seed: int = 0) -> list[list[Completion]]: ...

    def sync(self, model: Any) -> None: ...

    def close(self) -> None: ...
