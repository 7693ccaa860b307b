"""What stops a run: a value that is not finite, and the step at which it was seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import GuardStop


def guard_finite(value: float, *, step: int, what: str, sample: str = "") -> None:
    """Stop the run on a value that is not finite; the last good state stays.

    Raises:
        GuardStop: exit code 6, with the step and the sample.
    """
    if value != value or value in (float("inf"), float("-inf")):
        raise GuardStop(
            f"{what} is {value} at step {step}",
            where=sample[:300],
            remedy=(
                "a lower learning rate, a smaller max_grad_norm or precision fp32; the last good state is "
                "kept"
            ),
        )


@contextmanager
def at_step(step: int) -> Iterator[None]:
    """A guard that stops what happens in here says at which step of the run it was."""
    try:
        yield
    except GuardStop as error:
        raise GuardStop(
            f"{error.what} at step {step}",
            where=error.where,
            remedy=f"{error.remedy}; the last good state is kept",
        ) from error
