"""What a user says that a file's columns are: `--columns prompt=q,completion=a`, ours=theirs.

In the name of data it stands before the file: `columns:prompt=q,completion=a:FILE`, so that it is part of the
run's key and may stand in a mixture. `label=` with nothing behind it says that the file's column `label` is
not what we call so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConfigError, DataError
from ...text.nearest import nearest
from .rows import KNOWN_COLUMNS, Row

PREFIX = "columns:"
EXAMPLE = (
    "--columns prompt=q,completion=a: our name, then the file's; label= if the file's label is something else"
)


def columns_in(name: str) -> tuple[Columns | None, str]:
    """The columns that a name of data says, if it says any, and the name without them.

    Raises:
        ConfigError: no such list, a column that no reader knows, or one that is named twice.
    """
    if not name.startswith(PREFIX):
        return None, name
    listed, _, data = name.removeprefix(PREFIX).partition(":")
    theirs: dict[str, str] = {}
    for part in listed.split(","):
        ours, equals, other = (piece.strip() for piece in part.partition("="))
        if not equals or not ours:
            raise ConfigError(
                f"--columns has {part.strip()!r:.60}, which names no column", where=listed, remedy=EXAMPLE
            )
        if ours not in KNOWN_COLUMNS:
            raise ConfigError(
                f"no reader knows a column {ours!r:.60}",
                where=listed,
                remedy=nearest(ours, KNOWN_COLUMNS) or "ours are: " + ", ".join(sorted(KNOWN_COLUMNS)),
            )
        if ours in theirs or (other and other in theirs.values()):
            raise ConfigError(
                f"--columns names {ours if ours in theirs else other} twice", where=listed, remedy=EXAMPLE
            )
        theirs[ours] = other
    if not data:
        raise ConfigError("--columns names no data", where=name, remedy="--data FILE")
    return Columns(theirs), data


@dataclass(slots=True)
class Columns:
    """Our names of columns -> a file's; "" where the file has no such column, whatever is called so in it.

    Attributes:
        seen: the file's names that a row had; there: all names of the first row, to find a near one.
    """

    theirs: Mapping[str, str]
    seen: set[str] = field(default_factory=set)
    there: list[str] = field(default_factory=list)

    def row(self, row: Mapping[str, Any]) -> Row:
        """The row by our names. A column that is in the way of one stays, in brackets: nobody reads it, and
        it is named.
        """
        self.there = self.there or [str(name) for name in row]
        self.seen.update(name for name in self.theirs.values() if name in row)
        renamed = {other: ours for ours, other in self.theirs.items() if other}
        columns = {
            renamed.get(name) or (f"({name})" if name in self.theirs else name): value
            for name, value in row.items()
        }
        return Row(columns, without=frozenset(ours for ours, other in self.theirs.items() if not other))

    def check(self, where: str) -> None:
        """Raises DataError for a column of theirs that none of the rows had."""
        for other in self.theirs.values():
            if other and self.there and other not in self.seen:
                raise DataError(
                    f"there is no column {other!r:.60}",
                    where=where,
                    remedy=nearest(other, self.there) or "it has: " + ", ".join(self.there[:20]),
                )
