"""A run's samples as they are asked for: in pages, by step, one whole, and by token."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np

from ..text.documents import Malformed
from . import paging, schema
from .inside import number, text
from .problems import Refused
from .samples import FLAGS, completion_of, flag_of, in_list, prompt_of, sample_of
from .watched import Watched

Log = Literal["samples", "tokens", "probes"]
MOST_ORDERS = 8  # of a run that are kept
MOST_PROBES = 20_000  # answers
MOST_TOKENS = 20_000  # of one rollout


def samples(watched: Watched, asked: schema.SamplesAsked) -> schema.Samples:
    """One page of the samples that match."""
    plain = asked.sort == "row" and not (asked.steps or asked.where or asked.q)
    at = paging.read(asked.cursor, watched.generation)
    watched.wait(at.after + asked.limit + 1 if plain else 0)
    ready = watched.ready
    # of an index that is still being made the first rows are there, and whoever makes it holds the lock
    with watched.lock("samples") if ready else nullcontext():
        watched.catch_up("samples")
        at = paging.read(asked.cursor, watched.generation)
        count = min(at.count or watched.samples.rows, watched.samples.rows)
        if ready:
            at = paging.Cursor(watched.generation, count, at.after)
        matching = order(watched, asked, count) if ready else watched.samples.whole(count).tolist()
        rows, following = paging.page(matching, asked.limit, at)
        found = read(watched, "samples", rows)
    return schema.Samples(
        generation=at.generation,
        rows=[in_list(sample_of(row, values)) for row, values in zip(rows, found, strict=True)],
        next=following,
        total=len(matching),
        of=count,
        ready=ready,
    )


def order(watched: Watched, asked: schema.SamplesAsked, count: int) -> Sequence[int]:
    """The numbers of the rows among the first that match, as they are sorted."""
    key = (watched.generation, count, asked.sort, asked.steps, asked.where, asked.q)
    known = watched.orders.get(key)
    if known is None:
        known = watched.orders[key] = _order(watched, asked, count)
        while len(watched.orders) > MOST_ORDERS:
            watched.orders.popitem(last=False)
    return known


def _order(watched: Watched, asked: schema.SamplesAsked, count: int) -> Sequence[int]:
    index = watched.samples
    rows = index.whole(count, flags=flags_of(asked.where))
    if asked.steps:
        rows = rows[at_steps(asked.steps, index.column("step", count)[rows])]
    if asked.q:
        with watched.open("samples") as file:
            rows = np.intersect1d(rows, index.containing(file, asked.q, count))
    column = asked.sort.removeprefix("-")
    if column != "row":
        values = index.column(column, count)[rows]
        missing = np.isnan(values)
        values = -values if asked.sort.startswith("-") else values
        rows = rows[np.lexsort((rows, np.where(missing, 0.0, values), missing))]
    elif asked.sort == "-row":
        rows = rows[::-1]
    return rows.tolist()


def flags_of(where: str) -> int:
    """The flags that are named. Raises Refused: 422."""
    flags = 0
    for name in filter(None, where.split(",")):
        if name not in FLAGS:
            raise Refused(422, "where is misleading, unfinished or shown", field="where")
        flags |= FLAGS[name]
    return flags


def at_steps(steps: str, asked_of: Sequence[float] | np.ndarray) -> np.ndarray:
    """Whether each is one of the steps that are named. Raises Refused: 422."""
    column = np.asarray(asked_of, float)
    found = np.zeros(len(column), bool)
    for part in steps.split(","):
        named = re.fullmatch(r"\s*(\d{1,12})(?:-(\d{1,12}))?\s*", part, re.ASCII)
        if not named:
            raise Refused(422, "steps are as 14, or 0,14,23, or 10-20", field="steps")
        first, last = int(named[1]), int(named[2] or named[1])
        found |= (column >= first) & (column <= last)
    return found


def read(watched: Watched, name: Log, rows: Sequence[int]) -> list[Mapping[str, Any]]:
    """Those rows of a file, whole. Raises Refused: 409, the file is another by now."""
    if not rows:
        return []
    index = {"samples": watched.samples, "tokens": watched.tokens, "probes": watched.probes}[name]
    with watched.open(name) as file:
        try:
            return [index.read(file, row) for row in rows]
        except (Malformed, IndexError):
            raise Refused(409, f"{name}.jsonl was written anew just now", remedy=paging.ANEW) from None


def sample(watched: Watched, row: int) -> schema.Sample:
    """One row, whole. Raises Refused: 404."""
    watched.wait()
    with watched.lock("samples"):
        watched.catch_up("samples")
        index = watched.samples
        if row >= index.rows or row not in index.whole(index.rows):
            raise Refused(404, f"this run has no sample {row}", field="row")
        return sample_of(row, read(watched, "samples", [row])[0])


def bins(watched: Watched, asked: schema.BinsAsked) -> schema.Bins:
    """How a figure is spread at each step; what lies far out is in the first or the last bin."""
    watched.wait()
    watched.catch_up("samples")
    with watched.lock("samples"):
        index = watched.samples
        rows = index.whole(index.rows)
        steps, values = index.column("step", index.rows)[rows], index.column(asked.key, index.rows)[rows]
    there = np.isfinite(steps) & np.isfinite(values)
    steps, values = steps[there], values[there]
    if not len(values):
        return schema.Bins(
            generation=watched.generation, key=asked.key, edges=[], steps=[], counts=[], ready=True
        )
    low, high = np.quantile(values, (0.001, 0.999))
    edges = np.linspace(low, high if high > low else low + 1.0, asked.bins + 1)
    which = np.clip(np.searchsorted(edges, values, "right") - 1, 0, asked.bins - 1)
    names, places = np.unique(steps, return_inverse=True)
    names, places = names[-schema.MOST_POINTS :], places - max(0, len(names) - schema.MOST_POINTS)
    counts = np.zeros((len(names), asked.bins), int)
    np.add.at(counts, (places[places >= 0], which[places >= 0]), 1)
    return schema.Bins(
        generation=watched.generation,
        key=asked.key,
        edges=edges.tolist(),
        steps=names.tolist(),
        counts=counts.tolist(),
        ready=True,
    )


def probes(watched: Watched) -> schema.Probes:
    """The same prompts as training went on, by step."""
    watched.catch_up("probes")
    index = watched.probes
    prompts: dict[str, schema.ProbePrompt] = {}
    cells: dict[tuple[str, float], schema.ProbeCell] = {}
    with watched.lock("probes"):
        found = read(watched, "probes", index.whole(index.rows).tolist()[:MOST_PROBES])
    for row in found:
        step, name = number(row.get("step")), text(row.get("probe"), 100)
        if step is None or not name:
            continue
        prompts.setdefault(name, schema.ProbePrompt(id=name, prompt=prompt_of(row)))
        said = completion_of(row)
        cells[name, step] = schema.ProbeCell(
            completion=said[: schema.CUT],
            cut=len(said) > schema.CUT,
            finished=not flag_of(row, "unfinished"),
            gold=number(row.get("gold")),
            reason=text(row.get("reason"), schema.CUT),
        )
    steps = sorted({step for _, step in cells})
    table = [[cells.get((name, step)) for step in steps] for name in prompts]
    return schema.Probes(
        generation=watched.generation, prompts=list(prompts.values()), steps=steps, cells=table
    )


def tokens(watched: Watched, asked: schema.TokensAsked) -> schema.Tokens:
    """A rollout by token, as it was recorded. Raises Refused: 404."""
    watched.catch_up("tokens")
    with watched.lock("tokens"):
        row = watched.tokens.at(asked.step, asked.place)
        if row is None:
            raise Refused(
                404,
                f"the tokens of rollout {asked.place} of step {asked.step} were not kept",
                remedy="those of the samples that are shown are",
            )
        found = read(watched, "tokens", [row])[0]
    columns = {name: found.get(name) for name in ("logprob", "ref", "advantage", "value")}
    pieces = found.get("pieces")
    said = [text(piece, 200) for piece in pieces[:MOST_TOKENS]] if isinstance(pieces, list) else []
    numbers = {
        name: [number(value) for value in column[: len(said)]] if isinstance(column, list) else []
        for name, column in columns.items()
    }
    return schema.Tokens(step=asked.step, place=asked.place, pieces=said, **numbers)
