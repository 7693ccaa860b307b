"""Metrics of a run in memory, and curves made of them."""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np

from ..text.documents import Malformed
from . import schema
from .inside import number, row_of, text

MOST_KEYS = 400  # columns of a run
MOST_BROKEN = 500  # values that are not finite, of which it is said what they were
_NONE = math.nan  # in a column: no number


class Curves:
    """Columns of numbers, a row for each line that holds an object."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.rows = 0
        self.steps = array("d")
        self.columns: dict[str, array[float]] = {}
        self.broken: list[schema.NotFinite] = []

    def take(self, offset: int, line: bytes | None) -> None:
        try:
            row = row_of(line or b"")
        except Malformed:
            return
        step = number(row.pop("step", None))
        self.steps.append(_NONE if step is None else step)
        for key, value in row.items():
            column = self.columns.get(key)
            if column is None:
                if len(self.columns) >= MOST_KEYS:
                    continue
                column = self.columns[key] = array("d")
            column.extend([_NONE] * (self.rows - len(column)))
            column.append(self._value(key, value, step))
        self.rows += 1

    def _value(self, key: str, value: Any, step: float | None) -> float:
        found = number(value)
        if found is not None:
            return found
        if isinstance(value, float) and len(self.broken) < MOST_BROKEN:
            kind = "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
            self.broken.append(schema.NotFinite(key=text(key), row=self.rows, step=step, value=kind))
        return _NONE

    def between(self, start: float | None, end: float | None, after: int) -> tuple[int, int, int]:
        """The first row of a range of steps, the first that is wanted, and the row behind the last."""
        steps = np.array(self.steps[: self.rows])
        inside = np.ones(self.rows, bool)
        if start is not None:
            inside &= steps >= start
        if end is not None:
            inside &= steps <= end
        places = np.flatnonzero(inside)
        if not len(places):
            return self.rows, self.rows, self.rows
        first, last = int(places[0]), int(places[-1]) + 1
        return first, min(max(first, after), last), last

    def asked(self, asked: schema.MetricsAsked, generation: int) -> schema.Columns:
        """Curves of at most `most` buckets over the range of steps."""
        begin, first, end = self.between(asked.start, asked.end, asked.after)
        stride = 1
        while -(-end // stride) - begin // stride > asked.most:
            stride *= 2
        first = first // stride * stride
        wanted = [key for key in asked.keys.split(",") if key] or list(self.columns)
        columns = {key: self._column(key, first, end, stride) for key in wanted if key in self.columns}
        names = {key: text(key) for key in columns}
        steps = np.array(self.steps[first:end:stride])
        return schema.Columns(
            generation=generation,
            rows=self.rows,
            first=first,
            stride=stride,
            step=_listed(steps),
            values={names[key]: _listed(_means(table)) for key, table in columns.items()},
            low=_ends(np.fmin, columns, names) if stride > 1 else {},
            high=_ends(np.fmax, columns, names) if stride > 1 else {},
            broken=[one for one in self.broken if first <= one.row < end and one.key in names.values()],
        )

    def _column(self, key: str, first: int, end: int, stride: int) -> np.ndarray:
        """Values, a row a bucket; what is missing is NaN."""
        values = np.array(self.columns[key][first:end])
        buckets = -(-(end - first) // stride)
        table = np.full(buckets * stride, _NONE)
        table[: len(values)] = values
        return table.reshape(buckets, stride)


def _means(table: np.ndarray) -> np.ndarray:
    there = np.isfinite(table)
    count = there.sum(1)
    total = np.where(there, table, 0.0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), _NONE)


def _ends(
    which: np.ufunc, columns: dict[str, np.ndarray], names: dict[str, str]
) -> dict[str, list[float | None]]:
    return {names[key]: _listed(which.reduce(table, 1)) for key, table in columns.items()}


def _listed(values: np.ndarray) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
