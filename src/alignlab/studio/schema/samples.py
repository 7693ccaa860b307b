"""Samples, probes and tokens."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .parts import Cursor, Limit, Part
from .runs import RunAsked


class Said(Part):
    role: str
    content: str


class Sample(Part):
    """One row of samples: a rollout, an evaluated answer, or whatever else a stage looks at (`others`).

    `row` names it within its generation, `place` is its place in its step's batch, `shown` whether a report
    shows it. `length` is in tokens where that is known, else in characters of the answer (`tokens` says).
    """

    row: int
    step: float | None
    place: int | None
    prompt: list[Said]
    completion: str
    cut: bool = Field(description="some text is cut; the sample itself has the whole")
    finished: bool
    proxy: float | None
    gold: float | None
    kl: float | None
    length: int
    tokens: bool
    reason: str
    misleading: bool
    shown: bool
    kind: str
    others: dict[str, Any]


class Samples(Part):
    """`total` match, `of` are there. While `ready` is false the index is still being made, and both may
    grow. Rows that are written later never shift a page: `next` goes on in what there was at the first."""

    generation: int
    rows: list[Sample]
    next: str | None
    total: int
    of: int
    ready: bool


SORTS = Literal[
    "row", "-row", "proxy", "-proxy", "gold", "-gold", "kl", "-kl", "length", "-length", "gap", "-gap"
]


class SamplesAsked(RunAsked):
    steps: str = Field("", max_length=400, description="14, or 0,14,23, or 10-20; empty = all")
    sort: SORTS = Field("row", description="- = largest first; gap = proxy less gold; ties by row")
    where: str = Field("", max_length=100, description="misleading, unfinished, shown; comma = and")
    q: str = Field("", max_length=200, description="in the last message or the answer, whatever its case")
    cursor: Cursor = ""
    limit: Limit = 50


class SampleAsked(RunAsked):
    row: int = Field(ge=0)


class Bins(Part):
    """Of each step how many samples are in each bin: counts[step][bin], between edges[bin] and the next."""

    generation: int
    key: str
    edges: list[float]
    steps: list[float]
    counts: list[list[int]]
    ready: bool


class BinsAsked(RunAsked):
    key: Literal["proxy", "gold", "kl", "length"] = "proxy"
    bins: int = Field(30, ge=2, le=100)


class ProbePrompt(Part):
    id: str
    prompt: list[Said]


class ProbeCell(Part):
    completion: str
    cut: bool
    finished: bool
    gold: float | None
    reason: str


class Probes(Part):
    """Greedy answers to the same prompts as training went on: cells[prompt][step], null where none was
    asked."""

    generation: int
    prompts: list[ProbePrompt]
    steps: list[float]
    cells: list[list[ProbeCell | None]]


class TokensAsked(RunAsked):
    step: int = Field(ge=0)
    place: int = Field(ge=0)


class Tokens(Part):
    """The sampled tokens of a rollout, an entry each; `ref`, `advantage` and `value` are empty where the
    method has none."""

    step: int
    place: int
    pieces: list[str]
    logprob: list[float | None]
    ref: list[float | None]
    advantage: list[float | None]
    value: list[float | None]
