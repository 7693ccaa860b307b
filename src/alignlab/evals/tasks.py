"""Evaluation tasks: what is asked, how an answer is scored, which figures follow, and what a report may say.

A task of ours is one file with a `TASK` in it and a row in `by_name.TASKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import DataError
from ..records import Completion, Prompt, Score

Results = Sequence[tuple[Completion, Score]]


@dataclass(frozen=True)
class Words:
    """What a report may say of a task's figures; it is kept in the run, and nothing else is said.

    Attributes:
        note: under the table; `{data}`, `{n}` and `{judge}` are filled in.
        heads: the heads of the columns by figure of the summary, in order; a column shows the figure of
            greedy answers beside that at temperature 1.
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
        heads, glossary = {}, []
        if isinstance(row.get("heads"), Mapping):
            heads = {str(figure): str(head) for figure, head in row["heads"].items()}
        if isinstance(row.get("glossary"), list):
            pairs = [term for term in row["glossary"] if isinstance(term, list) and len(term) == 2]
            glossary = [(str(term), str(meaning)) for term, meaning in pairs]
        note = str(row.get("note", Words.note))
        return Words(note, heads, glossary, knows=row.get("knows") is True)


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
        figures: more figures of the summary, each the mean of a part of the scores that have it; of answers
            at temperature 1 they stand there as NAME_sampled.
        breakdowns: keys of the prompts' meta by which the score is told apart (`by_KEY`).
        more: figures that are no mean over answers.
        of_base: what only a base model is asked: figures and samples, given the policy, the prompts and a
            seed.
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
    of_base: Callable[[Any, Sequence[Prompt], int], tuple[dict[str, Any], list[dict[str, Any]]]] | None = None
    words: Words = Words()

    @property
    def judged(self) -> bool:
        """Whether somebody else scores: the judge that is named on the command line."""
        return self.score is None and self.choose is None

    def questions(self, prompts: Sequence[Prompt]) -> tuple[list[Prompt], int]:
        """What is asked, and how many rows cannot be scored. DataError: none can, or a row of other data."""
        questions = []
        for number, prompt in enumerate(prompts):
            try:
                question = self.question(prompt)
            except DataError as error:
                remedy = error.remedy or self.needs
                what = f"--task {self.name}: {error.what}"
                raise DataError(what, where=f"record {number}", remedy=remedy) from None
            if question is not None:
                questions.append(question)
        if not questions:
            raise DataError(f"--task {self.name} can score none of {len(prompts)} rows", remedy=self.needs)
        return questions, len(prompts) - len(questions)

    def summary(self) -> dict[str, Any]:
        """What a run keeps of its task, for a report."""
        return {"name": self.name, "figure": self.figure, **asdict(self.words)}


PROMPTS = Task("prompts", figure="gold", breakdowns=("kind", "split"))
"""Prompts of any data under the judge that is named."""


def columns_of(prompt: Prompt, *names: str) -> list[Any]:
    """Columns of a prompt's row. Raises DataError for one that it has not."""
    columns = prompt.meta.get("columns") or {}
    if missing := [name for name in names if name not in columns]:
        raise DataError(f"the row has no column {missing[0]!r:.60}", remedy=_listed(columns))
    return [columns[name] for name in names]


def _listed(columns: Mapping[str, Any]) -> str:
    return f"it has {', '.join(sorted(map(str, columns)))[:200]}" if columns else ""
