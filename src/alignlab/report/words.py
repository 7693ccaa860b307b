"""How a page names models and figures, and what its terms mean (`words.toml`). What is said of a task's
figures is the task's own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from ..evals.tasks import Words
from ..run import RunInfo

_TEXTS = tomllib.loads(files("alignlab.report").joinpath("words.toml").read_text(encoding="utf-8"))
MODEL_NAMES: dict[str, str] = _TEXTS["models"]
RUN_NAMES: dict[str, str] = _TEXTS["runs"]
HEADS = {
    "win_rate_vs_sft": "wins against {start}, T = 1",
    "kl_from_sft": "KL from {start}, T = 1",
    "mean_length": "tokens",
}
"""Heads of the columns that follow a task's own."""


def called(name: str) -> str:
    """What an evaluation's model is called in the tables of a report: by its name in a pipeline, or as the
    run is.
    """
    name = name.removeprefix("eval-")
    known = name.replace("-", "_")
    return known if known in MODEL_NAMES else name


def shown(name: str) -> str:
    """The name of a model as a reader sees it."""
    return MODEL_NAMES.get(name, name)


def mean_of(value: Any) -> float | None:
    """A figure, or the mean of one with an interval; None for anything else."""
    if isinstance(value, dict):
        value = value.get("mean")
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def say(value: Any, digits: int = 2) -> str:
    mean = mean_of(value)
    return "–" if mean is None else f"{mean:.{digits}f}"


def both_ways(summary: Mapping[str, Any], figure: str, said: Callable[[Any], str] = say) -> str:
    """A figure of greedy answers / of those at temperature 1, where there are such."""
    values = [summary.get(figure), summary.get(f"{figure}_sampled")]
    return " / ".join(said(value) for value in values if mean_of(value) is not None) or said(None)


def behind(values: Iterable[Any]) -> str:
    """How many answers are behind one figure of several models: `n = 35`, or `n = 35 to 44` where they
    differ; nothing where no figure says.
    """
    counts = sorted({value["n"] for value in values if isinstance(value, dict) and value.get("n")})
    ends = dict.fromkeys([*counts[:1], *counts[-1:]])
    return f"n = {' to '.join(map(str, ends))}" if counts else ""


def figure_of(info: RunInfo) -> str:
    """The figure of an evaluation's summary that is the mean of its scores."""
    task = info.summary.get("task")
    return str(task.get("figure")) if isinstance(task, dict) else "gold"


def judge_of(info: RunInfo) -> str:
    """What the scores of an evaluation are to be called: gold where the judge knows the truth, else the
    judge's own name; of a task that scores by itself, its figure.
    """
    options = info.config.get("options") or {}
    name = options.get("judge")
    if not name and options.get("task"):
        return figure_of(info)
    if not name or name == "town:gold":
        return "gold"
    return name if len(name) < 40 else f"{name[:16]}…{name[-20:]}"


def data_of(info: RunInfo) -> str:
    """What an evaluation asked."""
    return ", ".join(info.data) or ("town:test" if judge_of(info) == "gold" else "unknown")


def words_of(info: RunInfo) -> Words:
    """What may be said of an evaluation's figures: what its task told the run, or, where gold judged, what is
    true of the town.
    """
    if "task" in info.summary:
        return Words.from_json(info.summary["task"])
    if judge_of(info) == "gold":
        from ..town.measure.task import words

        return words(data_of(info))
    return Words()


def glossary(page: str, terms: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Terms with their meanings: those of the tasks, then ours that a page has a word of."""
    ours = [entry for entry in _TEXTS["glossary"] if any(word in page for word in entry["words"])]
    return [*dict(terms).items(), *((entry["term"], entry["text"]) for entry in ours)]
