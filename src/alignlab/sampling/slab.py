"""Keys and values of the sequences that are written side by side, and where each of them stands.

All rows share one clock: at time t every row writes column t, and a sequence that began later occupies the
columns [start, t) all the same. So a decode step is one slice copy, and a row sees what a model of left
padding sees. Within a row columns and positions run in step, so that sliding windows hold as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor


class Slab:
    """Keys and values, layer by layer, each (rows, heads, columns, dim), written in place.

    What is in use is a window: the first `rows` rows and the columns [low, now). Column `now` is written
    next.
    """

    def __init__(self, like: Sequence[Tensor], rows: int, columns: int) -> None:
        """Room for `rows` sequences in `columns` columns, of the shapes and precision of prefilled keys and
        values.
        """
        # zeros: a masked column weighs nothing, but 0 * nan would be nan
        self.tensors = [new.new_zeros(rows, new.shape[1], columns, new.shape[3]) for new in like]
        self.rows = self.low = self.now = 0

    @property
    def columns(self) -> int:
        return self.tensors[0].shape[2]

    @property
    def bytes(self) -> int:
        return sum(kept.nbytes for kept in self.tensors)

    def fits(self, like: Sequence[Tensor], rows: int, columns: int) -> bool:
        """Whether `rows` sequences with keys such as these can live here."""
        new, kept = like[0], self.tensors[0]
        same = (new.dtype, new.device) == (kept.dtype, kept.device)
        return same and rows <= kept.shape[0] and columns <= self.columns

    def begin(self, rows: int, now: int) -> None:
        """Start over with `rows` rows and the clock at `now`."""
        self.rows, self.low, self.now = rows, now, now

    def copy_in(self, prefilled: Sequence[Tensor], sources: list[int], rows: list[int]) -> None:
        """Copy rows of prefilled keys and values to rows of the slab, so that they end where the clock
        stands.
        """
        now, width = self.now, prefilled[0].shape[2]
        assert width <= now, "a newcomer is longer than the sequences that are here"
        self.low = min(self.low, now - width)
        for kept, new in zip(self.tensors, prefilled, strict=True):
            kept[rows, :, now - width : now] = new[sources]

    def keep(self, rows: Sequence[int]) -> list[int]:
        """See these rows and no others: those behind the first len(rows) move into gaps before it. Returns
        where each of them is now.
        """
        count = len(rows)
        gaps = sorted(set(range(count)) - set(rows))
        movers = [row for row in rows if row >= count]
        for kept in self.tensors if movers else ():
            kept[gaps, :, self.low : self.now] = kept[movers, :, self.low : self.now]
        self.rows = count
        new_place = dict(zip(movers, gaps, strict=True))
        return [new_place.get(row, row) for row in rows]

    def clear(self, row: int) -> None:
        """Zeros where something not finite was: whoever comes next masks what is here, and 0 * nan would be
        nan.
        """
        for kept in self.tensors:
            kept[row] = 0

    def compact(self) -> int:
        """Shift the window to the first column; returns by how much."""
        shift, width = self.low, self.now - self.low
        assert shift > 0, "the slab is too narrow for one sequence"
        for kept in self.tensors:
            kept[: self.rows, :, :width] = kept[: self.rows, :, shift : shift + width].clone()
        self.low, self.now = 0, width
        return shift

    def push(self, by: int) -> None:
        """Move the window to the right by so many columns."""
        low, now = self.low, self.now
        assert now + by <= self.columns, "the slab is too narrow"
        for kept in self.tensors:
            kept[: self.rows, :, low + by : now + by] = kept[: self.rows, :, low:now].clone()
        self.low, self.now = low + by, now + by

    def resized(self, rows: int, columns: int) -> tuple[Slab, int]:
        """A slab of other measures that holds the same window, moved to its first column; and by how far it
        was moved to the left.
        """
        shift, width, seen = self.low, self.now - self.low, self.rows
        assert seen <= rows and width <= columns, "the window does not fit"
        made = Slab(self.tensors, rows, columns)
        for new, old in zip(made.tensors, self.tensors, strict=True):
            new[:seen, :, :width] = old[:seen, :, shift : shift + width]
        made.begin(seen, width)
        made.low = 0
        return made, shift


class Written(Protocol):
    """A sequence as far as it is there: what has to be read before its next token."""

    @property
    def read(self) -> list[int]: ...


S = TypeVar("S", bound=Written)


class Live(Generic[S]):
    """The N sequences that are being written, in the order of their rows of the slab, and what the next step
    is told of each: tensors (N,) that stay and are advanced in place.
    """

    def __init__(self, device: torch.device) -> None:
        self.held: list[S] = []
        # row of the slab, first column, last token, its position
        self._state_4N = torch.zeros(4, 0, dtype=torch.long, device=device)

    @property
    def rows_N(self) -> Tensor:
        return self._state_4N[0]

    @property
    def starts_N(self) -> Tensor:
        return self._state_4N[1]

    @property
    def ids_N(self) -> Tensor:
        return self._state_4N[2]

    @property
    def positions_N(self) -> Tensor:
        return self._state_4N[3]

    def free(self, rows: int) -> list[int]:
        """Those of so many rows in which nobody is."""
        return sorted(set(range(rows)) - set(self.rows_N.tolist()))

    def enter(self, sequences: Sequence[S], rows: Sequence[int], now: int) -> None:
        """Sequences that were prefilled into these rows up to the column `now`, and got a token since."""
        if not sequences:
            return
        lengths = [len(sequence.read) for sequence in sequences]
        new = [
            rows,
            [now + 1 - length for length in lengths],
            [sequence.read[-1] for sequence in sequences],
            [length - 1 for length in lengths],
        ]
        state_4N = torch.cat([self._state_4N, self._state_4N.new_tensor(new)], 1)
        order = state_4N[0].argsort()
        everybody = [*self.held, *sequences]
        self.held, self._state_4N = [everybody[i] for i in order.tolist()], state_4N[:, order]

    def advance(self, ids_N: Tensor) -> None:
        """Each of them got a token."""
        self.ids_N.copy_(ids_N)
        self.positions_N.add_(1)

    def keep(self, places: Sequence[int]) -> None:
        """Those at these places among the N, and no others."""
        self.held = [self.held[place] for place in places]
        self._state_4N = self._state_4N[:, list(places)]

    def move(self, by: int) -> None:
        """The slab's window moved to the right by so many columns."""
        self.starts_N.add_(by)

    def tighten(self, slab: Slab) -> None:
        """Give up the rows in which nobody is."""
        self.rows_N.copy_(self._state_4N.new_tensor(slab.keep(self.rows_N.tolist())))
        order = self.rows_N.argsort()
        self.held, self._state_4N = [self.held[i] for i in order.tolist()], self._state_4N[:, order]
