"""What a kind of job is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema.parts import Part

if TYPE_CHECKING:
    from ..desk import Desk


@dataclass(frozen=True)
class Kind:
    """A command with typed fields.

    Attributes:
        fields: what may be asked; models and runs are ids of the studio's lists, never paths or addresses.
        command: of the desk, the checked fields and the folder to write, what stands after `alignlab`.
            Raises Refused for an id that is not there.
        seconds: after which it is stopped; its run can go on.
    """

    name: str
    fields: type[Part]
    command: Callable[[Desk, Any, Path], list[str]]
    seconds: int
