"""Records: the figures that claims and drawings of the lecture are made from, thinned, one JSON file each;
and the same figures of a student's own runs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..text.documents import MOST_JSON, Malformed, from_json, read_text

DIGITS, POINTS = 4, 60
NAMES = (
    "name",
    "policy",
    "stack",
    "matter",
    "round",
    "dial",
    "share",
    "examples",
    "queries",
    "beta",
    "agreeing",
)
"""Fields by which the rows of a list are told apart: such a list becomes a table by the first that does."""
_STEP = re.compile(r'"([^"]+)"|([^."]+)')


class NoSuchFigure(LookupError):
    """A path leads nowhere in a record; the text says how far it came and what there is."""


def thin(value: Any) -> Any:
    """The same figures, small and easy to name: numbers of 4 digits; a mean for a mean with its interval;
    rows that have a name as a table by it; lists over `n` as a table `by_n`; at most 60 points of a long
    list; no text that is no name.
    """
    if isinstance(value, Mapping):
        if "mean" in value and ("ci" in value or "n" in value):
            return thin(value["mean"])
        return {name: thin(one) for name, one in _by_n(value).items() if not _is_prose(one)}
    if isinstance(value, list | tuple):
        if value and all(isinstance(row, Mapping) for row in value):
            if by_name := _by_name(value):
                return {name: thin(row) for name, row in by_name.items()}
        if len(value) > POINTS:
            last = len(value) - 1
            value = [value[round(place * last / (POINTS - 1))] for place in range(POINTS)]
        return [thin(one) for one in value if not _is_prose(one)]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def _is_prose(value: Any) -> bool:
    return isinstance(value, str) and (len(value) > 60 or "/" in value)


def _by_n(table: Mapping[str, Any]) -> dict[str, Any]:
    """Lists that run over `n` beside each other become one table by n."""
    counts = table.get("n")
    if not isinstance(counts, list) or len(set(map(str, counts))) != len(counts):
        return dict(table)
    along = {
        name
        for name, other in table.items()
        if isinstance(other, list) and len(other) == len(counts) and name != "n"
    }
    kept = {name: other for name, other in table.items() if name not in along and name != "n"}
    rows = {str(n): {name: table[name][at] for name in sorted(along)} for at, n in enumerate(counts)}
    return kept | {"by_n": rows}


def _by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows by what names them; empty where nothing does."""
    for field in NAMES:
        if not all(field in row for row in rows):
            continue
        named = {_name(row[field]): {k: v for k, v in row.items() if k != field} for row in rows}
        if len(named) == len(rows):
            return named
    return {}


def _name(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " + ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Record:
    """A file of `lecture/record`, or what a student's run says in the same words."""

    name: str
    document: Mapping[str, Any]

    @property
    def seeds(self) -> list[str]:
        return [str(seed) for seed in self.document.get("seeds", [])]

    def find(self, path: str) -> dict[str, float]:
        """The figure at a path of keys, by seed; of a path without `*`, which is one figure of the whole
        record, under "". A key that holds a dot stands in double quotes.

        Raises:
            NoSuchFigure: the path leads nowhere, or to what is no number.
        """
        keys = steps(path)
        if "*" not in keys:
            return {"": self._at(keys, path)}
        place = keys.index("*")
        return {seed: self._at([*keys[:place], seed, *keys[place + 1 :]], path) for seed in self.seeds}

    def at(self, path: str) -> Any:
        """Whatever stands at a path without `*`, for drawings."""
        return self._walk(steps(path), path)

    def _at(self, keys: Sequence[str], path: str) -> float:
        value = self._walk(keys, path)
        if isinstance(value, bool):
            return float(value)
        if not isinstance(value, int | float):
            raise NoSuchFigure(f"{self.name}: {path} is no number")
        return float(value)

    def _walk(self, keys: Sequence[str], path: str) -> Any:
        value: Any = self.document
        for place, key in enumerate(keys):
            if isinstance(value, Mapping) and key in value:
                value = value[key]
            elif (
                isinstance(value, list)
                and re.fullmatch(r"-?\d+", key)
                and -len(value) <= int(key) < len(value)
            ):
                value = value[int(key)]
            else:
                there = ", ".join(map(str, value))[:300] if isinstance(value, Mapping) else "a figure"
                come = ".".join(keys[:place]) or "the record"
                raise NoSuchFigure(f"{self.name}: {path}: {key!r} is not in {come}, which has {there}")
        return value


def steps(path: str) -> list[str]:
    """`a."b 0.3".c` -> a, b 0.3, c."""
    return [quoted or plain for quoted, plain in _STEP.findall(path)]


def paths(value: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Every path to a number, seeds as `*`, with the figure of the first seed; a list is one row."""
    if isinstance(value, Mapping):
        for place, (key, one) in enumerate(value.items()):
            if before == "figures" and place and key.isdigit():
                return
            key = "*" if before == "figures" and key.isdigit() else str(key)
            key = f'"{key}"' if "." in key else key
            yield from paths(one, f"{before}.{key}" if before else key)
    elif isinstance(value, list) and value:
        yield f"{before}.0", f"{value[0]}, and on to .{len(value) - 1}"
    elif isinstance(value, int | float):
        yield before, str(value)


def read(path: Path) -> Record:
    """Raises DataError for what is no record."""
    try:
        document = from_json(read_text(path, MOST_JSON))
    except (OSError, Malformed) as error:
        raise DataError(f"cannot read the record {path.name}: {error}", where=str(path)) from None
    if not isinstance(document, dict) or document.get("schema") != 1 or "figures" not in document:
        raise DataError(f"{path.name} is no record of schema 1", where=str(path), remedy="lecture/record.py")
    return Record(path.stem, document)


def load(folder: Path) -> dict[str, Record]:
    """Every record of `lecture/record`."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.json"))}


def written(document: Mapping[str, Any]) -> str:
    """A record as its file has it: the same letters for the same figures."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=False) + "\n"


def of_study(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A study's summary as a record: its own words on claim and controls, and its figures by seed."""
    kept = (
        "title",
        "question",
        "claim",
        "falsified_by",
        "would_change_my_mind",
        "controls",
        "verdict",
        "bars",
    )
    seconds = sum(stage.get("seconds") or 0.0 for stage in summary.get("stages", []))
    return {
        "seeds": list(summary["seeds"]),
        "measured_on": summary.get("measured_on", ""),
        "seconds": round(seconds),
        **{name: summary[name] for name in kept if summary.get(name)},
        "figures": thin(summary["figures"]),
    }


def of_recipe(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's models and what they scored, without what only its own page shows."""
    models = {}
    for name, scores in summary["models"].items():
        kept = {key: value for key, value in scores.items() if not key.startswith(("by_", "path", "paired"))}
        models[name] = {key: value for key, value in thin(kept).items() if isinstance(value, int | float)}
    return models
