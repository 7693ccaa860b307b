"""Runs that are there: listed with their figures, examined by the rules, compared with each other."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import CheckFailed, DataError, UserError
from ..names.known import check_finished
from ..report.words import judge_of, mean_of
from ..run import RunInfo, examine_run, find_folders, read_run
from ..run import list_runs as find_runs
from ..text.escapes import one_line
from .verify import verify_runs

FIGURES = {
    "gold": "gold",
    "gold_sampled": "gold at T = 1",
    "eval_loss": "loss",
    "accuracy": "accuracy",
    "score_last": "score",
    "proxy_last": "proxy",
    "gold_last": "gold",
    "proxy": "proxy",
    "kl_last": "KL",
    "kl_from_sft": "KL",
    "text_loss": "text loss",
    "loss": "loss",
    "chosen_likelier": "chosen likelier",
    "compliance_with_harm": "helps harm",
    "over_refusal": "over-refusal",
    "rankings": "rankings",
    "demonstrations": "demonstrations",
    "revisions": "revisions",
    "comparisons": "pairs",
    "members": "members",
}
"""Figures of a summary that say most of a run, in the order in which they are looked for, and what they are called in a list."""
DEFAULT = "runs"  # which need not be there yet
ORDER = ("done", "running", "stopped")
USAGE = "alignlab runs FOLDER, runs doctor RUN, runs verify RUN, or runs compare RUN RUN"


def list_runs(*, words: str | Sequence[str]) -> dict[str, Any]:
    """`alignlab runs FOLDER`: the runs below a folder, those that are done first, newest first. `runs
    doctor`, `verify` and `compare` look closer.
    """
    folder, *rest = [words] if isinstance(words, str) else words
    if folder in CLOSER:
        return CLOSER[folder](rest)
    if rest:
        raise UserError(f"runs takes one folder, not {1 + len(rest)}", where=" ".join(rest), remedy=USAGE)
    if folder != DEFAULT and not Path(folder).exists() and not find_folders(Path(folder)):
        raise DataError(
            "there is no such folder",
            where=folder,
            remedy="alignlab runs FOLDER, one that runs were written to (--out)",
        )
    found = sorted(
        find_runs(folder), key=lambda info: ORDER.index(info.status)
    )  # stable: newest first within each
    rows = [
        {
            "run": str(info.path),
            "stage": info.stage,
            "status": info.status,
            "seed": info.seed,
            "seconds": info.seconds,
            "figures": figures_of(info),
        }
        for info in found
    ]
    return {
        "runs": rows,
        "text": "\n".join(listed(rows, Path(folder))) or f"no runs below {one_line(str(folder))}",
    }


def figures_of(info: RunInfo) -> dict[str, float]:
    """The main figures of a run's summary by the names of a list; none of an unfinished one."""
    found: dict[str, float] = {}
    gold = judge_of(info) if info.stage == "eval" else "gold"
    for key, name in FIGURES.items():
        if (value := mean_of(info.summary.get(key))) is not None:
            found.setdefault(name.replace("gold", gold), value)
    return found


def listed(rows: Sequence[Mapping[str, Any]], folder: Path) -> Iterator[str]:
    """A line a run: name, stage, time, figures; what does not fit stands below."""
    width = shutil.get_terminal_size((80, 24)).columns
    names = [
        one_line(
            str(
                Path(row["run"]).relative_to(folder)
                if Path(row["run"]).is_relative_to(folder) and row["run"] != str(folder)
                else row["run"]
            )
        )
        for row in rows
    ]
    wide, stages = (
        min(28, max(map(len, names), default=0)),
        min(16, max((len(row["stage"]) for row in rows), default=0)),
    )
    status = ""
    for name, row in zip(names, rows, strict=True):
        if row["status"] != status:
            status = row["status"]
            yield f"{status}:"
        figures = ", ".join(f"{key} {value:.4g}" for key, value in list(row["figures"].items())[:4])
        if len(name) > wide:
            yield f"  {name}"
            name = ""
        lead = f"  {name:<{wide}}  {one_line(row['stage']):<{stages}} {duration(row['seconds']):>7}  "
        first, *more = textwrap.wrap(figures, max(20, width - len(lead))) or [""]
        yield (lead + first).rstrip()
        yield from (" " * len(lead) + line for line in more)


