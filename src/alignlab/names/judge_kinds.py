"""Kinds of judges that are made of their name alone: a row each. The others (the town's, reward models, AI
judges, the user's own) are told apart in `judges`.

A new one is a class in `feedback`, with a function that makes it, and a row here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import ModelError
from ..text.nearest import nearest_path
from .weights import sampler


@dataclass(frozen=True, slots=True)
class JudgeKind:
    """What stands before the colon of a judge's name.

    Attributes:
        words: how it is named, for lists of names.
        make: `module:function` below alignlab, called with the name and what stands behind its colon: a text,
            or a sampler of the model that is named there.
        behind: what stands behind the colon; "maybe" is a text or nothing.
        check: raises UserError if what stands there is not there.
        verdicts: it says whether an answer refuses; its scores are made of that.
    """

    words: tuple[str, ...]
    make: str
    behind: Literal["nothing", "maybe", "model"] = "maybe"
    check: Callable[[str], None] = lambda _: None
    verdicts: bool = True

    def takes(self, behind: str) -> bool:
        """Whether this may stand behind the colon."""
        return self.behind == "maybe" or bool(behind) == (self.behind == "model")


def _file_of_weights(name: str) -> None:
    if name and not Path(name).is_file():
        remedy = nearest_path(Path(name)) or "check the path"
        raise ModelError("there is no file of weights", where=name, remedy=remedy)


def _rubric(name: str) -> JudgeKind:
    return JudgeKind((f"{name}:MODEL",), "feedback.safety.rubrics:named", "model", sampler)


KINDS: dict[str, JudgeKind] = {
    "constant": JudgeKind(("constant",), "feedback:constant", "nothing", verdicts=False),
    "refusal": JudgeKind(
        ("refusal", "refusal:FILE"), "feedback.safety.refusal:named", check=_file_of_weights
    ),
    "canary": JudgeKind(("canary:TEXT",), "feedback.safety.planted:named"),
    "nonce": JudgeKind(("nonce:TEXT",), "feedback.safety.planted:named"),
    "expected": JudgeKind(("expected",), "feedback.safety.planted:named"),
    "strongreject": _rubric("strongreject"),
    "harmbench": _rubric("harmbench"),
    "llamaguard": _rubric("llamaguard"),
}


def words(*, verdicts: bool) -> tuple[str, ...]:
    """How the judges of verdicts are named, or those that only score."""
    listed: list[str] = []
    for kind in KINDS.values():
        if kind.verdicts == verdicts:
            listed += kind.words
    return tuple(listed)


def kind_of(name: str) -> JudgeKind | None:
    """The kind of a name, if it is one of these and has behind its colon what belongs there."""
    kind, _, behind = name.partition(":")
    row = KINDS.get(kind)
    return row if row and row.takes(behind) else None
