"""Claims: a sentence, the figures that fill it, and what must hold of them in every seed.

A figure on a page is never typed: it is a path into a record. What a claim says `holds` is arithmetic on its
own values, read by `ast` and computed here; nothing of it is run as code.
"""

from __future__ import annotations

import ast
import operator
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..evals.statistics import seeds_summary
from .places import tables
from .records import NoSuchFigure, Record

FIELDS = {"text", "record", "values", "holds", "says", "seeds"}
_SPREAD = re.compile(r"±(\+?)(?:\.(\d))?f?$")
_PLAIN = re.compile(r"\+?,?(?:\.\d)?[df%]?$")


class BadClaim(DataError):
    """A claim that cannot be shown: a path that leads nowhere, a value that nobody gives, a sum that is
    none.
    """


@dataclass(frozen=True)
class Claim:
    """A claim of `lecture/claims`, on its record.

    Attributes:
        text: the sentence, with {value:format}; a format with ± shows mean ± standard deviation.
        values: by name the path of a figure.
        holds: arithmetic and comparisons over the values, true in every seed where the claim stands.
        says: what would show the contrary, in a sentence.
        seeds: in how many seeds it holds, where not in all: a bar that was missed is told as it is.
    """

    id: str
    text: str
    record: Record
    values: Mapping[str, str]
    holds: str
    says: str = ""
    seeds: int | None = None
    file: str = ""
    _found: dict[str, dict[str, float]] = field(default_factory=dict, compare=False, repr=False)

    def value(self, name: str) -> dict[str, float]:
        """A figure by seed; under "" where it is one of the whole record.

        Raises:
            BadClaim: the claim has none of that name, or its path leads nowhere.
        """
        if name not in self._found:
            if name not in self.values:
                raise self._bad(f"there is no value {name!r}")
            try:
                self._found[name] = self.record.find(self.values[name])
            except NoSuchFigure as reason:
                raise self._bad(str(reason)) from None
        return self._found[name]

    @cached_property
    def by_seed(self) -> dict[str, dict[str, float]]:
        """All values in each seed; of a claim on figures of the whole record, once, under ""."""
        found = {name: self.value(name) for name in self.values}
        seeds = [seed for seed in self.record.seeds if any(seed in one for one in found.values())] or [""]
        return {
            seed: {name: one.get(seed, one.get("", float("nan"))) for name, one in found.items()}
            for seed in seeds
        }

    @cached_property
    def held(self) -> dict[str, bool]:
        """Whether it holds, by seed."""
        try:
            return {seed: bool(computed(self.holds, values)) for seed, values in self.by_seed.items()}
        except (ValueError, ArithmeticError) as reason:
            raise self._bad(f"holds = {self.holds!r}: {reason}") from None

    @property
    def stands(self) -> bool:
        """In every seed, or in as many as it says."""
        held = sum(self.held.values())
        return held == (len(self.held) if self.seeds is None else self.seeds)

    @property
    def verdict(self) -> str:
        if list(self.held) == [""]:
            return "one figure of all seeds together" if self.stands else "does not hold"
        return f"held in {sum(self.held.values())} of {len(self.held)} seeds"

    def sentence(self) -> str:
        """The text with its figures."""
        shown = []
        for before, name, how, _ in string.Formatter().parse(self.text):
            shown.append(before)
            if name is not None:
                shown.append(self.shown(name, how or ""))
        return "".join(shown)

    def shown(self, name: str, how: str = "") -> str:
        """A figure as people read it: `.2f` is the mean over seeds, `±.2f` mean ± standard deviation, `+`
        shows the sign, `d` a whole number, `%` a share in percent.
        """
        values = list(self.value(name).values())
        if spread := _SPREAD.match(how):
            over = seeds_summary(values)
            digits = spread[2] or "2"
            mean = _number(over["mean"], f"{spread[1]}.{digits}f")
            return mean if over["sd"] is None else f"{mean} ± {over['sd']:.{digits}f}"
        if not _PLAIN.match(how):
            raise self._bad(
                f"{{{name}:{how}}} is no way to show a figure", "as in {x:.2f}, {x:+.3f}, {x:±.2f}, {x:d}"
            )
        return _number(sum(values) / len(values), how or ".2f")

    def shown_as_in_text(self, name: str, how: str = "") -> str:
        """A figure as `how` says, or else as the claim's own sentence shows it, without its deviation."""
        found = re.search(rf"\{{{re.escape(name)}:([^}}]+)\}}", self.text)
        return self.shown(name, how.strip() or (found[1].replace("±", "") if found else ""))

    @property
    def named(self) -> list[str]:
        """The values that its sentence shows."""
        return [name for _, name, _, _ in string.Formatter().parse(self.text) if name]

    def _bad(self, what: str, remedy: str = "") -> BadClaim:
        return BadClaim(f"the claim {self.id}: {what}", where=self.file, remedy=remedy)


