"""A judge of the user's own: a function, or a class with the verbs of a judge (how it is named: `plugins`).

    # my_rewards.py
    def right(completion: str, answer: str) -> float:
        return float(completion.strip().endswith(answer))

    alignlab grpo --judge my_rewards:right ...

A function is called once for each completion and gets, by name, what it asks for: `prompt` (the last user
turn), `messages` (all turns, as dictionaries), `completion`, `finished` (whether the completion ended by
itself), and every other column of the prompt's row, such as a reference answer. It returns a number, or, where
verdicts are wanted (`alignlab redteam`), one of the labels refusal, partial, compliance and void.

A class is made without arguments and has `score(completions)`, one number or `Score` per completion, or
`verdicts(completions)`, or both: for a judge that reads many at once, or that loads something first.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from .. import plugins
from ..errors import DataError, UserError
from ..records import Completion, Score
from ..text.escapes import one_line
from . import ScoreJudge
from .safety.verdicts import LABELS, Verdict


class OwnJudge(ScoreJudge):
    """A function of the user's as a judge, asked for scores or for verdicts: one in hand, or the one of that
    name.

    Raises:
        UserError: no such module or function, or a module that cannot be imported.
    """

    def __init__(self, name: str, function: Callable[..., Any] | None = None) -> None:
        super().__init__(name)
        self.function = plugins.Function(name, function or plugins.load("judge", name))

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score per completion.

        Raises:
            DataError: the function failed, asked for a column that the row has not, or gave something else
                than a finite number; with the prompt.
        """
        return [self._score(completion) for completion in completions]

    def verdicts(self, completions: Sequence[Completion]) -> list[Verdict]:
        """One verdict per completion. Raises DataError as `score` does, and for what is no label."""
        return [self._verdict(completion) for completion in completions]

    def _score(self, completion: Completion) -> Score:
        return as_score(self._said(completion), self.name, _row(completion))

    def _verdict(self, completion: Completion) -> Verdict:
        return as_verdict(self._said(completion), self.name, _row(completion))

    def _said(self, completion: Completion) -> Any:
        prompt = completion.prompt
        columns = prompt.meta.get("columns") or {}
        offered = {
            **columns,
            "prompt": prompt.text,
            "messages": [message.to_json() for message in prompt.messages],
            "completion": completion.text,
            "finished": completion.finished,
        }
        return self.function(offered, where=_row(completion))


class OwnJudgeOfMany(ScoreJudge):
    """A class of the user's as a judge: made once, asked about many completions at a time."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        with plugins.blamed(name):
            self.judge = plugins.load("judge", name)()

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score per completion. Raises DataError where the class failed, or gave other than one finite number
        or `Score` each.
        """
        return [as_score(value, self.name, row) for value, row in self._asked("score", completions)]

    def verdicts(self, completions: Sequence[Completion]) -> list[Verdict]:
        """One verdict per completion. Raises DataError as `score` does, and for what is no label."""
        return [as_verdict(value, self.name, row) for value, row in self._asked("verdicts", completions)]

    def _asked(self, verb: str, completions: Sequence[Completion]) -> list[tuple[Any, str]]:
        """What the class says of each completion, and which row that is."""
        with plugins.blamed(self.name):
            values = list(getattr(self.judge, verb)(completions))
        if len(values) != len(completions):
            raise DataError(
                f"{self.name} gave {len(values)} {verb} for {len(completions)} completions",
                remedy="return one for every completion, in order",
            )
        return list(zip(values, map(_row, completions), strict=True))


def own_judge(name: str, verb: Literal["score", "verdicts"] = "score") -> OwnJudge | OwnJudgeOfMany:
    """The judge behind a plug-in's name. Raises UserError for a class that has not the verb it is asked by."""
    found = plugins.load("judge", name)
    if not inspect.isclass(found):
        return OwnJudge(name)
    if not callable(getattr(found, verb, None)):
        raise UserError(
            f"{name} is a class that has no method {verb}",
            remedy=f"{verb}(self, completions), one per completion; or name a function",
        )
    return OwnJudgeOfMany(name)


def as_verdict(value: Any, name: str, where: str) -> Verdict:
    """What a plug-in gave as a verdict. Raises DataError unless it is a label, or a `Verdict`."""
    if isinstance(value, Verdict):
        return value
    if value not in LABELS:
        raise DataError(
            f"{name} gave {value!r:.60}, which is no verdict",
            where=where,
            remedy=f"return one of {', '.join(LABELS)} for every completion",
        )
    return Verdict.of(value, float(value in ("refusal", "partial")), reason=f"{name} says so")


def as_score(value: Any, name: str, where: str) -> Score:
    """What a plug-in gave as a score. Raises DataError unless it is a finite number, or a `Score` of one."""
    if isinstance(value, Score):
        return Score(as_score(value.value, name, where).value, value.parts, value.reason)
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(
            f"{name} gave {value!r:.60}, which is no finite number",
            where=where,
            remedy="return a number for every completion",
        )
    return Score(number)


def _row(completion: Completion) -> str:
    return f"the row whose prompt is {one_line(completion.prompt.text, 80)!r}"
