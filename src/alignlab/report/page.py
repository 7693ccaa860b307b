"""Gathers what run folders hold and writes it as one page that opens from disk, with no script and no request
to anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import DataError
from ..run import RunInfo, check_file, examine_run, find_folders, is_page, list_runs, read_run, whole_file
from ..text.escapes import visible
from . import constitutional
from .flow import Box, picture
from .sections import judge_of, mean_of, say, training
from .words import CASES, COLUMNS, GLOSSARY, MODEL_NAMES, RUN_NAMES, TOWN_TEST

Evals = Mapping[str, RunInfo]


def report_command(*, folder: Sequence[str], page: str) -> dict[str, Any]:
    """`alignlab report`: one page from a pipeline's folder or from any run folders."""
    folders = [Path(name) for name in folder] if not isinstance(folder, str) else [Path(folder)]
    out = Path(page) if page else folders[0] / "report.html"
    check_file(out, ours=is_page, option="--page")
    write_report(folders, out)
    return {"page": str(out), "text": str(out)}


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Write the page about every finished run in `folders` (a folder is a run or holds runs). Returns `out`.

    Raises DataError if there is no finished run.
    """
    found: dict[Path, RunInfo] = {}
    for folder in folders:
        infos = [read_run(folder)] if find_folders(folder) == [folder] else list_runs(folder)
        found |= {
            info.path.resolve(): info
            for info in sorted(infos, key=lambda info: info.started)
            if info.status == "done"
        }
    if not found:
        raise DataError(
            "there is no finished run to report on",
            where=", ".join(map(str, folders)),
            remedy="alignlab run --out runs/demo",
        )
    return write_page(_content(_named(list(found.values())), out.parent), out)


def _named(infos: Sequence[RunInfo]) -> dict[str, RunInfo]:
    """Runs by the name of their folder; those that share one by as much of the path as tells them apart."""
    names = {}
    for info in infos:
        parts = info.path.resolve().parts
        others = [other.path.resolve().parts for other in infos if other is not info]
        size = next(
            (n for n in range(1, len(parts)) if not any(other[-n:] == parts[-n:] for other in others)),
            len(parts),
        )
        names["/".join(parts[-size:])] = info
    return names


def write_page(content: dict[str, Any], out: Path, *, template: str = "page.html.j2") -> Path:
    """A page of that content in a file, whole or not at all."""
    check_file(out, ours=is_page, option="--page")
    with whole_file(out) as staging:
        staging.write_text(render(content, template=template), encoding="utf-8", errors="backslashreplace")
    return out


def render(content: dict[str, Any], *, template: str = "page.html.j2") -> str:
    """A page of that content (see the template); all text in it is escaped, only charts are taken as they
    are, but for characters that nobody sees. What has nothing to draw is left out.
    """
    from jinja2 import Environment, PackageLoader

    content = _shown(content)
    sections = [
        {**section, "charts": [chart for chart in section.get("charts", ()) if chart["svg"]]}
        for section in content.get("sections", ())
    ]
    sections = [
        section
        for section in sections
        if section["charts"] or section.get("text") or section.get("table") or section.get("examples")
    ]
    return (
        Environment(loader=PackageLoader("alignlab", "report"), autoescape=True, trim_blocks=True)
        .get_template(template)
        .render(**{**content, "sections": sections})
    )


def _shown(value: Any) -> Any:
    """A value with every text in it as a page may show it."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {key: _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list | tuple) else value


def _content(runs: dict[str, RunInfo], home: Path) -> dict[str, Any]:
    evals = {
        called(name): info
        for name, info in runs.items()
        if info.stage == "eval" and not name.startswith("topics-")
    }
    evals = {
        name: evals[name]
        for name in (*(n for n in MODEL_NAMES if n in evals), *(n for n in evals if n not in MODEL_NAMES))
    }
    first = next(iter(runs.values()))
    content = {
        "title": "From a base model to an assistant"
        if "base" in evals and "sft" in evals
        else "Report on " + ", ".join([*runs][:4]) + (f" and {len(runs) - 4} more" if len(runs) > 4 else ""),
        "lead": _lead(evals, runs),
        "flow": picture(_boxes(runs, evals, home)),
        "tables": _tables(evals, runs),
        "cases": _cases(evals),
        "sections": [*constitutional.sections(runs, MODEL_NAMES), *training(runs)],
        "health": _health(runs),
        "provenance": f"Seed {first.seed}, alignlab {first.versions.get('alignlab', '')}, torch {first.versions.get('torch', '')}, "
        f"{first.machine.get('cores', '?')} cores, {sum(info.seconds for info in runs.values()):.0f} s "
        f"of work in {len(runs)} runs.",
        "stages": stage_rows(runs, home),
    }
    said = str({key: content[key] for key in ("lead", "tables", "sections")})
    return content | {
        "glossary": [(term, text) for term, words, text in GLOSSARY if any(word in said for word in words)]
    }


def called(name: str) -> str:
    """What an evaluation's model is called in the tables of a report: by its name in a pipeline, or as the
    run is.
    """
    name = name.removeprefix("eval-")
    return known if (known := name.replace("-", "_")) in MODEL_NAMES else name


