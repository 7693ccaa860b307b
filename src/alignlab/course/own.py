"""A student's own runs, in the words of the lecture's records: the same claims, with figures of his."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError, UserError
from ..text.documents import MOST_JSON, Malformed, from_json, read_text
from .claims import Claim
from .course import Course
from .records import Record, of_recipe, of_study
from .writing import own_figures

DEEP = 3  # folders below the one that is named


def of_runs(folder: Path) -> dict[str, Record]:
    """Records by name, from the finished studies and recipes at or below a folder.

    Raises:
        UserError: there is no such folder. DataError: a summary is none.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}", remedy="--runs FOLDER, of your runs")
    documents: dict[str, dict[str, Any]] = {}
    for place, summary in _summaries(folder):
        for name, document in _documents(summary):
            new: dict[str, Any] = {"schema": 1, "name": name, "seeds": [], "figures": {}, "folders": []}
            have = documents.setdefault(name, new)
            have["folders"].append(str(place.resolve()))
            for seed, found in document["figures"].items():
                have["figures"].setdefault(seed, {}).update(found)
            have["seeds"] = sorted({*have["seeds"], *document["seeds"]}, key=str)
    return {name: Record(name, document) for name, document in documents.items()}


def _summaries(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for depth in range(DEEP + 1):
        for path in sorted(folder.glob("/".join([*"*" * depth, "summary.json"]))):
            try:
                summary = from_json(read_text(path, MOST_JSON))
            except (OSError, Malformed) as error:
                raise DataError(f"cannot read {path}: {error}", where=str(path)) from None
            if isinstance(summary, dict):
                yield path.parent, summary


def _documents(summary: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records that a summary can fill; none for that of a single stage."""
    figures, models = summary.get("figures"), summary.get("models")
    if isinstance(summary.get("study"), str) and isinstance(figures, dict) and summary.get("seeds"):
        yield summary["study"], of_study(summary)
    elif isinstance(summary.get("recipe"), str) and isinstance(models, dict) and "seed" in summary:
        seed, found = str(summary["seed"]), of_recipe(summary)
        yield "recipes", {"seeds": [seed], "figures": {seed: {summary["recipe"]: found}}}
        if summary["recipe"] == "instructgpt":
            named = {name.replace("_", "-"): scores for name, scores in found.items()}
            yield "results", {"seeds": [seed], "figures": {seed: named}}


def beside(course: Course) -> list[tuple[Claim, str]]:
    """The claims of whose sentence the reader's runs give every figure, with these figures."""
    rows = [(claim, own_figures(claim, course)) for claim in course.claims.values()]
    return [(claim, figures) for claim, figures in rows if figures]