def load(folder: Path, records: Mapping[str, Record]) -> tuple[dict[str, Claim], list[DataError]]:
    """The claims of `lecture/claims/*.toml`, and what is wrong with those that are none."""
    found: dict[str, Claim] = {}
    wrong: list[DataError] = []
    for path, table in tables(folder):
        for name, row in table.items():
            try:
                if name in found:
                    raise BadClaim(f"two claims are called {name}", where=str(path))
                found[name] = _claim(name, row, records, str(path))
            except DataError as error:
                wrong.append(error)
    return found, wrong


def _claim(name: str, row: Any, records: Mapping[str, Record], file: str) -> Claim:
    def bad(what: str, remedy: str = "") -> BadClaim:
        return BadClaim(f"the claim {name}: {what}", where=file, remedy=remedy)

    if not isinstance(row, dict):
        raise bad("is no table", f"[{name}]")
    if missing := {"text", "record", "values", "holds"} - row.keys():
        raise bad(f"has no {', '.join(sorted(missing))}")
    if unknown := row.keys() - FIELDS:
        raise bad(f"does not know {', '.join(sorted(unknown))}", f"one of: {', '.join(sorted(FIELDS))}")
    if row["record"] not in records:
        raise bad(f"there is no record {row['record']!r}", f"one of: {', '.join(records)}")
    values = row["values"]
    if not isinstance(values, dict) or not all(isinstance(path, str) for path in values.values()):
        raise bad("values are names with paths", '{ gain = "figures.*.gain" }')
    seeds = row.get("seeds")
    if seeds is not None and (not isinstance(seeds, int) or isinstance(seeds, bool)):
        raise bad("seeds is in how many it holds", "seeds = 2")
    return Claim(
        name, row["text"], records[row["record"]], values, row["holds"], row.get("says", ""), seeds, file
    )


def _number(value: float, how: str) -> str:
    """A number with a minus of its own width, and none before what rounds to 0."""
    shown = f"{round(value) if how.endswith('d') else value:{how}}"
    if not re.search("[1-9]", shown):
        shown = shown.lstrip("-")
    return shown.replace("-", "−")


_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_CALLED: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max}


def computed(text: str, values: Mapping[str, float]) -> Any:
    """Arithmetic, comparisons, and, or, not, abs, min and max over named values.

    Raises:
        ValueError: it is anything else, or names a value that is not there.
    """
    if len(text) > 500:
        raise ValueError("it is longer than 500 letters")
    try:
        return _computed(ast.parse(text, mode="eval").body, values)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("it is no arithmetic") from None


def _computed(node: ast.AST, values: Mapping[str, float]) -> Any:
    def of(one: ast.AST) -> Any:
        return _computed(one, values)

    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            if name not in values:
                raise ValueError(f"there is no value {name!r}")
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=one):
            return -of(one)
        case ast.UnaryOp(op=ast.Not(), operand=one):
            return not of(one)
        case ast.BoolOp(op=ast.And(), values=parts):
            return all([of(part) for part in parts])
        case ast.BoolOp(values=parts):
            return any([of(part) for part in parts])
        case ast.BinOp(left=left, op=how, right=right) if type(how) in _BINARY:
            return _BINARY[type(how)](of(left), of(right))
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _BINARY for op in ops):
            sides = [of(left), *map(of, others)]
            return all(_BINARY[type(op)](a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _CALLED and args:
            return _CALLED[name](*map(of, args))
    raise ValueError(f"{ast.unparse(node)!r:.60} is no arithmetic")
