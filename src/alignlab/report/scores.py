"""What each model scored: a table for each judge and data set, and the same prompts under every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..run import RunInfo
from ..text.figures import with_interval
from .words import (
    HEADS,
    MODEL_NAMES,
    behind,
    called,
    data_of,
    figure_of,
    judge_of,
    mean_of,
    say,
    shown,
    words_of,
)

Evals = Mapping[str, RunInfo]
CASES = 6  # prompts of each group that are shown with their answers, where the task does not say which
LETTERS = 400  # of an answer
WAYS = {"sampled": "T = 1", "picked": "the pick", "one": "one sample"}


def evals_of(runs: Mapping[str, RunInfo]) -> dict[str, RunInfo]:
    """The evaluations among runs by the name of what they judged, a pipeline's first and in its order."""
    evals = {}
    for name, info in runs.items():
        if info.stage == "eval" and not name.startswith("topics-"):
            evals[called(name)] = info
    order = dict.fromkeys([*(name for name in MODEL_NAMES if name in evals), *evals])
    return {name: evals[name] for name in order}


def groups(evals: Evals) -> list[dict[str, RunInfo]]:
    """Evaluations by judge, task and data, since only those figures can be compared."""
    groups: dict[tuple[str, str, str], dict[str, RunInfo]] = {}
    for name, info in evals.items():
        task = (info.config.get("options") or {}).get("task") or ""
        groups.setdefault((judge_of(info), task, data_of(info)), {})[name] = info
    return list(groups.values())


def tables(evals: Evals, runs: Mapping[str, RunInfo]) -> list[dict[str, Any]]:
    """A table for each group, and one for each model whose answers are picks, which are neither greedy nor at
    temperature 1.
    """
    found = []
    for group in groups(evals):
        own = {name: info for name, info in group.items() if not picks_of(info)}
        if own:
            found.append(_table(own))
        for name, info in group.items():
            if picks_of(info):
                found.append(_picks(name, info, alone=not own))
    return found


def picks_of(info: RunInfo) -> Mapping[str, Any] | None:
    """How many samples an evaluation's answers were picked from, and at which temperature; None where the
    model wrote them itself.
    """
    picks = info.summary.get("picks")
    return picks if isinstance(picks, dict) else None


def terms(evals: Evals) -> list[tuple[str, str]]:
    """What the tasks say that their figures mean."""
    terms: list[tuple[str, str]] = []
    for group in groups(evals):
        terms += words_of(_first(group)).glossary
    return terms


def _first(group: Evals) -> RunInfo:
    return next(iter(group.values()))


def _table(evals: Evals) -> dict[str, Any]:
    """One group's figures, a row for each model; a cell has the figure of greedy answers and that at
    temperature 1.
    """
    first, start = _first(evals), _start(evals)
    words = words_of(first)
    heads = {figure_of(first): judge_of(first)} | dict(words.heads) | HEADS
    summaries = [info.summary for info in evals.values()]
    columns = _columns(heads, summaries)
    both = [key for key in columns if _any(f"{key}_sampled", summaries)]
    way = first_way(first)
    rows = []
    for name, info in evals.items():
        cells = []
        for key in columns:
            keys = (key, f"{key}_sampled") if key in both else (key,)
            cells.append(_cell(keys, info.summary))
        rows.append({"name": shown(name), "cells": cells})
    return {
        "heads": [
            {"value": f"{way} / T = 1" if both else way},
            *(_head(heads[key].format(start=start), key, summaries) for key in columns),
        ],
        "rows": rows,
        "note": _noted(evals, words.note, both=bool(both), wins="win_rate_vs_sft" in columns),
        "paired": _paired(evals, start),
    }


def _picks(name: str, info: RunInfo, *, alone: bool) -> dict[str, Any]:
    """The picks of best of N, and their control: one answer of the same model at the same temperature.
    `alone`: no table above says what was asked.
    """
    s, picks = info.summary, picks_of(info) or {}
    one = f"one sample at T = {picks.get('temperature', 1.0):g}"
    heads = {figure_of(info): judge_of(info)} | dict(words_of(info).heads) | HEADS
    heads["win_rate_vs_sft"] = f"wins against {one}"
    columns = _columns(heads, [s])
    pick, control = [_cell((key,), s) for key in columns], [_cell((f"{key}_one",), s) for key in columns]
    note = (
        f"{shown(name)[:1].upper()}{shown(name)[1:]}: one pick among {picks.get('n', '?')} samples at "
        f"temperature {picks.get('temperature', 1.0):g}, neither greedy nor at temperature 1; below it its "
        "control, another sample at that temperature, which is a random pick."
    )
    return {
        "heads": [{"value": ""}, *(_head(heads[key], key, [s]) for key in columns)],
        "rows": [{"name": shown(name), "cells": pick}, {"name": one, "cells": control}],
        "note": f"{note} {_noted({name: info}, words_of(info).note if alone else '', both=False, wins=True)}",
        "paired": _paired({name: info}, one),
    }


