"""How a model may be asked for critiques, revisions and verdicts: what every form can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..records import Prompt
from .principles import Principle

Asked = Prompt | str


@dataclass(frozen=True, slots=True)
class Critique:
    """What a critic said. `fired`: it found the principle broken; where it did not, the draft stays."""

    text: str
    fired: bool


class Form(Protocol):
    """How a model is asked; see the module. What `critique` and its kin return is handed to a sampler, or to
    `choice_logprobs` with the choices.
    """

    name: str
    documents: bool
    choices: tuple[str, str]
    """How the answer to a verdict begins if the first candidate is better, and if the second is."""
    fine: tuple[str, ...]
    """How the answer to `standing` begins if the principle is kept, and if not; one alone: if it is kept."""
    stop: tuple[str, ...]
    """Texts that end an answer, for a sampler that can stop at them."""

    def critique(self, prompt: Prompt, draft: str, principle: Principle) -> Asked: ...
    def read_critique(self, text: str) -> Critique: ...
    def revision(self, prompt: Prompt, draft: str, principle: Principle, critique: str) -> Asked: ...
    def read_revision(self, text: str) -> str: ...
    def leaks(self, text: str) -> bool:
        """Whether an answer holds a piece of the frame by which the critic was asked."""
        ...

    def direct_revision(self, prompt: Prompt, draft: str, principle: Principle) -> Asked:
        """A revision without a critique before it."""
        ...

    def verdict(
        self, prompt: Prompt, first: str, second: str, principle: Principle, *, reasoning: str = ""
    ) -> Asked: ...
    def reasoning(self, prompt: Prompt, first: str, second: str, principle: Principle) -> Asked:
        """Thoughts on the two before the verdict."""
        ...

    def read_reasoning(self, text: str) -> str: ...
    def standing(self, prompt: Prompt, draft: str, principle: Principle) -> Asked:
        """Whether one answer keeps the principle: log P(`fine`) is a score."""
        ...
