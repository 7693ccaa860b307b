"""Keys and values of the sequences that are written side by side, and where each of them stands.

All rows share one clock: at time t every row writes column t, and a sequence that began later occupies the
columns [start, t) all the same. So a decode step is one slice copy, and a row sees what a model of left
padding sees. Within a row columns and positions run in step, so that sliding windows hold as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
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

    def copy_in(self, prefilled: Sequence[Tensor], sources: list[int], rows: Sequence[int]) -> None:
        """Copy rows of prefilled keys and values to rows of the slab, so that they end where the clock
        stands.
        """
        now, width = self.now, prefilled[0].shape[2]
        assert width <= now, "a newcomer is longer than the sequences that are here"
        self.low = min(self.low, now - width)
        for kept, new in zip(self.tensors, prefilled, strict=True):
            kept[list(rows), :, now - width : now] = new[sources]

    def keep(self, rows: Sequence[int], count: int) -> list[int]:
        """See `count` rows and no others, among them these: those that lie behind move into gaps before.
        Returns which row each of them was.
        """
        gaps = iter(sorted(set(range(count)) - set(rows)))
        behind = [row for row in rows if row >= count]
        order = list(range(count))
        for row in behind:
            order[next(gaps)] = row
        moved = [place for place, row in enumerate(order) if place != row]
        for kept in self.tensors if moved else ():
            kept[moved, :, self.low : self.now] = kept[behind, :, self.low : self.now]
        self.rows = count
        return order

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


@dataclass
class Writing:
    """One completion being written."""

    prompt: int
    completion: int
    prompt_ids: list[int]
    uniforms: np.ndarray  # one per token it may have
    said: list[int]  # the last of the prompt's ids: what the assistant has said already in this turn
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False

    @property
    def done(self) -> bool:
        return self.finished or len(self.ids) == len(self.uniforms)

    @property
    def read(self) -> list[int]:
        """What has to be read before its next token: the prompt, and what was written before it had to give
        way.
        """
        return self.prompt_ids + self.ids if self.ids else self.prompt_ids


S = TypeVar("S", bound=Writing)
NOBODY = 2**62  # where the sequence of an empty row begins: it sees itself alone


class Rows(Generic[S]):
    """Who is in which row of the slab, and what the next step is told of each: tensors (B,) that stay, and
    are advanced in place.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.held: list[Any] = [None] * count
        self.device = device
        self.starts_B = torch.full((count,), NOBODY, device=device)  # first columns
        self.ids_B = torch.zeros_like(self.starts_B)  # last tokens
        self.positions_B = torch.zeros_like(self.starts_B)  # and where they stand
        self._look()

    def _look(self) -> None:
        self.live = [row for row, held in enumerate(self.held) if held is not None]
        self.sequences = [held for held in self.held if held is not None]
        full = len(self.live) == len(self.held)
        self.at: Any = slice(None) if full else torch.tensor(self.live, device=self.device)

    def __len__(self) -> int:
        return len(self.held)

    @property
    def free(self) -> list[int]:
        return [row for row, held in enumerate(self.held) if held is None]

    @property
    def first_column(self) -> int:
        """Before which nobody looks."""
        return int(self.starts_B.min())

    def enter(self, sequences: Sequence[S], rows: Sequence[int], now: int) -> None:
        """Sequences that were read into these rows up to the column `now`, and got a token since."""
        taken = list(rows[: len(sequences)])
        for row, sequence in zip(taken, sequences, strict=True):
            self.held[row] = sequence
        lengths = torch.tensor([len(sequence.read) - 1 for sequence in sequences], device=self.device)
        self.starts_B[taken] = now - lengths
        self.positions_B[taken] = lengths
        self.ids_B[taken] = torch.tensor([s.read[-1] for s in sequences], device=self.device)
        self._look()

    def advance(self, ids_N: Tensor) -> None:
        """Each live sequence got a token."""
        self.ids_B[self.at] = ids_N
        self.positions_B[self.at] += 1

    def drop_done(self) -> None:
        """Free the rows of those that are done."""
        self.drop([row for row in self.live if self.held[row].done])

    def drop(self, rows: Sequence[int]) -> None:
        """Free these rows."""
        if not rows:
            return
        for row in rows:
            self.held[row] = None
        gone = list(rows)
        self.starts_B[gone], self.ids_B[gone], self.positions_B[gone] = NOBODY, 0, 0
        self._look()

    def move(self, by: int) -> None:
        """The slab's window moved to the right by so many columns."""
        self.starts_B[self.at] += by

    def tighten(self, slab: Slab, count: int) -> None:
        """Give up all rows but so many."""
        order = slab.keep(self.live, count)
        self.held = [self.held[row] for row in order]
        self.starts_B, self.ids_B, self.positions_B = (
            x[order] for x in (self.starts_B, self.ids_B, self.positions_B)
        )
        self._look()

    def widen(self, count: int) -> None:
        """So many rows, the last of them free."""
        more = count - len(self)
        self.held += [None] * more
        self.starts_B = torch.cat([self.starts_B, self.starts_B.new_full((more,), NOBODY)])
        self.ids_B, self.positions_B = (
            torch.cat([x, x.new_zeros(more)]) for x in (self.ids_B, self.positions_B)
        )
        self._look()