def stage_rows(runs: Mapping[str, RunInfo], home: Path) -> list[dict[str, Any]]:
    """The table of runs at the end of a page, each with a link to its folder."""
    return [
        {
            "name": name,
            "href": _href(info.path, home),
            "stage": info.stage,
            "seed": info.seed,
            "seconds": f"{info.seconds:.1f}",
            "commit": info.commit[:10],
        }
        for name, info in runs.items()
    ]


def _health(runs: dict[str, RunInfo]) -> list[dict[str, Any]]:
    """What the rules of `alignlab.health.rules` say of each run that has metrics, broken first."""
    found = [
        {
            "run": name,
            "findings": [
                {
                    "broken": f.verdict == "broken",
                    "name": f.name,
                    "evidence": f.evidence,
                    "why": f.why[:1].upper() + f.why[1:],
                    "turn": f"Likely: {f.cause}. To turn: {f.turn}." if f.verdict == "broken" else "",
                }
                for f in examine_run(info)
            ],
        }
        for name, info in runs.items()
        if info.metrics
    ]
    return sorted(found, key=lambda row: not any(f["broken"] for f in row["findings"]))


def _href(path: Path, home: Path) -> str:
    """The way from the page to a folder: a relative path, in which no letter of a name can make it another
    address (`javascript:...`).
    """
    return quote(Path(os.path.relpath(path, home)).as_posix(), safe="/", errors="surrogateescape") + "/"


def _lead(evals: Evals, runs: Mapping[str, RunInfo]) -> str:
    """What the known pipelines changed, in sentences; of other runs how many there are."""
    judged = {name: info for name, info in evals.items() if judge_of(info) == "gold"}
    gold = {
        name: mean for name, info in judged.items() if (mean := mean_of(info.summary.get("gold"))) is not None
    }
    parts = []
    if "base" in gold and "sft" in gold:
        parts.append(
            f"Supervised fine-tuning took the judge's score from {gold['base']:.2f} to {gold['sft']:.2f}."
        )
        for name in ("ppo", "dpo", "best_of_n"):
            if name in gold:
                parts.append(
                    f"{MODEL_NAMES[name][0].upper()}{MODEL_NAMES[name][1:]} took it to {gold[name]:.2f}."
                )
    harm = {name: mean_of(info.summary.get("compliance_with_harm")) for name, info in judged.items()}
    if harm.get("sft") is not None and harm.get("ppo") is not None:
        parts.append(
            f"PPO took help with harmful requests from {harm['sft']:.2f} to {harm['ppo']:.2f} (greedy "
            "answers)."
        )
    if "unpenalised" in gold and "sft" in gold:
        parts.append(f"With no KL penalty the same PPO ended at {gold['unpenalised']:.2f}.")
    parts += constitutional.lead({name: info.summary for name, info in evals.items()}, MODEL_NAMES)
    return " ".join(parts) or (f"{len(runs)} finished runs." if len(runs) > 1 else "One finished run.")


def _boxes(runs: Mapping[str, RunInfo], evals: Evals, home: Path) -> list[Box]:
    """A box for each run but evaluations, which say their figures in the box of what they judged, and for
    each model that runs started from.
    """
    made = {name: info for name, info in runs.items() if info.stage != "eval"}
    places = {str(info.path.resolve()): name for name, info in made.items()}

    def run_of(name: str) -> str:
        """The run behind a name of a model or parent: by its path or, in a pipeline that was moved, by its
        last part.
        """
        found = places.get(str(Path(name).resolve())) or next(
            (run for run in made if run == Path(name).name and "/" in name), ""
        )
        return found or name

    scores: dict[str, list[str]] = {}
    for info in evals.values():
        judged = (info.config.get("options") or {}).get("completions") or next(
            iter(info.config.get("models") or []), ""
        )
        kl = info.summary.get("kl_from_sft")
        scores.setdefault(run_of(judged), []).append(
            f"{judge_of(info)} {say(info.summary.get('gold'))}" + (f", KL {say(kl)} nats" if kl else "")
        )
    parents = {
        name: {run_of(parent) for parent in (*info.parents, *(info.config.get("models") or []))} - {name}
        for name, info in made.items()
    }
    roots = sorted(
        {parent for named in parents.values() for parent in named if parent not in made}
        | {name for name in scores if name not in made}
    )
    boxes = [
        Box(
            name,
            "Base model" if name in ("town", "town-s", "town-m", "town-l") else Path(name).name or name,
            [name, *scores.get(name, [])],
            frozenset(),
        )
        for name in roots
    ]
    return boxes + [
        Box(
            name,
            RUN_NAMES.get(name, name),
            [*_made(info), *scores.get(name, []), f"{info.seconds:.0f} s"],
            frozenset(parents[name]),
            _href(info.path, home),
        )
        for name, info in made.items()
    ]