def duration(seconds: float) -> str:
    """A time in the unit that suits it: 9.3 s, 4.2 min, 1.5 h."""
    return (
        f"{seconds:.1f} s"
        if seconds < 100
        else f"{seconds / 60:.1f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


def doctor_runs(names: Sequence[str]) -> dict[str, Any]:
    """Is this normal? Every rule over the metrics of runs, finished or not; exit code 5 where one is broken.
    A folder stands for all runs below it.
    """
    infos = [read_run(folder) for name in names for folder in find_folders(Path(name))]
    if not infos:
        raise UserError(
            "there is no run to look at",
            where=" ".join(names),
            remedy="alignlab runs doctor RUN, a run folder or one that holds runs",
        )
    rows, lines = [], []
    for info in infos:
        metrics, found = info.metrics, examine_run(info)
        broken = [finding for finding in found if finding.verdict == "broken"]
        rows.append(
            {
                "run": str(info.path),
                "stage": info.stage,
                "status": info.status,
                "rows": len(metrics),
                "broken": len(broken),
                "findings": [finding.to_json() for finding in found],
            }
        )
        said = (
            f"{len(broken)} broken"
            if broken
            else "no metrics to look at"
            if not metrics
            else "nothing broken"
        )
        lines += [
            f"{info.path} ({info.stage}, {info.status}, {len(metrics)} rows of metrics): {said}",
            *(f"  {line}" for f in found for line in str(f).split("\n")),
        ]
    return {
        "runs": rows,
        "text": "\n".join(lines),
        "exit_code": CheckFailed.exit_code if any(row["broken"] for row in rows) else 0,
    }


# --- runs beside each other
# ---------------------------------------------------------------------------------------------------------


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
                f"    {title}  {with_interval(value)}"
                for title, value in zip(padded(titles), values, strict=True)
                if value is not None
            ),
        ]
    if any(pairs):
        lines += ["", f"difference from {titles[0]}, over what both measured:"]
        for title, found in zip(titles[1:], pairs, strict=True):
            lines += [
                f"  {title}",
                *(
                    (
                        f"    {one_line(key)}  {with_interval(value, sign='+')} (n = {value['n']}, p = "
                        f"{value['p']:.2g})"
                    )
                    for key, value in found.items()
                ),
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
    """Of each run but the first: how its figures differ from the first run's over the same prompts or
    records, with interval, n and p; none where the first measured none.
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
                    [values[key] for key in both], [first[figure][key] for key in both]
                )
        found.append(row)
    return found


def measured(info: RunInfo) -> dict[str, dict[str, float]]:
    """Figure, then prompt or record, to the value: of runs of eval and likelihood, which keep them."""
    found: dict[str, dict[str, float]] = {}
    if info.stage not in ("eval", "likelihood"):
        return found
    times: Counter[str] = (
        Counter()
    )  # of a prompt that was asked more than once, each answer is one of its own
    for row in info.samples:
        if "decoding" in row:
            figure = f"gold, {row['decoding']}"
            times[key := f"{figure} {row['id']}"] += 1
            found.setdefault(figure, {})[f"{row['id']}#{times[key]}"] = row["gold"]
        elif "figure" in row:
            found.setdefault(row["figure"], {})[row["record"]] = row["value"]
    return found


def with_interval(value: Any, sign: str = "") -> str:
    """A figure, with its interval if it has one."""
    if isinstance(value, Mapping):
        low, high = value["ci"]
        return f"{value['mean']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
    return f"{value:{sign}.4g}"


def padded(texts: Sequence[str]) -> list[str]:
    return [text.ljust(max(map(len, texts))) for text in texts]


CLOSER = {"doctor": doctor_runs, "verify": verify_runs, "compare": compare_runs}
"""What `alignlab runs WORD RUN...` does."""
