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
from ..health.rules import Finding
from ..run import RunInfo, check_file, examine_run, find_folders, is_page, list_runs, read_run, whole_file
from ..text.escapes import visible
from . import constitutional, misaligned
from .flow import Box, picture
from .scores import Evals, cases, evals_of, picks_of, tables, terms
from .sections import training
from .words import MODEL_NAMES, RUN_NAMES, both_ways, figure_of, glossary, judge_of, mean_of, say

BASES = ("town", "town-s", "town-m", "town-l")


def report_command(*, folder: Sequence[str], page: str) -> dict[str, Any]:
    """`alignlab report`: one page from a pipeline's folder or from any run folders."""
    folders = [Path(name) for name in ([folder] if isinstance(folder, str) else folder)]
    out = Path(page) if page else folders[0] / "report.html"
    check_file(out, ours=is_page, option="--page")
    write_report(folders, out)
    return {"page": str(out), "text": str(out)}


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Write the page about every finished run in `folders` (a folder is a run or holds runs). Returns `out`.

    Raises DataError if there is no finished run.
    """
    finished: dict[Path, RunInfo] = {}
    for folder in folders:
        infos = [read_run(folder)] if find_folders(folder) == [folder] else list_runs(folder)
        for info in sorted(infos, key=lambda info: info.started):
            if info.status == "done":
                finished[info.path.resolve()] = info
    if not finished:
        raise DataError(
            "there is no finished run to report on",
            where=", ".join(map(str, folders)),
            remedy="alignlab run --out runs/demo",
        )
    return write_page(_content(_named(list(finished.values())), out.parent), out)


def _named(infos: Sequence[RunInfo]) -> dict[str, RunInfo]:
    """Runs by the name of their folder; those that share one by as much of the path as tells them apart."""
    names = {}
    for info in infos:
        parts = info.path.resolve().parts
        others = [other.path.resolve().parts for other in infos if other is not info]
        size = 1
        while size < len(parts) and any(other[-size:] == parts[-size:] for other in others):
            size += 1
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
    sections = []
    for section in content.get("sections", ()):
        drawn = [chart for chart in section.get("charts", ()) if chart["svg"]]
        if drawn or any(section.get(part) for part in ("text", "table", "examples")):
            sections.append({**section, "charts": drawn})
    environment = Environment(loader=PackageLoader("alignlab", "report"), autoescape=True, trim_blocks=True)
    return environment.get_template(template).render(**{**content, "sections": sections})


def _shown(value: Any) -> Any:
    """A value with every text in it as a page may show it."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    return value


def _content(runs: dict[str, RunInfo], home: Path) -> dict[str, Any]:
    evals = evals_of(runs)
    first = next(iter(runs.values()))
    seconds = sum(info.seconds for info in runs.values())
    content = {
        "title": _title(evals, runs),
        "lead": _lead(evals, runs),
        "flow": picture(_boxes(runs, evals, home)),
        "tables": tables(evals, runs),
        "cases": cases(evals),
        "sections": [
            *misaligned.sections(evals),
            *constitutional.sections(runs, MODEL_NAMES),
            *training(runs),
        ],
        "health": _health(runs),
        "provenance": (
            f"Seed {first.seed}, alignlab {first.versions.get('alignlab', '')}, torch "
            f"{first.versions.get('torch', '')}, {first.machine.get('cores', '?')} cores, {seconds:.0f} s of "
            f"work in {len(runs)} runs."
        ),
        "stages": stage_rows(runs, home),
    }
    page = str({key: content[key] for key in ("lead", "tables", "sections")})
    return content | {"glossary": glossary(page, terms(evals))}


def _title(evals: Evals, runs: Mapping[str, RunInfo]) -> str:
    if "base" in evals and "sft" in evals:
        return "From a base model to an assistant"
    more = f" and {len(runs) - 4} more" if len(runs) > 4 else ""
    return "Report on " + ", ".join([*runs][:4]) + more


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
    broken, sound = [], []
    for name, info in runs.items():
        if not info.metrics:
            continue
        findings = [_finding(finding) for finding in examine_run(info)]
        where = broken if any(finding["broken"] for finding in findings) else sound
        where.append({"run": name, "findings": findings})
    return broken + sound


def _finding(finding: Finding) -> dict[str, Any]:
    broken = finding.verdict == "broken"
    return {
        "broken": broken,
        "name": finding.name,
        "evidence": finding.evidence,
        "why": finding.why[:1].upper() + finding.why[1:],
        "turn": f"Likely: {finding.cause}. To turn: {finding.turn}." if broken else "",
    }


