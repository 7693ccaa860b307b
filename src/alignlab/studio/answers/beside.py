"""Runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ...run import RunInfo
from ...stages.compare import different, figures_beside, flattened, paired
from .. import lists, paging, schema
from ..desk import Visit, reference
from ..heads import Head, figure, name_of
from ..inside import clean, number, text
from ..problems import Refused
from ..samples import completion_of, cut_prompt, flag_of, prompt_of
from ..scan import below
from ..shelf import Seen
from ..watched import Watched

MOST_ANSWERS = 20_000  # of one evaluation that are read
MEASURING = ("eval", "likelihood")
DECODINGS = ("greedy", "picked", "likelihood", "sampled")
"""Which answers stand beside each other, the first of these that an evaluation has."""


@dataclass
class Answered(RunInfo):
    """A run with the rows of its samples that compare, as they were read here."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def samples(self) -> list[dict[str, Any]]:
        return self.rows


@dataclass(frozen=True)
class Column:
    """A run, the evaluation of it that there is (or itself), and the step of a probe; `answers` by prompt."""

    head: Head
    measured: Head | None
    step: float | None
    answers: Mapping[str, Mapping[str, Any]]


def compare(visit: Visit, asked: schema.CompareAsked) -> schema.Compare:
    """Settings, figures and answers of several runs, or of one at several steps."""
    desk, runs = visit.desk, list(dict.fromkeys(asked.runs.split(",")))
    seen = desk.shelf.look_for(*runs)
    heads = [seen.find(run) for run in runs]
    if len(heads) > schema.MOST_COMPARED:
        raise Refused(422, f"{schema.MOST_COMPARED} runs at most stand beside each other", field="runs")
    measured = [evaluation_of(seen, head) for head in heads]
    watched = [desk.watch.of(head) for head in {head.path: head for head in measured if head}.values()]
    rows = {one.head.path: rows_of(one) for one in watched}
    infos = [
        answered(desk.inside.root, other or head, rows[other.path] if other else [])
        for head, other in zip(heads, measured, strict=True)
    ]
    if asked.steps:
        columns = at_steps(desk.watch.of(heads[0]), heads, asked.steps)
    else:
        columns = [
            Column(head, other, None, by_prompt(rows[other.path]) if other else {})
            for head, other in zip(heads, measured, strict=True)
        ]
    warnings = warnings_of(seen, heads, measured)
    own = [head.as_info(desk.inside.root) for head in heads]
    apart = different(own)
    keys = {key for info in own for key, _ in flattened({**info.config, "stage": 0, "seed": 0})}
    at = paging.read(asked.cursor, sum(one.generation for one in watched))
    return schema.Compare(
        columns=[
            schema.Compared(
                run=desk.row(seen, column.head),
                measured=reference(seen, column.measured.path) if column.measured else None,
                step=column.step,
            )
            for column in columns
        ],
        settings=[
            schema.Difference(key=text(key, 300), values=clean(values, 300)) for key, values in apart.items()
        ],
        same=len(keys) - len(apart),
        figures=[
            schema.FigureBeside(name=name, figures=[figure(name, value) for value in values])
            for key, values in figures_beside(infos).items()
            for name in [name_of(measured[0] or heads[0], key)]
        ],
        paired=[] if warnings else pairs_of(infos),
        warnings=warnings,
        answers=answers_of(columns, asked, at),
    )


def evaluation_of(seen: Seen, head: Head) -> Head | None:
    """The evaluation of a run: itself, the one of its name in its group, or the newest finished one that has
    the run first among those that it was made from.
    """
    if head.stage in MEASURING:
        return head
    named = below(seen.groups[head.path], f"eval-{PurePath(head.path).name}")
    children = [seen.heads[path] for path in seen.families[head.path].children]
    evaluations = [child for child in children if child.stage == "eval" and child.status == "done"]
    if found := [child for child in evaluations if child.path == named]:
        return found[0]
    first = [child for child in evaluations if seen.families[child.path].first == head.path]
    return max(first, key=lambda child: child.started or 0.0, default=None)


def rows_of(watched: Watched) -> list[dict[str, Any]]:
    """Rows of an evaluation that compare: answers with an id and a decoding, and values of records."""
    watched.wait()
    watched.catch_up("samples")
    with watched.lock("samples"):
        index = watched.samples
        rows = lists.read(watched, "samples", index.whole(index.rows).tolist()[:MOST_ANSWERS])
    found: list[dict[str, Any]] = []
    for row in rows:
        texts = ("decoding", "id") if "decoding" in row else ("figure", "record")
        value = number(row.get("gold" if "decoding" in row else "value"))
        if value is not None and all(isinstance(row.get(name), str) for name in texts):
            found.append({**row, ("gold" if "decoding" in row else "value"): value})
    return found


def answered(root: Any, head: Head, rows: list[dict[str, Any]]) -> Answered:
    """A run for `alignlab.stages.compare`."""
    named = [{**row, "prompt": text(row.get("prompt")) or row.get("record", "")} for row in rows]
    return Answered(**vars(head.as_info(root)), rows=named)


