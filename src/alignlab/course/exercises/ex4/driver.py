"""Plays a student's functions in his process: his chain against a critic that says what it is told to say,
and against one who sits on the other side of the pipe.

A chain cannot ask over the pipe while it runs. So what the critic has said so far is sent along; a chain that
asks for more ends there (`Asks`), its question is sent back, and it is played again with the answer. It is
the same chain each time, as its seed is the same.
"""

from __future__ import annotations

import traceback
from types import ModuleType
from typing import Any

FINE = "This is fine."
FAULT = "This helps with something that hurts people."
MOST_ROUNDS = 4
PARTS = ("prompt", "draft", "rounds", "text")
OF_ROUND = ("principle", "critique", "fired", "revision", "finished")


class Asks(BaseException):
    """A chain asks what nobody has answered yet. No `except Exception` of a student's stops it."""


class Scripted:
    """A critic that finds fault with the k-th answer it is shown where `fires[k]` says so, whatever it reads.
    Where it is asked to revise at once, the k-th revision is another text, or is not.
    """

    def __init__(self, fires: list[int]) -> None:
        self.fires = fires
        self.asked: list[dict[str, Any]] = []
        self._turn = self._revisions = 0
        self._latest = ""

    def __call__(
        self, what: str, prompt: str, answer: str, rule: dict[str, Any], critique: str = ""
    ) -> dict[str, Any]:
        self._latest = self._latest or answer
        self.asked.append({"what": what, "critique": critique, "stale": answer != self._latest})
        if what == "critique":
            text = f"{FAULT} {rule['revise']}" if self._fires() else FINE
            return {"text": text, "finished": True}
        if what != "revision":
            raise ValueError(f"ask knows 'critique' and 'revision', not {what!r}")
        if not critique and not self._fires():
            return {"text": answer, "finished": True}
        self._revisions += 1
        self._latest = f"This is revision {self._revisions}."
        return {"text": self._latest, "finished": True}

    def _fires(self) -> int:
        self._turn += 1
        return self.fires[(self._turn - 1) % len(self.fires)]


def whole(chain: Any) -> dict[str, Any]:
    """A chain as a student gives it back, with the parts that one has. Raises ValueError."""
    if not isinstance(chain, dict):
        raise ValueError(f"chain gives back {type(chain).__name__}, and a dictionary is asked for")
    for name in PARTS:
        if name not in chain:
            raise ValueError(f"the chain has no {name!r}")
    for one in chain["rounds"]:
        for name in OF_ROUND:
            if name not in one:
                raise ValueError(f"a round of the chain has no {name!r}")
    if not isinstance(chain["text"], str):
        raise ValueError("the text of the chain is no text")
    return chain


def chain(
    student: Any, fires: list[int], prompt: str, draft: str, rules: Any, rounds: int, seeds: Any
) -> Any:
    """The chain of each seed, and what the scripted critic was asked in it."""
    found: list[dict[str, Any]] = []
    for seed in seeds:
        critic = Scripted(fires)
        made = student.chain(critic, prompt, draft, [dict(rule) for rule in rules], rounds, seed)
        found.append({"chain": whole(made), "asked": critic.asked, "prompt": prompt, "draft": draft})
    return found


def before_after(student: Any, drafts: Any, revisions: Any, verdicts: dict[str, Any]) -> Any:
    """The student's table, by a judge who looks up what is said of each answer."""

    def judge(row: dict[str, Any]) -> dict[str, bool]:
        return dict(verdicts[f"{row['id']} {row['text']}"])

    return student.before_after([dict(row) for row in drafts], [dict(row) for row in revisions], judge)


def keep(student: Any, chain: dict[str, Any]) -> Any:
    return student.keep(chain)


PLAYED = {"chain": chain, "keep": keep, "before_after": before_after}


def key(place: int, what: str, prompt: str, answer: str, rule: str, critique: str) -> str:
    return "\x1f".join([str(place), what, prompt, answer, rule, critique])


def chains(student: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Of each case its chain, or None and under `asks` what it asks next."""
    rounds = max(1, min(MOST_ROUNDS, int(getattr(student, "ROUNDS", 2))))
    found: list[Any] = []
    asks: list[list[Any]] = []
    for place, case in enumerate(given["cases"]):

        def ask(
            what: str, prompt: str, answer: str, rule: dict[str, Any], critique: str = "", place: int = place
        ) -> dict[str, Any]:
            question = (place, what, prompt, answer, rule["id"], critique)
            if key(*question) not in given["said"]:
                raise Asks(question)
            return dict(given["said"][key(*question)])

        rules = [dict(rule) for rule in given["rules"]]
        try:
            found.append(
                whole(student.chain(ask, case["prompt"], case["draft"], rules, rounds, case["seed"]))
            )
        except Asks as asked:
            found.append(None)
            asks.append(list(asked.args[0]))
    return {"chains": found, "asks": asks, "rounds": rounds}


def drive(student: ModuleType, given: dict[str, Any]) -> dict[str, Any]:
    """{"answers"}: what a function gives for each case; or of `chains` what they come to."""
    if given["function"] == "chains":
        return chains(student, given)
    answers: list[dict[str, Any]] = []
    for case in given["cases"]:
        try:
            answers.append({"value": PLAYED[given["function"]](student, *case.values())})
        except Exception as error:  # whatever a student's code raises
            kind, frames = type(error).__name__, traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if frame.filename == student.__file__]
            at = f" (line {lines[-1]} of your file)" if lines else ""
            answers.append({"error": f"{kind}: {str(error)[:200]}{at}", "kind": kind})
    return {"answers": answers}