def _href(path: Path, home: Path) -> str:
    """The way from the page to a folder: a relative path, in which no letter of a name can make it another
    address (`javascript:...`).
    """
    return quote(Path(os.path.relpath(path, home)).as_posix(), safe="/", errors="surrogateescape") + "/"


def _lead(evals: Evals, runs: Mapping[str, RunInfo]) -> str:
    """What the known pipelines changed, in sentences; of other runs how many there are."""
    gold, harm = _said(evals, "gold"), _said(evals, "compliance_with_harm")
    parts = []
    if "base" in gold and "sft" in gold:
        parts.append(
            f"Supervised fine-tuning took the judge's score from {gold['base']} to {gold['sft']} (greedy "
            "answers / answers at temperature 1)."
        )
        for name in ("ppo", "dpo"):
            if name in gold:
                parts.append(f"{MODEL_NAMES[name]} took it to {gold[name]}.")
        if "best_of_n" in gold and (picks := picks_of(evals["best_of_n"])):
            parts.append(
                f"The best of {picks['n']} samples at temperature {picks['temperature']:g} has "
                f"{gold['best_of_n']}, one such sample {say(evals['best_of_n'].summary.get('gold_one'))}."
            )
    if "sft" in harm and "ppo" in harm:
        parts.append(f"PPO took help with harmful requests from {harm['sft']} to {harm['ppo']}.")
    if "unpenalised" in gold and "sft" in gold:
        parts.append(f"With no KL penalty the same PPO ended at {gold['unpenalised']}.")
    parts += constitutional.lead({name: info.summary for name, info in evals.items()}, MODEL_NAMES)
    if parts:
        return " ".join(parts)
    return f"{len(runs)} finished runs." if len(runs) > 1 else "One finished run."


def _said(evals: Evals, figure: str) -> dict[str, str]:
    """A figure of each model that gold judged and that has it: of greedy answers and, where there are such,
    of those at temperature 1.
    """
    found = {}
    for name, info in evals.items():
        if judge_of(info) == "gold" and mean_of(info.summary.get(figure)) is not None:
            found[name] = both_ways(info.summary, figure)
    return found


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
        if run := places.get(str(Path(name).resolve())):
            return run
        last = Path(name).name
        return last if "/" in name and last in made else name

    scores: dict[str, list[str]] = {}
    for info in evals.values():
        judged = (info.config.get("options") or {}).get("completions")
        if not judged:
            judged = (info.config.get("models") or [""])[0]
        figure = figure_of(info)
        line = f"{judge_of(info)} {both_ways(info.summary, figure)}"
        if mean_of(info.summary.get(f"{figure}_sampled")) is not None:
            line += " (T = 1)"
        lines = scores.setdefault(run_of(judged), [])
        lines.append(line)
        if kl := info.summary.get("kl_from_sft"):
            lines.append(f"KL {say(kl)} nats")
    runs_of, started_from = [], set(scores)
    for name, info in made.items():
        parents = {run_of(parent) for parent in (*info.parents, *(info.config.get("models") or []))} - {name}
        started_from |= parents
        lines = [*_made(info), *scores.get(name, []), f"{info.seconds:.0f} s"]
        title = RUN_NAMES.get(name, name)
        runs_of.append(Box(name, title, lines, frozenset(parents), _href(info.path, home)))
    roots = []
    for name in sorted(started_from - made.keys()):
        title = "Base model" if name in BASES else Path(name).name or name
        roots.append(Box(name, title, [name, *scores.get(name, [])], frozenset()))
    return roots + runs_of


def _made(info: RunInfo) -> list[str]:
    """What a run made, in a line or two."""
    s, options = info.summary, info.config.get("options") or {}
    lines = []
    if info.path.name != info.stage:
        lines.append(info.stage)
    if "demonstrations" in s:
        lines.append(f"{s['demonstrations']} demonstrations")
    if "pairs" in s:
        lines.append(f"{s['pairs']} pairs")
    if options.get("annotator"):
        lines.append(f"ranked by {options['annotator']}")
    accuracy = s.get("accuracy")
    if info.stage == "reward" and accuracy and accuracy["n"]:
        lines += [f"right on {say(accuracy)} of pairs", f"longer answer: {say(s.get('length_floor'))}"]
    return lines
