"""Which mistake a wrong answer is: mistakes are hypotheses, and each is tried on the same inputs."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...run import derive_seed
from .child import called
from .exercise import NOTHING, Finding, Function
from .runner import Answer, Asked, Case

APART = 1e-3  # so far do two hypotheses differ on a case that tells them apart
MOST_CASES = 12
LEAST_CASES = 6
SURE, LIKELY = 1.0, 0.75  # shares of the cases on which an answer equals that of a mistake
PUBLIC = 0  # the seed of the cases that fingerprints are taken of


def generator(seed: int, *names: str | int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, "exercise", *names))


# --- answers


def parts(function: Function, answer: Answer, gradient: bool) -> list[Tensor] | None:
    """The numbers of an answer in float64; None where it is an error or holds what is no number."""
    if answer.error:
        return None
    try:
        found = list(_flat(function.read(answer.value)))
    except (TypeError, ValueError, RuntimeError, LookupError):
        return None
    if gradient:
        found.append(torch.zeros(1) if answer.gradient is None else answer.gradient.to(torch.float64))
    return found


def _flat(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value.to(torch.float64)
    elif isinstance(value, (list, tuple)):
        if all(isinstance(item, (int, float)) for item in value):
            yield torch.tensor(value, dtype=torch.float64)
        else:
            for item in value:
                yield from _flat(item)
    elif isinstance(value, dict):
        yield from _flat([value[key] for key in sorted(value)])
    elif value is None:
        yield torch.tensor(float("nan"))
    else:
        yield torch.tensor(float(value), dtype=torch.float64)


def distance(one: list[Tensor] | None, other: list[Tensor] | None) -> float:
    """The largest difference of two answers, of the largest number of the second or of 1, whichever is more.
    Infinite for answers of unlike shapes, or where one is no number and the other is.
    """
    if one is None or other is None or len(one) != len(other):
        return 0.0 if one is other else float("inf")
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        if a.shape != b.shape:
            a_none = a.numel() == 1 and not a.any()  # no gradient came: as good as zeros
            if not (a_none or (b.numel() == 1 and not b.any())):
                return float("inf")
            a, b = torch.broadcast_tensors(a, b)
        if not torch.equal(a.isfinite(), b.isfinite()):
            return float("inf")
        inside = a.isfinite()
        if inside.any():
            scale = max(1.0, b[inside].abs().max().item())
            worst = max(worst, (a - b)[inside].abs().max().item() / scale)
    return worst


def oracle(function: Function, case: Case, but: frozenset[str] = NOTHING) -> Answer:
    """What the right function says, or one with these mistakes or in this form."""
    try:
        said = called(lambda *args: function.right(*args, but=but), case, function.gradient)
    except (RuntimeError, ValueError, LookupError, ArithmeticError) as error:
        return Answer(error=type(error).__name__)
    return Answer.of(said)


# --- cases


def separating(function: Function, seed: int) -> list[Case]:
    """At most twelve inputs on which the right function and its mistakes differ pairwise.

    Raises:
        ValueError: two of them that no input drawn tells apart: then one of them is no mistake.
    """
    hypotheses = [NOTHING, *(frozenset({name}) for name in function.mistakes)]
    together = set(itertools.combinations(range(len(hypotheses)), 2))
    chosen: list[Case] = []
    for n in range(400):
        if len(chosen) >= LEAST_CASES and not together:
            return chosen
        case = function.draw(generator(seed, function.name, n))
        said = [parts(function, oracle(function, case, but), bool(function.gradient)) for but in hypotheses]
        told = {(i, j) for i, j in together if distance(said[i], said[j]) > APART}
        if told or (len(chosen) < LEAST_CASES):
            chosen.append(case)
            together -= told
        if len(chosen) == MOST_CASES:
            break
    if together:
        pairs = ", ".join(f"{set(hypotheses[i])} and {set(hypotheses[j])}" for i, j in sorted(together))
        raise ValueError(f"{function.name}: no input tells apart {pairs}")
    return chosen


# --- judging


def agrees(
    function: Function, gradient: bool = False
) -> Callable[[Asked, int, dict[str, Any]], Finding | None]:
    """The check that a student's function gives what the oracle gives, in one of its forms."""

    def check(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
        cases = separating(function, seed)
        return judged(function, asked, cases, asked.calls(function.name, cases, function.gradient), gradient)

    return check


def judged(
    function: Function, asked: Asked, cases: Sequence[Case], answers: Sequence[Answer], gradient: bool
) -> Finding | None:
    """What is wrong with a function's answers, or None. With `gradient` its gradient counts too."""
    said = [parts(function, answer, gradient) for answer in answers]

    def fails(but: frozenset[str]) -> list[int]:
        right = [parts(function, oracle(function, case, but), gradient) for case in cases]
        return [i for i in range(len(cases)) if not distance(said[i], right[i]) <= function.tolerance]

    wrong = min((fails(form) for form in (NOTHING, *function.forms)), key=len)
    if not wrong:
        return None
    if errors := [answer for answer in answers if answer.error]:
        first = errors[0]
        if first.unwritten:
            return Finding(f"{function.name} is not written yet", unwritten=True)
        return Finding(
            f"{function.name} {_stopped(first.error)}", fingerprint=_hash(first.error.split(":")[0])
        )
    if all(answer.value is None for answer in answers):
        return Finding(f"{function.name} gives back nothing yet", unwritten=True)
    if any(numbers is None for numbers in said):
        return Finding(f"{function.name} gives back something that is no number")
    example = smallest(function, asked, cases[wrong[0]], gradient)
    found = Finding(f"{function.name} differs on {len(wrong)} of {len(cases)} inputs", example)
    found = named(function, asked, cases, answers, found)
    ours = parts(function, oracle(function, cases[wrong[0]]), gradient)
    mine, right = _shapes(said[wrong[0]]), _shapes(ours)
    if not found.mistakes and mine != right:
        return replace(found, text=f"{function.name} gives {mine}, where {right} is asked for")
    return found


def _shapes(numbers: list[Tensor] | None) -> str:
    return " and ".join(str(tuple(part.shape)) for part in numbers or ())


def _stopped(error: str) -> str:
    """An error as what follows a function's name."""
    return f"stopped: {error}" if re.match(r"\w+(Error|Exception|Interrupt|Exit)\b", error) else error


def named(
    function: Function, asked: Asked, cases: Sequence[Case], answers: Sequence[Answer], found: Finding
) -> Finding:
    """The finding with its likely mistake, or with the nearest and a fingerprint where none is known."""
    with_gradient = bool(function.gradient)
    said = [parts(function, answer, with_gradient) for answer in answers]
    forms = (NOTHING, *function.forms)
    single = [frozenset({name}) for name in function.mistakes]
    double = [frozenset(pair) for pair in itertools.combinations(function.mistakes, 2)]
    best: tuple[float, float, frozenset[str]] = (-1.0, 0.0, NOTHING)
    for mistakes in [*single, *double]:
        for form in forms:
            far = [
                distance(mine, parts(function, oracle(function, case, mistakes | form), with_gradient))
                for mine, case in zip(said, cases, strict=True)
            ]
            share = sum(d <= function.tolerance for d in far) / len(far)
            nearness = -sum(min(d, 10.0) for d in far) / len(far)
            # fewer mistakes explain as well as more
            if (share, nearness - 1e-6 * len(mistakes)) > best[:2]:
                best = share, nearness - 1e-6 * len(mistakes), mistakes
        if best[0] == SURE and len(best[2]) == 1:
            break
    share, _, mistakes = best
    if share >= LIKELY:
        names = tuple(name for name in function.mistakes if name in mistakes)
        count = (round(share * len(cases)), len(cases))
        return Finding(found.text, found.example, names, count)
    nearest = next((name for name in function.mistakes if name in mistakes), "")
    return Finding(found.text, found.example, nearest=nearest, fingerprint=fingerprint(function, asked))


def fingerprint(function: Function, asked: Asked) -> str:
    """What a function does on inputs that are the same for everybody, as a short id."""
    cases = list(_public(function))
    rows: list[str] = []
    for answer in asked.calls(function.name, cases, function.gradient):
        numbers = parts(function, answer, bool(function.gradient))
        rows.append(answer.error.split(":")[0] if numbers is None else _rounded(numbers))
    return _hash(function.name, *rows)


@cache
def _public(function: Function) -> tuple[Case, ...]:
    return tuple(separating(function, PUBLIC))


def _rounded(numbers: list[Tensor]) -> str:
    return " ".join(f"{x + 0.0:.2f}" for part in numbers for x in part.flatten().tolist())


def _hash(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:8]


# --- the smallest case


def smallest(function: Function, asked: Asked, case: Case, gradient: bool) -> tuple[str, ...]:
    """Lines: a failing case with as few rows and tokens as it fails with, the student's answer and ours."""
    while True:
        tried = list(_smaller(function, case))
        answers = asked.calls(function.name, tried, function.gradient) if tried else []
        still = (c for c, answer in zip(tried, answers, strict=True) if _fails(function, c, answer, gradient))
        if (next_case := next(still, None)) is None:
            break
        case = next_case
    [yours] = asked.calls(function.name, [case], function.gradient)
    ours = oracle(function, case)
    lines = [f"{name} = {shown(value)}" for name, value in case.items()]
    lines += [f"yours: {shown(yours.value)}", f"ours:  {shown(ours.value)}"]
    if gradient:
        name = function.gradient
        lines += [f"your gradient by {name}: {shown(yours.gradient)}", f"ours: {shown(ours.gradient)}"]
    return tuple(lines)


def _fails(function: Function, case: Case, answer: Answer, gradient: bool) -> bool:
    mine = parts(function, answer, gradient)
    return mine is not None and not any(
        distance(mine, parts(function, oracle(function, case, form), gradient)) <= function.tolerance
        for form in (NOTHING, *function.forms)
    )


def _smaller(function: Function, case: Case) -> Iterable[Case]:
    """The case without one block of rows, or without one column."""
    shapes = {name: name.rpartition("_")[2] for name, value in case.items() if isinstance(value, Tensor)}
    for letter in ("B", "T"):
        sized = {name: shape.index(letter) for name, shape in shapes.items() if letter in shape}
        if not sized:
            continue
        name, axis = next(iter(sized.items()))
        size, step = (
            case[name].shape[axis],
            int(case[function.block]) if letter == "B" and function.block else 1,
        )
        for at in range(0, size if size > step else 0, step):
            keep = torch.tensor([i for i in range(size) if not at <= i < at + step])
            less = {n: case[n].index_select(i, keep) for n, i in sized.items()}
            masks = [value for n, value in (case | less).items() if n.startswith("mask")]
            if all((mask != 0).any(-1).all() for mask in masks):
                yield case | less


def shown(value: Any) -> str:
    """A value on one line, three digits a number."""
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        more = ", ..." if len(value) > 12 else ""
        return "[" + ", ".join(shown(item) for item in value[:12]) + more + "]"
    return f"{value:.3f}" if isinstance(value, float) else str(value)[:200]