def by_prompt(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """An evaluation's answers by the id of their prompt."""
    there = {row.get("decoding") for row in rows}
    decoding = next((one for one in DECODINGS if one in there), None)
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row.get("decoding") == decoding and decoding is not None:
            found.setdefault(row["id"], row)
    return found


def at_steps(watched: Watched, heads: Sequence[Head], steps: str) -> list[Column]:
    """Columns of one run's probes. Raises Refused: 422."""
    if len(heads) != 1:
        raise Refused(422, "steps are of one run", field="steps")
    table = lists.probes(watched)
    wanted = lists.at_steps(steps, table.steps)
    found = [place for place, step in enumerate(table.steps) if wanted[place]]
    if len(found) > schema.MOST_COMPARED:
        raise Refused(422, f"{schema.MOST_COMPARED} steps at most stand beside each other", field="steps")
    columns = []
    for place in found:
        answers: dict[str, Mapping[str, Any]] = {}
        for prompt, cells in zip(table.prompts, table.cells, strict=True):
            if (cell := cells[place]) is not None:
                said = [said.model_dump() for said in prompt.prompt]
                answers[prompt.id] = {**cell.model_dump(), "prompt": said}
        columns.append(Column(heads[0], heads[0], table.steps[place], answers))
    return columns


def warnings_of(seen: Seen, heads: Sequence[Head], measured: Sequence[Head | None]) -> list[str]:
    """What keeps them from being compared as if paired."""
    found: list[str] = []
    names = [seen.name_of(head.path) for head in heads]
    if len({head.seed for head in heads}) > 1:
        found.append("other seeds: what differs may be that")
    if len({repr(sorted(texts)) for other in measured if other for texts in [_data(other)]}) > 1:
        found.append("the evaluations are of other prompts")
    for name, head, other in zip(names, heads, measured, strict=True):
        if head.status != "done":
            found.append(f"{name} is not finished")
        elif other is None:
            found.append(f"no evaluation of {name} is in the folder: alignlab eval --model {text(head.path)}")
    return found


def _data(head: Head) -> list[str]:
    data = head.info.get("data")
    return [repr(item) for item in data.items()] if isinstance(data, dict) else []


def pairs_of(infos: Sequence[Answered]) -> list[schema.PairedRow]:
    """Of each figure how much more each run has than the first, over what both measured."""
    found = paired(infos)
    figures = list(dict.fromkeys(name for row in found for name in row))
    return [
        schema.PairedRow(figure=text(name, 100), differences=[None, *(_pair(row.get(name)) for row in found)])
        for name in figures
    ]


def _pair(value: Mapping[str, Any] | None) -> schema.Paired | None:
    if value is None:
        return None
    low, high = value["ci"] or (None, None)
    return schema.Paired(
        mean=number(value["mean"]), low=number(low), high=number(high), n=value["n"], p=number(value["p"])
    )


def answers_of(columns: Sequence[Column], asked: schema.CompareAsked, at: paging.Cursor) -> schema.Answers:
    """One page of prompts that two columns or more answer (all, where there is one column)."""
    ids = list(dict.fromkeys(name for column in columns for name in column.answers))
    least = min(2, len(columns))
    ids = [name for name in ids if sum(name in column.answers for column in columns) >= least]
    rows = [(row, name, _change(columns, name)) for row, name in enumerate(ids)]
    if asked.sort != "row":
        sign = -1 if asked.sort == "-change" else 1
        rows.sort(key=lambda one: (one[2] is None, sign * (one[2] or 0.0), one[0]))
    shown, following = paging.page(rows, asked.limit, at)
    return schema.Answers(
        rows=[_answers(columns, *one) for one in shown],
        next=following,
        total=len(rows),
        of=len(rows),
        ready=True,
    )


def _change(columns: Sequence[Column], name: str) -> float | None:
    first, last = (number(column.answers.get(name, {}).get("gold")) for column in (columns[0], columns[-1]))
    return None if first is None or last is None else last - first


def _answers(columns: Sequence[Column], row: int, name: str, change: float | None) -> schema.AnswersRow:
    some = next(column.answers[name] for column in columns if name in column.answers)
    meta = some.get("meta")
    return schema.AnswersRow(
        row=row,
        prompt=cut_prompt(prompt_of(some))[0],
        kind=text(meta.get("kind"), 100) if isinstance(meta, dict) else "",
        answers=[_answer(column.answers.get(name)) for column in columns],
        change=change,
    )


def _answer(row: Mapping[str, Any] | None) -> schema.AnswerBeside | None:
    if row is None:
        return None
    said = completion_of(row)
    return schema.AnswerBeside(
        completion=said[: schema.CUT],
        cut=len(said) > schema.CUT,
        finished=not flag_of(row, "unfinished"),
        gold=number(row.get("gold")),
        reason=text(row.get("reason"), schema.CUT),
    )
