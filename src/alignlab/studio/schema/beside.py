"""Runs beside each other."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .parts import Cursor, Limit, Part
from .runs import Figure, RunRef, RunRow
from .samples import Said


class Difference(Part):
    """A setting that is not the same in all; null where a run has none."""

    key: str
    values: list[Any]


class FigureBeside(Part):
    name: str
    figures: list[Figure | None]


class Paired(Part):
    """How much more a run has than the first, over what both measured."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None


class PairedRow(Part):
    figure: str
    differences: list[Paired | None] = Field(description="one a column; of the first, null")


class Compared(Part):
    """A column: a run, the evaluation that its answers are from (or itself), and the step of a probe."""

    run: RunRow
    measured: RunRef | None
    step: float | None


class AnswerBeside(Part):
    completion: str
    cut: bool
    finished: bool
    gold: float | None
    reason: str


class AnswersRow(Part):
    """One prompt and what each column answers; `change` is gold of the last less gold of the first."""

    row: int
    prompt: list[Said]
    kind: str
    answers: list[AnswerBeside | None]
    change: float | None


class Answers(Part):
    rows: list[AnswersRow]
    next: str | None
    total: int
    of: int
    ready: bool


class Compare(Part):
    """`warnings` are sentences of what keeps the columns from being compared as if paired."""

    columns: list[Compared]
    settings: list[Difference]
    same: int = Field(description="settings that all have alike")
    figures: list[FigureBeside]
    paired: list[PairedRow]
    warnings: list[str]
    answers: Answers


class CompareAsked(Part):
    runs: str = Field(max_length=100, description="one to six ids, comma separated")
    steps: str = Field("", max_length=100, description="of one run: its probes at these steps")
    sort: Literal["row", "change", "-change"] = "row"
    cursor: Cursor = ""
    limit: Limit = 20
