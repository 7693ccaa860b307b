"""What each model scored: a table for each judge and data set, and the same prompts under every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..run import RunInfo
from ..text.figures import with_interval
from .words import HEADS, MODEL_NAMES, called, data_of, figure_of, judge_of, mean_of, say, shown, words_of

Evals = Mapping[str, RunInfo]
CASES = 6  # prompts of each group that are shown with their answers, where the task does not say which
LETTERS = 400  # of an answer


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
    return [_table(group, runs) for group in groups(evals)]


def terms(evals: Evals) -> list[tuple[str, str]]:
    """What the tasks say that their figures mean."""
    terms: list[tuple[str, str]] = []
    for group in groups(evals):
        terms += words_of(_first(group)).glossary
    return terms


def _first(group: Evals) -> RunInfo:
    return next(iter(group.values()))


def _table(evals: Evals, runs: Mapping[str, RunInfo]) -> dict[str, Any]:
    """One group's figures, a row for each model."""
    first, start = _first(evals), _start(evals)
    judge, figure = judge_of(first), figure_of(first)
    words = words_of(first)
    heads = {figure: f"{judge}, greedy", f"{figure}_sampled": f"{judge}, T = 1"} | dict(words.heads)
    heads |= {key: head.format(start=start) for key, head in HEADS.items()}
    summaries = [info.summary for info in evals.values()]
    columns = [key for key in heads if any(mean_of(row.get(key)) is not None for row in summaries)]
    rows = []
    for name, info in evals.items():
        rows.append({"name": shown(name), "cells": [_cell(key, info.summary.get(key)) for key in columns]})
    note = _note(evals, words.note)
    if "best_of_n" in evals:
        note += _best_of_n(runs, judge)
    return {
        "heads": ["", *(heads[key] for key in columns)],
        "rows": rows,
        "note": f"{note} Small print: 95 % intervals.",
        "paired": _paired(evals, start),
    }


def _cell(key: str, value: Any) -> dict[str, str]:
    mean = mean_of(value)
    if mean is None:
        return {"value": "–", "interval": ""}
    digits = 1 if key == "mean_length" else 2
    cell = {"value": f"{mean:.{digits}f}", "interval": ""}
    if isinstance(value, dict) and value.get("ci"):
        low, high = value["ci"]
        cell["interval"] = f"{low:.2f}–{high:.2f}"
    return cell


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


def _best_of_n(runs: Mapping[str, RunInfo], judge: str) -> str:
    best = next((info.summary for info in runs.values() if info.stage == "best-of-n"), None)
    if not best:
        return ""
    return (
        f" Best of N is one pick among {best['n']} samples at temperature {best.get('temperature', 1.0):g}, "
        f"shown in both {judge} columns; the first of them alone has {judge} {say(best.get('gold_one'))}."
    )


def _paired(evals: Evals, start: str) -> list[str]:
    """How much each model differs from the one it was compared with, a line for each way of decoding."""
    lines = []
    for name, info in evals.items():
        for how, row in (info.summary.get("paired") or {}).items():
            way = "T = 1" if how == "sampled" else how
            lines.append(
                f"{shown(name)} against {start}, {way}: {judge_of(info)} {with_interval(row, sign='+')}, "
                f"paired on {row['n']} prompts"
            )
    return lines


def _start(evals: Evals) -> str:
    """How the model is called that the others are compared with."""
    for info in evals.values():
        if baseline := info.config["options"].get("baseline"):
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
    rows = [row for row in info.samples if row.get("decoding") in ("greedy", "likelihood")]
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
            shown_answers.append(_answer(name, evals[name], rows[row["id"]]))
    return {"label": label, "prompt": row["prompt"][-1]["content"], "answers": shown_answers}


def _answer(name: str, info: RunInfo, row: Mapping[str, Any]) -> dict[str, Any]:
    judge = judge_of(info)
    verdict = f"{row['gold']:.2f}" if judge == "gold" else f"{judge} {row['gold']:.2f}"
    if row["reason"]:
        verdict += f": {row['reason']}"
    good = row["gold"] >= 0.5 if words_of(info).knows else None
    return {"model": shown(name), "text": row["completion"][:LETTERS], "good": good, "verdict": verdict}
