"""A student's functions as the driver plays them, and a failing case in lines short enough to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...grade.exercise import Finding, Function
from ...grade.match import distance, judged, oracle, parts, separating
from ...grade.runner import Answer, Asked, Case
from .oracle import COLUMNS, KINDS, read_table


class Played:
    """A student's functions as the driver plays them."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    def calls(self, function: str, cases: Sequence[Case], gradient: str = "") -> list[Answer]:
        said = self.asked.drive("play", {"function": function, "cases": list(cases)})
        if isinstance(rows := said.get("answers"), list) and len(rows) == len(cases):
            return [Answer.of(row) for row in rows]
        return [Answer.of({"error": "gave no answer", **said})] * len(cases)

    def drive(self, driver: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return self.asked.drive(driver, given)


def agrees_played(function: Function) -> Callable[[Asked, int, dict[str, Any]], Finding | None]:
    """The check that a student's function gives what the oracle gives when it is played."""

    def check(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
        cases, played = separating(function, seed), Played(asked)
        answers = played.calls(function.name, cases)
        found = judged(function, played, cases, answers, False)
        if found is None or not found.example:
            return found
        return replace(found, example=_example(function, cases, answers))

    return check


def _example(function: Function, cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[str, ...]:
    """The first case on which an answer is not ours, in lines short enough to read."""
    for case, answer in zip(cases, answers, strict=True):
        ours = oracle(function, case)
        if distance(parts(function, answer, False), parts(function, ours, False)) > function.tolerance:
            show = SHOWN[function.name]
            return (*show(case, "yours", answer.value), *show(case, "ours", ours.value))
    return ()


# --- a case as a student reads it


def shown_chains(case: dict[str, Any], whose: str, value: Any) -> list[str]:
    """Of two seeds what each round was asked by, whether it fired, and what it left."""
    lines: list[str] = []
    for at in (0, 2):
        row, rounds = value[at], list[str]()
        for one in row["chain"]["rounds"]:
            word = "fired" if one["fired"] else "fine"
            left = "the draft" if one["revision"] == row["draft"] else one["revision"]
            rounds.append(f"{one['principle']} ({word}) -> {left}")
        stale = sum(each["stale"] for each in row["asked"])
        lines.append(f"{whose}, seed {case['seeds'][at]}: {'; '.join(rounds)}")
        lines.append(f"  to learn from: {row['chain']['prompt']} -> {row['chain']['text'][:40]}")
        if stale:
            lines.append(
                f"  {stale} of {len(row['asked'])} questions were about another answer than the latest"
            )
    return lines


def shown_table(case: dict[str, Any], whose: str, value: Any) -> list[str]:
    """Both rows on a line each."""
    lines: list[str] = []
    for name, numbers in zip(KINDS, read_table(value), strict=True):
        cells = (f"{column} {number:.3f}" for column, number in zip(COLUMNS, numbers, strict=True))
        lines.append(f"{whose}, {name}: {', '.join(cells)}")
    return lines


def shown_kept(case: dict[str, Any], whose: str, value: Any) -> list[str]:
    """What the chain came to, and what is said of it."""
    chain = case["chain"]
    last = chain["rounds"][-1]
    came = f"fired {last['fired']}, finished {last['finished']}, text {chain['text']!r}"
    return [f"the last round: {came}"] * (whose == "yours") + [f"{whose}: {value!r}"]


SHOWN = {"chain": shown_chains, "keep": shown_kept, "before_after": shown_table}
