"""Evaluation tasks by name.

    alignlab eval --model M                                          the town, judged by gold
    alignlab eval --model M --data my-prompts.jsonl --judge NAME     prompts of one's own under any judge
    alignlab eval --model M --task gsm8k --data test.jsonl           a benchmark, in its authors' file
    alignlab eval --model M --task exact:answer --data my.jsonl      a scorer, and the column it reads
    alignlab eval --model M --task my_tasks:spelling --data my.jsonl a function that returns a `Task`

The town's task stands here by its name alone, as nothing here knows the town. A task of somebody else's is an
entry point in the group `alignlab.tasks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

from .. import plugins
from ..errors import UserError
from ..text.nearest import nearest
from .scored import SCORERS, scored
from .tasks import PROMPTS, Task

TASKS = {
    "town": "town.measure.task",
    "gsm8k": "evals.gsm8k",
    "ifeval": "evals.ifeval",
    "truthfulqa": "evals.truthfulqa",
}
"""The module of this package in which each task stands."""


def named(name: str) -> Task:
    """The task of that name. Raises UserError for one that is none."""
    check(name)
    if name in TASKS:
        return import_module(f"..{TASKS[name]}", __package__).TASK
    scorer, _, column = name.partition(":")
    if scorer in SCORERS:
        return scored(scorer, column)
    with plugins.blamed(name):
        task = plugins.load("task", name)()
    if not isinstance(task, Task):
        raise UserError(
            f"{name} returned {type(task).__name__}, and no task",
            remedy="return an alignlab.evals.tasks.Task (docs/evaluation.md)",
        )
    theirs: dict[str, Any] = {}
    for part in ("question", "score", "choices", "choose", "more"):
        if function := getattr(task, part):
            theirs[part] = _blamed(name, function)
    return replace(task, **theirs)


def _blamed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of somebody else's whose errors name it."""

    def call(*values: Any) -> Any:
        with plugins.blamed(name):
            return function(*values)

    return call


def check(name: str) -> None:
    """Raise UserError for a name that stands for no task; nothing of anybody's is imported."""
    scorer, _, column = name.partition(":")
    if name in TASKS or (scorer in SCORERS and column):
        return
    if scorer in SCORERS:
        raise UserError(f"{name!r} names no column of the data", remedy=f"--task {name}:answer")
    if plugins.is_one("task", name):
        plugins.find("task", name)
        return
    known = [*TASKS, *(f"{scorer}:COLUMN" for scorer in SCORERS), *plugins.installed("task")]
    raise UserError(
        f"there is no task {name!r:.80}",
        remedy=nearest(name, known) or f"one of: {', '.join(known)}; or module:function",
    )


def given_by(data: str, judge: str) -> Task:
    """The task of a command that names none: the town's where its prompts or its judge are."""
    return named("town") if data.startswith("town:") or judge.startswith("town:") else PROMPTS