def _made(info: RunInfo) -> list[str]:
    """What a run made, in a line or two."""
    s, options = info.summary, info.config.get("options") or {}
    accuracy = s.get("accuracy") if info.stage == "reward" else None
    return [
        line
        for line in (
            info.stage if info.path.name != info.stage else "",
            f"{s['demonstrations']} demonstrations" if "demonstrations" in s else "",
            f"{s['pairs']} pairs" if "pairs" in s else "",
            f"ranked by {options['annotator']}" if options.get("annotator") else "",
            f"right on {say(accuracy)} of pairs" if accuracy and accuracy["n"] else "",
            f"longer answer: {say(s.get('length_floor'))}" if accuracy and accuracy["n"] else "",
        )
        if line
    ]


def _tables(evals: Evals, runs: Mapping[str, RunInfo]) -> list[dict[str, Any]]:
    """What each model scored: a table a judge and data set, since only those figures can be compared."""
    groups: dict[tuple[str, str], dict[str, RunInfo]] = {}
    for name, info in evals.items():
        groups.setdefault((judge_of(info), ", ".join(info.data) or "town:test"), {})[name] = info
    return [_table(group, runs, judge, data) for (judge, data), group in groups.items()]


def _table(evals: Evals, runs: Mapping[str, RunInfo], judge: str, data: str) -> dict[str, Any]:
    start = _start(evals)
    columns = [
        (key, head.format(judge=judge, start=start))
        for key, head in COLUMNS
        if any(mean_of(info.summary.get(key)) is not None for info in evals.values())
    ]
    rows = []
    for name, info in evals.items():
        cells = []
        for key, _ in columns:
            value = info.summary.get(key)
            mean = mean_of(value)
            interval = (
                f"{value['ci'][0]:.2f}–{value['ci'][1]:.2f}"
                if isinstance(value, dict) and value.get("ci") and mean is not None
                else ""
            )
            cells.append(
                {
                    "value": "–"
                    if mean is None
                    else f"{mean:.1f}"
                    if key == "mean_length"
                    else f"{mean:.2f}",
                    "interval": interval,
                }
            )
        rows.append({"name": MODEL_NAMES.get(name, name), "cells": cells})
    counts = {info.summary["gold"]["n"] for info in evals.values()}
    n = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(min(counts))
    note = (
        TOWN_TEST.format(n=n if len(counts) > 1 else f"{n}, the same for every model")
        if judge == "gold" and data == "town:test"
        else f"Prompts: {data}, n = {n}. Scores: {judge}, the mean over answers."
    )
    best = (
        next((info.summary for info in runs.values() if info.stage == "best-of-n"), None)
        if "best_of_n" in evals
        else None
    )
    if best:
        note += (
            f" Best of N is one pick among {best['n']} samples at temperature {best.get('temperature', 1.0):g}, shown in both {judge} columns; the first of them alone has "
            f"{judge} {say(best.get('gold_one'))}."
        )
    paired = [
        f"{MODEL_NAMES.get(name, name)} against {start}, {'greedy' if how == 'greedy' else 'T = 1'}: {judge} {row['mean']:+.3f} "
        f"[{row['ci'][0]:+.3f}, {row['ci'][1]:+.3f}], paired on {row['n']} prompts"
        for name, info in evals.items()
        for how, row in (info.summary.get("paired") or {}).items()
    ]
    return {
        "heads": ["", *(head for _, head in columns)],
        "rows": rows,
        "note": note + " Small print: 95 % intervals.",
        "paired": paired,
    }


def _start(evals: Evals) -> str:
    """How the model is called that the others are compared with."""
    baselines = [
        called(Path(found).name)
        for info in evals.values()
        if (found := info.config["options"].get("baseline"))
    ]
    return MODEL_NAMES.get(baselines[0], baselines[0]) if baselines else "SFT"


def _cases(evals: Evals) -> list[dict[str, Any]]:
    """The same prompts under every model: the first of each kind of the town's, or the first few of other
    data.
    """
    answers = {
        name: {row["id"]: row for row in info.samples if row.get("decoding") == "greedy"}
        for name, info in evals.items()
    }
    answers = {name: rows for name, rows in answers.items() if rows}
    if not answers:
        return []
    rows = list(next(iter(answers.values())).values())
    chosen = []
    for kind, label in CASES:
        of_kind = [
            row
            for row in rows
            if row.get("meta", {}).get("kind") == kind
            and not (kind == "claim" and row["meta"]["params"]["right"])
        ]
        chosen += [(label, row) for row in of_kind[: 2 if kind in ("harmful", "claim") else 1]]
    cases = []
    for label, row in chosen or [("", row) for row in rows[:6]]:
        shown = []
        for name, found in answers.items():
            if row["id"] in found:
                answer, gold = found[row["id"]], judge_of(evals[name]) == "gold"
                shown.append(
                    {
                        "model": MODEL_NAMES.get(name, name),
                        "text": answer["completion"][:400],
                        "good": answer["gold"] >= 0.5 if gold else None,
                        "verdict": ("" if gold else f"{judge_of(evals[name])} ")
                        + f"{answer['gold']:.2f}"
                        + (f": {answer['reason']}" if answer["reason"] else ""),
                    }
                )
        cases.append({"label": label, "prompt": row["prompt"][-1]["content"], "answers": shown})
    return cases
