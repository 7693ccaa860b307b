"""Evaluation tasks: what is asked, how an answer is scored, which figures follow, and what a report may say.

    alignlab eval --model M                                          the town, judged by gold
    alignlab eval --model M --data my-prompts.jsonl --judge NAME     prompts of one's own under any judge
    alignlab eval --model M --task gsm8k --data test.jsonl           a benchmark, in its authors' file
    alignlab eval --model M --task exact:answer --data my.jsonl      a scorer, and the column it reads
    alignlab eval --model M --task my_tasks:spelling --data my.jsonl a function that returns a `Task`

A task of ours is one file with a `TASK` in it and a row in `TASKS`; the town's stands there by its name
alone, as nothing here knows the town. A task of somebody else's is an entry point in the group
`alignlab.tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import Any

from .. import plugins
from ..errors import DataError, UserError
from ..records import Completion, Prompt, Score
from ..text.nearest import nearest

Results = Sequence[tuple[Completion, Score]]


@dataclass(frozen=True)
class Words:
    """What a report may say of a task's figures; it is kept in the run, and nothing else is said.

    Attributes:
        note: under the table; `{data}`, `{n}` and `{judge}` are filled in.
        heads: the heads of the columns by figure of the summary, in order.
        glossary: terms with what they mean.
        knows: the score is right by definition (a reference answer, a judge that knows), so that an answer
            from one half on may be shown as a good one.
    """

    note: str = "Prompts: {data}, n = {n}. Scores: {judge}, the mean over answers."
    heads: Mapping[str, str] = field(default_factory=dict)
    glossary: Sequence[tuple[str, str]] = ()
    knows: bool = False

    @staticmethod
    def from_json(value: Any) -> Words:
        """Words that a run folder holds, which may be anybody's: what is no text is left out."""
        row = value if isinstance(value, Mapping) else {}
        heads, terms = row.get("heads"), row.get("glossary")
        if not isinstance(heads, Mapping):
            heads = {}
        if not isinstance(terms, list):
            terms = []
        pairs = [tuple(term) for term in terms if isinstance(term, list) and len(term) == 2]
        return Words(
            note=str(row.get("note", Words.note)),
            heads={str(figure): str(head) for figure, head in heads.items()},
            glossary=[(str(term), str(meaning)) for term, meaning in pairs],
            knows=row.get("knows") is True,
        )


def as_it_is(prompt: Prompt) -> Prompt:
    return prompt


@dataclass(frozen=True)
class Task:
    """One way to put a model to the test.

    Attributes:
        figure: what the mean score is called in `summary.json`.
        needs: what data it is asked on, and where that comes from; said where the data is missing or another.
        question: a prompt of the data -> what the model is asked. None: that row cannot be scored; it is left
            out and counted. DataError: no row of this task.
        score: a completion -> its score. None: the judge that is named beside the task says.
        choices, choose: of a task that is answered by likelihood and writes nothing: the answers to choose
            from, and the score given log p(answer | question) of each, in nats.
        figures: more figures of the summary, each the mean of a part of the scores that have it.
        breakdowns: keys of the prompts' meta by which the score is told apart (`by_KEY`).
        more: figures that are no mean over answers.
        of_base: what only a base model is asked: figures and samples, given the policy and a seed.
    """

    name: str
    figure: str = "score"
    needs: str = ""
    question: Callable[[Prompt], Prompt | None] = as_it_is
    score: Callable[[Completion], Score] | None = None
    choices: Callable[[Prompt], Sequence[str]] | None = None
    choose: Callable[[Prompt, Sequence[float]], Score] | None = None
    figures: Mapping[str, str] = field(default_factory=dict)
    breakdowns: Sequence[str] = ()
    more: Callable[[Results], dict[str, Any]] | None = None
    of_base: Callable[[Any, int], tuple[dict[str, Any], list[dict[str, Any]]]] | None = None
    words: Words = Words()

    @property
    def judged(self) -> bool:
        """Whether somebody else scores: the judge that is named on the command line."""
        return self.score is None and self.choose is None

    def questions(self, prompts: Sequence[Prompt]) -> tuple[list[Prompt], int]:
        """What is asked, and how many rows cannot be scored. DataError: none can, or a row of other data."""
        asked = []
        for number, prompt in enumerate(prompts):
            try:
                question = self.question(prompt)
            except DataError as error:
                remedy = error.remedy or self.needs
                what = f"--task {self.name}: {error.what}"
                raise DataError(what, where=f"record {number}", remedy=remedy) from None
            if question is not None:
                asked.append(question)
        if not asked:
            raise DataError(f"--task {self.name} can score none of {len(prompts)} rows", remedy=self.needs)
        return asked, len(prompts) - len(asked)

    def told(self) -> dict[str, Any]:
        """What a run keeps of its task, for a report."""
        return {"name": self.name, "figure": self.figure, **asdict(self.words)}


PROMPTS = Task("prompts", figure="gold", breakdowns=("kind", "split"))
"""Prompts of any data under the judge that is named."""
TASKS = {
    "town": "town.measure.task",
    "gsm8k": "evals.gsm8k",
    "ifeval": "evals.ifeval",
    "truthfulqa": "evals.truthfulqa",
}
"""The module of this package in which each task stands."""
SCORERS = ("exact", "contains", "number", "regex")
"""What `evals.scored` has: SCORER:COLUMN is a task."""


def named(name: str) -> Task:
    """The task of that name. Raises UserError for one that is none."""
    check(name)
    if name in TASKS:
        return import_module(f"..{TASKS[name]}", __package__).TASK
    scorer, _, column = name.partition(":")
    if scorer in SCORERS:
        from .scored import scored

        return scored(scorer, column)
    with plugins.blamed(name):
        task = plugins.load("task", name)()
    if not isinstance(task, Task):
        raise UserError(
            f"{name} returned {type(task).__name__}, and no task",
            remedy="return an alignlab.evals.tasks.Task (docs/evaluation.md)",
        )
    theirs = {part: getattr(task, part) for part in ("question", "score", "choices", "choose", "more")}
    return replace(task, **{part: _blamed(name, function) for part, function in theirs.items() if function})


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


def columns_of(prompt: Prompt, *names: str) -> list[Any]:
    """Columns of a prompt's row. Raises DataError for one that it has not."""
    columns = prompt.meta.get("columns") or {}
    if missing := [name for name in names if name not in columns]:
        raise DataError(f"the row has no column {missing[0]!r:.60}", remedy=_listed(columns))
    return [columns[name] for name in names]


def _listed(columns: Mapping[str, Any]) -> str:
    return f"it has {', '.join(sorted(map(str, columns)))[:200]}" if columns else ""
