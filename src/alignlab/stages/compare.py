"""Runs beside each other: the settings and figures in which they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import UserError
from ..names.weights import check_finished
from ..report.words import mean_of
from ..run import RunInfo, read_run
from ..text.escapes import one_line
from ..text.figures import with_interval
from .figures import FIGURES


def compare_runs(names: Sequence[str]) -> dict[str, Any]:
    """What several finished runs have otherwise: settings, and figures side by side; of evaluations also the
    difference from the first, prompt by prompt.
    """
    if len(names) < 2:
        raise UserError(
            f"{'one run is' if names else 'no runs are'} named, and two or more are compared",
            remedy="alignlab runs compare RUN RUN",
        )
    for name in names:
        check_finished(name)
    infos = [read_run(name) for name in names]
    settings, figures = different(infos), figures_beside(infos)
    pairs = paired(infos)
    titles = [one_line(name) for name in names]
    shared = {key: values for key, values in settings.items() if None not in values}
    lines = ["settings that differ:" if shared else "no setting differs"]
    for key, values in shared.items():
        lines += [
            f"  {one_line(key)}",
            *(
                f"    {title}  {one_line(str(value))}"
                for title, value in zip(padded(titles), values, strict=True)
            ),
        ]
    if rest := len(settings) - len(shared):
        lines.append(f"  and {rest} that not all of them have (--json shows them)")
    lines += ["", "figures:" if figures else "they have no figure in common"]
    for key, values in figures.items():
        lines += [
            f"  {one_line(key)}",
            *(
                f"    {title}  {figure(value)}"
                for title, value in zip(padded(titles), values, strict=True)
                if value is not None
            ),
        ]
    if any(pairs):
        lines += ["", f"difference from {titles[0]}, over what both measured:"]
        for title, found in zip(titles[1:], pairs, strict=True):
            lines += [
                f"  {title}",
                *(f"    {one_line(key)}  {difference(value)}" for key, value in found.items()),
            ]
            lines += [] if found else ["    nothing that both measured"]
    return {
        "runs": list(names),
        "settings": settings,
        "figures": figures,
        "paired": dict(zip(names[1:], pairs, strict=True)) if pairs else {},
        "text": "\n".join(lines),
    }


def different(infos: Sequence[RunInfo]) -> dict[str, list[Any]]:
    """Settings and options that are not the same in all runs, by dotted name: the value of each, None where
    it has none.
    """
    flat = [dict(flattened({**info.config, "stage": info.stage, "seed": info.seed})) for info in infos]
    keys = dict.fromkeys(key for row in flat for key in row)
    return {
        key.removeprefix("settings."): [row.get(key) for row in flat]
        for key in keys
        if len({repr(row.get(key)) for row in flat}) > 1
    }


def flattened(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def figures_beside(infos: Sequence[RunInfo]) -> dict[str, list[Any]]:
    """Figures that two runs or more have, the main ones first: numbers, or means with their intervals."""
    keys = [*FIGURES, *dict.fromkeys(key for info in infos for key in info.summary if key not in FIGURES)]
    rows = {
        key: [info.summary.get(key) if mean_of(info.summary.get(key)) is not None else None for info in infos]
        for key in keys
    }
    return {key: values for key, values in rows.items() if sum(value is not None for value in values) > 1}


def paired(infos: Sequence[RunInfo]) -> list[dict[str, Any]]:
    """Of each run but the first: how its figures differ from the first run's over the same answers or
    records, means by prompt, with interval, n and p; none where the first measured none.
    """
    from ..evals.statistics import paired_difference

    first = measured(infos[0])
    if not first:
        return []
    found = []
    for info in infos[1:]:
        row: dict[str, Any] = {}
        for figure, values in measured(info).items():
            if both := [key for key in values if key in first.get(figure, {})]:
                row[figure] = paired_difference(
                    [values[key].value for key in both],
                    [first[figure][key].value for key in both],
                    [values[key].prompt for key in both],
                )
        found.append(row)
    return found


class Measured(NamedTuple):
    """What was measured of an answer or record, and whose prompt's: answers to one prompt are one
    observation together, as in an evaluation's own figures.
    """

    value: float
    prompt: str


def measured(info: RunInfo) -> dict[str, dict[str, Measured]]:
    """Figure, then answer or record, to the value: of runs of eval and likelihood, which keep them."""
    found: dict[str, dict[str, Measured]] = {}
    if info.stage not in ("eval", "likelihood"):
        return found
    times: Counter[str] = Counter()  # answers to one prompt are paired in the order in which they came
    for row in info.samples:
        if "decoding" in row:
            figure = f"gold, {row['decoding']}"
            times[key := f"{figure} {row['id']}"] += 1
            answer = f"{row['id']}#{times[key]}"
            found.setdefault(figure, {})[answer] = Measured(row["gold"], row["id"])
        elif "figure" in row:
            prompt = row.get("prompt", row["record"])
            found.setdefault(row["figure"], {})[row["record"]] = Measured(row["value"], prompt)
    return found


def figure(value: Any) -> str:
    """A figure, with its interval if it has one."""
    return with_interval(value) if isinstance(value, Mapping) else f"{value:.4g}"


def difference(value: Mapping[str, Any]) -> str:
    """A paired difference with its interval, n and p: one pair has no p."""
    said = f"{with_interval(value, sign='+')} (n = {value['n']}"
    if value["p"] is not None:
        said += f", p = {value['p']:.2g}"
    return f"{said})"


def padded(texts: Sequence[str]) -> list[str]:
    return [text.ljust(max(map(len, texts))) for text in texts]
