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
            `json_schema_extra={"of": [...]}` of an id names the stages of the runs that a page offers for it,
            `{"of": "task"}` that it is a task.
        command: of the desk, the checked fields and the folder to write, what stands after `alignlab`.
            Raises Refused for an id that is not there.
        seconds: after which it is stopped; its run can go on.
        says: what it does, in one line.
        then: commands that follow, each once the one before has ended well.
    """

    name: str
    fields: type[Part]
    command: Callable[[Desk, Any, Path], list[str]]
    seconds: int
    says: str = ""
    then: Callable[[Desk, Any, Path], list[list[str]]] | None = None

    def commands(self, desk: Desk, fields: Any, out: Path) -> list[list[str]]:
        """All of them, in order. Raises Refused."""
        return [self.command(desk, fields, out), *(self.then(desk, fields, out) if self.then else [])]
