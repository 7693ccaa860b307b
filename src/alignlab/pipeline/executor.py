"""Who works the stages of a pipeline: processes of this machine (`processes`), or those of several machines
that Ray knows (`on_ray`).

A stage is work that may be handed out twice: it writes one run folder, and whoever is given it again goes on
with what lies there, or finds it done. So one that was lost is given again, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Work:
    """A stage, as whoever works it is handed it.

    Attributes:
        name: of the stage; no two that are under way have the same.
        target: a function of a module, which is called with `arguments`.
        no_gain: why it is not to get better at anything, where it is not.
    """

    name: str
    target: Callable[..., Any]
    arguments: dict[str, Any]
    no_gain: str = ""


Heard = tuple[str, str, Any]
"""A stage's name, what became of it, and what is said of that: ("said", a line), ("made", what a generator
yields), ("done", its last words), ("error", a UserError), ("bug", a traceback), ("gone", why nobody works it
any more)."""


class Executor(Protocol):
    """Who works stages. It is entered before the first is started; when it is left, those that are under way
    are asked to stop, and save where they are.
    """

    workers: int
    """Stages side by side, one thread each."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def start(self, work: Work) -> None:
        """Begin a stage; there are never more than `workers` under way."""
        ...

    def heard(self, timeout: float) -> list[Heard]:
        """What stages say, as soon as one does; nothing after `timeout` seconds in which none does."""
        ...