def _columns(heads: Mapping[str, str], summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures that any of the models has."""
    return [key for key in heads if _any(key, summaries)]


def _any(key: str, summaries: Sequence[Mapping[str, Any]]) -> bool:
    return any(mean_of(summary.get(key)) is not None for summary in summaries)


def _head(head: str, key: str, summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A column's head with the number of answers behind its figures, which may differ among models."""
    return {"value": head, "small": [behind(summary.get(key) for summary in summaries)]}


def _cell(keys: Sequence[str], summary: Mapping[str, Any]) -> dict[str, Any]:
    """A figure, or the same one decoded in two ways, with the interval of each; of wins the share of ties."""
    values = [summary.get(key) for key in keys]
    if all(mean_of(value) is None for value in values):
        return {"value": "–", "small": []}
    digits = 1 if keys[0].startswith("mean_length") else 2
    small = []
    for value in values:
        if isinstance(value, dict) and value.get("ci"):
            low, high = value["ci"]
            small.append(f"{low:.2f}–{high:.2f}")
    if keys[0] == "win_rate_vs_sft" and mean_of(summary.get("ties_vs_sft")) is not None:
        small.append(f"ties {say(summary['ties_vs_sft'])}")
    return {"value": " / ".join(say(value, digits) for value in values), "small": small}


def _noted(evals: Evals, note: str, *, both: bool, wins: bool) -> str:
    """The task's note, and how the table is read."""
    said = [_note(evals, note)] if note else []
    if both:
        said.append(f"A cell: {first_way(_first(evals))} answers / answers at temperature 1.")
    small = "Small print: 95 % intervals"
    said.append(f"{small}, in that order." if both else f"{small}.")
    if wins:
        said.append("In wins a tie counts half; the share of ties stands below.")
    return " ".join(said)


def first_way(info: RunInfo) -> str:
    """How the answers of an evaluation were decoded that its settings, and not temperature 1, decide."""
    if any(row.get("decoding") == "likelihood" for row in info.samples[:1]):
        return "likelihood"
    sampling = (info.config.get("settings") or {}).get("sampling") or {}
    temperature = sampling.get("temperature", 0.0)
    return f"T = {temperature:g}" if temperature else "greedy"


def _note(evals: Evals, note: str) -> str:
    """The task's note with its blanks filled in; it may be anybody's text, so that nothing is formatted."""
    first = _first(evals)
    counts = {info.summary[figure_of(info)]["n"] for info in evals.values()}
    if len(counts) > 1:
        n = f"{min(counts)} to {max(counts)}"
    else:
        n = f"{min(counts)}, the same for every model" if len(evals) > 1 else str(min(counts))
    for blank, text in (("{n}", n), ("{judge}", judge_of(first)), ("{data}", data_of(first))):
        note = note.replace(blank, text)
    return note


def _paired(evals: Evals, start: str) -> list[str]:
    """How much each model differs from the one it was compared with, a line for each way of decoding."""
    lines = []
    for name, info in evals.items():
        for how, row in (info.summary.get("paired") or {}).items():
            way = WAYS.get(how) or first_way(info)
            lines.append(
                f"{shown(name)} against {start}, {way}: {judge_of(info)} {with_interval(row, sign='+')}, "
                f"paired on {row['n']} prompts"
            )
    return lines


def _start(evals: Evals) -> str:
    """How the model is called that the others are compared with."""
    for info in evals.values():
        if baseline := (info.config.get("options") or {}).get("baseline"):
            return shown(called(Path(baseline).name))
    return "SFT"


# --- the same prompts under every model ---


def cases(evals: Evals) -> list[dict[str, Any]]:
    """Prompts with every model's answer: of each group those that its task picks, or the first few."""
    answers = {name: _answers(info) for name, info in evals.items()}
    cases: dict[str, dict[str, Any]] = {}
    for group in groups(evals):
        rows = next((list(answers[name].values()) for name in group if answers[name]), [])
        for label, row in _picked(rows, judge_of(_first(group))):
            if row["id"] not in cases:
                cases[row["id"]] = _case(label, row, evals, answers)
    return list(cases.values())


def _answers(info: RunInfo) -> dict[str, Mapping[str, Any]]:
    """The answers that count, by prompt."""
    rows = [row for row in info.samples if row.get("decoding") in ("greedy", "likelihood", "picked")]
    return {row["id"]: row for row in rows}


def _picked(rows: Sequence[Mapping[str, Any]], judge: str) -> list[tuple[str, Mapping[str, Any]]]:
    if judge == "gold":
        from ..town.measure.task import cases as of_the_town

        if picked := of_the_town(rows):
            return picked
    return [("", row) for row in rows[:CASES]]


def _case(
    label: str, row: Mapping[str, Any], evals: Evals, answers: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    shown_answers = []
    for name, rows in answers.items():
        if row["id"] in rows:
            shown_answers.append(answer_of(name, evals[name], rows[row["id"]]))
    return {"label": label, "prompt": row["prompt"][-1]["content"], "answers": shown_answers}


def answer_of(name: str, info: RunInfo, row: Mapping[str, Any]) -> dict[str, Any]:
    """A model's answer as the page shows it, with its score and the reason."""
    judge = judge_of(info)
    verdict = f"{row['gold']:.2f}" if judge == "gold" else f"{judge} {row['gold']:.2f}"
    if row["reason"]:
        verdict += f": {row['reason']}"
    good = row["gold"] >= 0.5 if words_of(info).knows else None
    return {"model": shown(name), "text": row["completion"][:LETTERS], "good": good, "verdict": verdict}
