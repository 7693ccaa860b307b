"""What a study leaves behind: summary.json, and the content of its page."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..pipeline.runner import Stage
from ..report.page import stage_rows
from ..run import RunInfo
from ..settings.resolve import to_dict
from ..town.names import version
from . import catalogue
from .settings import StudySettings
from .study import TOWN, CannotSay, Form, Study, Told, Verdict

CLAIMS = (
    "The wording of the claims, what each measures and every setting were fixed before seeds 20, 21 and 22 "
    "were run; settings are chosen on seed 10 and town:test."
)


def summarize(
    name: str,
    study: Study,
    form: Form,
    figures: Mapping[int, dict[str, Any]],
    failed: Mapping[int, Exception],
    stages: Sequence[Stage],
    settings: StudySettings,
    model: str,
    *,
    fast: bool,
    seconds: float,
) -> tuple[dict[str, Any], Told]:
    """`summary.json` of a study (schema 1), everything its page and the documentation are made from; and what
    it tells.
    """
    seeds = list(figures.values())
    told, verdict = form.tell(seeds), verdict_of(form, seeds)
    summary = {
        "schema": 1,
        "study": name,
        "title": study.title,
        "question": catalogue.STUDIES[name].question,
        "claim": study.claim,
        "mirrors": [vars(mirror) for mirror in study.mirrors],
        "falsified_by": study.falsified_by,
        "would_change_my_mind": study.would_change_my_mind,
        "verdict": vars(verdict) if verdict else None,
        "controls": study.controls,
        "town_alone": study.town_alone,
        "model": model,
        "fast": fast,
        "seeds": list(figures),
        "failures": [f"Seed {number} failed: {said(error)}" for number, error in failed.items()],
        "measured_on": measured_on(told, figures, settings, model),
        "claims": f"{CLAIMS} {study.changed}".strip(),
        "seconds": seconds,
        "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
        "settings": {
            key: value for key, value in to_dict(settings).items() if key not in ("workers", "executor")
        },
        "conclusion": list(told.conclusion),
        "bars": [bar.to_json() for bar in told.bars],
        "over_seeds": dict(told.over_seeds),
        "tables": [
            {"title": section["title"], **section["table"]}
            for section in told.sections
            if section.get("table")
        ],
        "figures": {str(number): found for number, found in figures.items()},
        "stages": [
            {
                "name": stage.name,
                "run": str(stage.out),
                "seconds": stage.seconds,
                "parents": [need.name for need in stage.needs],
                "no_gain": stage.no_gain,
            }
            for stage in stages
            if not stage.error
        ],
    }
    return summary, told


def verdict_of(form: Form, seeds: Sequence[dict[str, Any]]) -> Verdict | None:
    """What the figures say of the papers that the study mirrors; None where it names none."""
    if form.verdict is None:
        return None
    try:
        return form.verdict(seeds)
    except CannotSay as reason:
        return Verdict("cannot say", f"{reason}.")


def said(error: Exception) -> str:
    """An error in a line, for people; of a bug the last line."""
    if isinstance(error, UserError):
        where = f" ({error.where})" if error.where else ""
        return f"{error.what}{where}"
    return str(error).strip().split("\n")[-1]


def measured_on(
    told: Told, figures: Mapping[int, dict[str, Any]], settings: StudySettings, model: str
) -> str:
    """Version, base model, set, prompts and seeds that the figures are of."""
    many = ", ".join(map(str, figures))
    seeds = f"Seed {many}: one, no spread."
    if len(figures) > 1:
        seeds = f"Seeds {many}; mean ± standard deviation over these {len(figures)}."
    if told.asked:
        return f"Model {model}; {told.asked}. {seeds}"
    test = getattr(settings, "test", "")
    if not test:
        return seeds
    counts = sorted({found["prompts"] for found in figures.values()})
    asked = f"{test}, n = {' to '.join(map(str, counts))} prompts"
    if not test.startswith(TOWN):
        return f"Model {model}; {asked}. {seeds}"
    fixed = "base model, world and set are the same for all seeds"
    return f"Town version {version()}, base model {model}; {asked}; {fixed}. {seeds}"


def held(bar: Mapping[str, Any]) -> str:
    """In how many of its seeds a claim held, and in how many that could not be computed."""
    told = f"{bar['held']} of {bar['of']} seeds"
    if "why" in bar:
        told += f" (could not be computed in {bar['unknown']} of {bar['of']}: {bar['why']})"
    return told


def bar_lines(summary: Mapping[str, Any]) -> list[str]:
    """The claims of a summary, a line each."""
    return [f"held in {held(bar)}: {bar['claim']}" for bar in summary["bars"]]


def claims_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a summary's claims: what each is about beside its control, where any says so, and in how
    many seeds it held.
    """
    beside = any("effect" in bar for bar in summary["bars"])
    rows: list[list[str]] = []
    for bar in summary["bars"]:
        figures = [bar.get(key, "-") for key in ("effect", "control")] if beside else []
        rows.append([bar["claim"], *figures, held(bar)])
    heads = ["claim", *(["measured", "control"] if beside else []), "held in"]
    return {"heads": heads, "rows": rows, "note": summary["claims"]}


def beside_papers(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The section that sets a study beside what others found; none where it names nobody."""
    if not summary.get("mirrors"):
        return []
    text: list[str] = []
    if summary["verdict"]:
        text.append("It {says}. {why}".format(**summary["verdict"]))
    if summary["falsified_by"]:
        text.append(f"What would have shown the claim to be wrong: {summary['falsified_by']}")
    if summary["would_change_my_mind"]:
        text.append(f"What would change my mind: {summary['would_change_my_mind']}")
    rows = [[mirror["paper"], mirror["figure"], mirror["number"]] for mirror in summary["mirrors"]]
    table = {"heads": ["who", "where", "what they found, and of which models"], "rows": rows, "note": ""}
    return [{"title": "Beside what others found", "text": text, "table": table}]


def page_of(
    study: Study,
    told: Told,
    found: Mapping[int, Mapping[str, RunInfo]],
    summary: Mapping[str, Any],
    home: Path,
) -> dict[str, Any]:
    """What the page's template wants."""
    runs = {f"seed {number}: {key}": info for number, infos in found.items() for key, info in infos.items()}
    claims = {"title": "What was claimed, and in how many seeds it held", "table": claims_of(summary)}
    sizes = " Small sizes (--fast)." if summary["fast"] else ""
    notes = [("controls", study.controls)]
    if study.town_alone:
        notes.append(("other models", f"None is asked: {study.town_alone}."))
    if silent := {stage["name"].partition("/")[2]: stage["no_gain"] for stage in summary["stages"]}:
        meant = "; ".join(f"{name} is {why}" for name, why in silent.items() if why)
        notes += [("no progress is expected", f"{meant}.")] if meant else []
    lead = [summary["question"], study.claim, *summary["failures"], *told.conclusion]
    sections = (*told.sections, claims, *beside_papers(summary))
    return {
        "title": study.title,
        "lead": [line for line in lead if line],
        "provenance": f"{summary['measured_on']}{sizes} {summary['seconds']:.0f} s on "
        f"{summary['machine']['cores']} cores, runs that were there already not counted.",
        "sections": [{"text": [], "charts": []} | dict(section) for section in sections],
        "glossary": notes,
        "stages": stage_rows(runs, home),
    }
