"""Metrics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .parts import MOST_POINTS, Part
from .runs import RunAsked


class NotFinite(Part):
    """A value that is null above: what it was."""

    key: str
    row: int
    step: float | None
    value: Literal["nan", "inf", "-inf"]


class Columns(Part):
    """Metrics, a bucket of `stride` rows each: bucket k holds rows k * stride to (k + 1) * stride - 1, so
    that a curve that grows keeps its buckets.

    `first` is the row of the first bucket, `rows` how many rows there are, `step` the first of each bucket.
    `values` are means of what is finite, `low` and `high` the ends; with a stride of 1 these two are empty.
    """

    generation: int
    rows: int
    first: int
    stride: int
    step: list[float | None]
    values: dict[str, list[float | None]]
    low: dict[str, list[float | None]]
    high: dict[str, list[float | None]]
    broken: list[NotFinite]


class MetricsAsked(RunAsked):
    keys: str = Field("", max_length=4000, description="comma separated; empty = all")
    after: int = Field(0, ge=0, description="the first row wanted")
    start: float | None = Field(None, allow_inf_nan=False, description="the first step wanted")
    end: float | None = Field(None, allow_inf_nan=False, description="the last step wanted")
    most: int = Field(1000, ge=2, le=MOST_POINTS, description="buckets at most")
