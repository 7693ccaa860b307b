"""What is known of a target: the sampler inside whatever is wrapped round it, and its weights where they are
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..sampling.local import LocalSampler


def innermost(target: Any) -> Any:
    """The sampler inside whatever is wrapped round it."""
    while hasattr(target, "target"):
        target = target.target
    return target


def local_sampler(target: Any) -> LocalSampler | None:
    """The target if it is a model in this process, whose insides and tokenizer are there to be used."""
    from ..sampling.local import LocalSampler

    return target if isinstance(target, LocalSampler) else None
