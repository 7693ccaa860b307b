"""Those who write answers for a crowd: simulated people, or a file of answers that real ones gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ..records import Prompt


class Writer(Protocol):
    """Somebody who answers prompts."""

    name: str

    def write(self, index: int, prompt: Prompt) -> str | None:
        """The answer; None if there is none. `index` tells apart repeats of the same prompt."""
        ...


class SimulatedWriter:
    """A writer whose answers come from a function of index and prompt."""

    def __init__(self, name: str, answer: Callable[[int, Prompt], str]) -> None:
        self.name, self.answer = name, answer

    def write(self, index: int, prompt: Prompt) -> str | None:
        return self.answer(index, prompt)


class RecordedWriter:
    """A writer whose answers are there already, by prompt id."""

    def __init__(self, name: str, answers: Mapping[str, str]) -> None:
        self.name, self.answers = name, answers

    def write(self, index: int, prompt: Prompt) -> str | None:
        return self.answers.get(prompt.id)
