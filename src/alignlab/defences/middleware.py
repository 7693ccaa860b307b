"""Defences around a model at inference, as middleware: each wraps a target and is one.

A target is whatever samples chats: a `LocalSampler`, an `EndpointSampler`, a model of `alignlab serve`, or a
defence around one of these. `build(["self-reminder", "perplexity-filter"], target)` wraps from the left: the
last named is the outermost and sees what a user sends first.

To add one: a `guard.Guard`, entered into `DEFENCES`. Its docstring says who published it, what it costs in
target queries and tokens, and what gets past it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import ConfigError, UserError
from ..sampling import Sampler
from ..text.nearest import nearest
from .audit import AuditLog
from .filters import EraseAndCheck, InputFilter, OutputFilter, PerplexityFilter, RateLimit, SelfExamination
from .guard import Guard
from .wording import Paraphrase, SelfReminder, SmoothLLM, SystemPrompt

GUARDS: tuple[type[Guard], ...] = (
    *(SelfReminder, PerplexityFilter, SystemPrompt, SmoothLLM, Paraphrase, SelfExamination),
    *(InputFilter, EraseAndCheck, OutputFilter, RateLimit, AuditLog),
)
DEFENCES: dict[str, Callable[[Sampler], Sampler]] = {guard.NAME: guard for guard in GUARDS}
"""Every defence by the name it has in a stack (`M+self-reminder+perplexity-filter`)."""


def build(stack: Sequence[str], target: Sampler) -> Sampler:
    """The target inside the defences of these names, the last one outermost; an empty stack is the target
    itself.

    Raises:
        UserError: a name that is no defence. ConfigError: one that is named twice.
    """
    check(stack)
    for name in stack:
        target = DEFENCES[name](target)
    return target


def check(stack: Sequence[str]) -> None:
    """As `build` raises, without a target."""
    for place, name in enumerate(stack):
        if name not in DEFENCES:
            raise UserError(
                f"there is no defence {name!r:.80}",
                remedy=nearest(name, DEFENCES) or "one of: " + ", ".join(DEFENCES),
            )
        if name in stack[:place]:
            raise ConfigError(f"the defence {name} is named twice", remedy="name it once")
