"""A judge that is a function of the user's own: `module:function`, or `python:module:function` where the
module is called as one of our prefixes.

    # my_rewards.py
    def right(completion: str, answer: str) -> float:
        return float(completion.strip().endswith(answer))

    alignlab grpo --judge my_rewards:right ...

It is called once for each completion and gets, by name, what it asks for: `prompt` (the last user turn),
`messages` (all turns, as dictionaries), `completion`, `finished` (whether the completion ended by itself),
and every other column of the prompt's row, such as a reference answer.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from ..errors import DataError, UserError
from ..records import Completion, Score
from ..text.escapes import one_line
from . import ScoreJudge

NAME = re.compile(r"(?:python:)?([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
OURS = (
    "town",
    "reward",
    "ensemble",
    "gated",
    "ai",
    "pool",
    "bot",
    "columns",
    "mix",
    "refusal",
    "canary",
    "nonce",
    "strongreject",
    "harmbench",
    "llamaguard",
)
"""Prefixes of our own names, of whatever kind: a module that is called so needs `python:` before it."""
HOW = "a function of yours as module:function, from a file module.py in this folder or an installed package"


def parse(name: str) -> tuple[str, str] | None:
    """Module and function of a name such as `my_rewards:right`; None for a name that is none."""
    found = NAME.fullmatch(name)
    return (found[1], found[2]) if found and (name.startswith("python:") or found[1] not in OURS) else None


@contextmanager
def _here() -> Iterator[None]:
    """Modules of the folder that the command is given in can be imported, as with `python -m`."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def find(name: str) -> ModuleSpec:
    """Where the module of a name lies; it is not run. Raises UserError if there is none."""
    module, _ = parse(name) or ("", "")
    try:
        with _here():
            spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):  # a package above it that is none
        spec = None
    if spec is None or not os.path.isfile(spec.origin or ""):  # built in, or frozen
        raise UserError(f"there is no module {module!r:.80} for the judge {name!r:.80}", remedy=HOW)
    return spec


def digest(name: str) -> str:
    """SHA-256 of the module's file: a function that was changed makes another run."""
    return hashlib.sha256(Path(find(name).origin or "").read_bytes()).hexdigest()


class OwnJudge(ScoreJudge):
    """A function of the user's as a judge.

    Raises:
        UserError: no such module or function, or a module that cannot be imported.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        module, function = parse(name) or ("", "")
        find(name)
        try:
            with _here():
                found = getattr(importlib.import_module(module), function, None)
        except Exception as error:
            raise UserError(
                f"the module of {name} cannot be imported: {_said(error)}",
                remedy="mend it: python -m " + module,
            ) from error
        if not callable(found):
            raise UserError(f"{module} has no function {function!r}", remedy=HOW)
        self.function: Callable[..., Any] = found
        parameters = inspect.signature(found).parameters.values()
        self.takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self.names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.needed = [
            p.name
            for p in parameters
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.default is p.empty
        ]

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion.

        Raises:
            DataError: the function failed, asked for a column that the row has not, or gave something else
                than a finite number; with the prompt.
        """
        return [Score(self._score(completion)) for completion in completions]

    def _score(self, completion: Completion) -> float:
        prompt = completion.prompt
        columns = prompt.meta.get("columns") or {}
        given = {
            **columns,
            "prompt": prompt.text,
            "messages": [m.to_json() for m in prompt.messages],
            "completion": completion.text,
            "finished": completion.finished,
        }
        where = f"the row whose prompt is {one_line(prompt.text, 80)!r}"
        if missing := [name for name in self.needed if name not in given]:
            raise DataError(
                f"{self.name} asks for {', '.join(missing)}, and the row has no such column",
                where=where,
                remedy=f"it has {', '.join(given)}; give the parameter a default, or add the column to the data",
            )
        try:
            value = self.function(
                **(given if self.takes_all else {name: given[name] for name in self.names if name in given})
            )
        except Exception as error:
            raise DataError(
                f"{self.name} failed: {_said(error)}",
                where=where,
                remedy="mend the function, or take the row out",
            ) from error
        try:
            number = math.nan if isinstance(value, str) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise DataError(
                f"{self.name} gave {value!r:.60}, which is no finite number",
                where=where,
                remedy="return a number for every completion",
            )
        return number


def _said(error: Exception) -> str:
    """The error with the file and line at which it was raised."""
    at = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(at[-1].filename).name}:{at[-1].lineno})" if at else ""
    return f"{type(error).__name__}: {one_line(str(error), 200)}{place}"
