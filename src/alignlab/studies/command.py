"""`alignlab study NAME`: plan a study's stages for every seed, run them, write summary.json and a page."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..names import known
from ..pipeline.runner import Pipeline, Stage, seeds_of
from ..report.page import stage_rows, write_page
from ..run import RunInfo, check_file, is_page, is_summary, read_run, write_document
from ..settings.defaults import followed
from ..settings.resolve import to_dict
from ..town.names import version
from .catalogue import STUDIES
from .settings import FAST_STUDY, StudySettings
from .study import Study, Told, check_own, of_the_town


def study_command(
    *,
    name: str,
    model: str,
    seeds: str,
    runs: str,
    fast: bool,
    out: Path,
    seed: int,
    resume: bool,
    settings: StudySettings,
) -> dict[str, Any]:
    """Run one study over one or several seeds. Finished stages are reused, unfinished ones go on.

    Args:
        seeds: comma separated; empty = `seed` alone.
        runs: where the stages' run folders lie; empty = in `out`. Studies that name the same folder share
            what they have in common.
    """
    if not name:
        return listing()
    known.one_of(name, STUDIES, "there is no study")
    study = STUDIES[name]
    check(name, study, settings, fast, model)
    asked = seeds_of(seeds) or [seed]
    check_file(out / "summary.json", ours=is_summary)
    check_file(out / "study.html", ours=is_page)
    started = time.perf_counter()
    pipeline = Pipeline(Path(runs) if runs else out, workers=settings.workers, resume=resume)
    planned = {
        number: study.plan(partial(stage_of_seed, pipeline, number), model, settings, number)
        for number in asked
    }
    pipeline.run()
    found = {
        number: {key: read_run(stage.out) for key, stage in stages.items()}
        for number, stages in planned.items()
    }
    figures = {number: study.measure(infos, settings) for number, infos in found.items()}
    told = study.tell([figures[number] for number in asked])
    summary = summarize(
        name, study, told, figures, pipeline.stages, settings, model, seconds=time.perf_counter() - started
    )
    write_document(out / "summary.json", summary)
    page = write_page(page_of(study, told, found, summary, out), out / "study.html")
    return summary | {
        "text": "\n".join(
            ("", study.title, "", *told.conclusion, "", *bar_lines(summary), f"The page: {page}")
        )
    }


CLAIMS = (
    "The wording of the claims, what each measures and every setting were fixed before seeds 20, 21 and 22 "
    "were run; settings are chosen on seed 10 and town:test."
)


def measured_on(study: Study, figures: dict[int, dict[str, Any]], settings: StudySettings, model: str) -> str:
    """Version, base model, set, prompts and seeds that the figures are of."""
    many = ", ".join(map(str, figures))
    seeds = f"Seed {many}: one, no spread."
    if len(figures) > 1:
        seeds = f"Seeds {many}; mean ± standard deviation over them."
    if "test" not in study.reads:
        return seeds
    counts = sorted({found["prompts"] for found in figures.values()})
    asked = f"{settings.test}, n = {' to '.join(map(str, counts))} prompts"
    if not of_the_town(settings):
        return f"Model {model}; {asked}. {seeds}"
    fixed = "base model, world and set are the same for all seeds"
    return f"Town version {version()}, base model {model}; {asked}; {fixed}. {seeds}"


def listing() -> dict[str, Any]:
    """What there is to ask."""
    width = max(map(len, STUDIES))
    rows = [f"  {name:<{width}}  {study.question}" for name, study in STUDIES.items()]
    return {
        "studies": {name: study.question for name, study in STUDIES.items()},
        "text": "\n".join(("alignlab study NAME asks one of these:", "", *rows)),
    }


def check(name: str, study: Study, settings: StudySettings, fast: bool, model: str = "") -> None:
    """Raise ConfigError for a setting that was changed and that this study does not read."""
    usual = followed(FAST_STUDY if fast else StudySettings(), model)
    for item in fields(StudySettings):
        if item.name not in ("workers", *study.reads) and getattr(settings, item.name) != getattr(
            usual, item.name
        ):
            why = f": {study.town_alone}" if item.name == "own" else ""
            raise ConfigError(
                f"the study {name} does not read {item.name}{why}",
                remedy="it reads " + ", ".join(study.reads),
            )
    check_own(settings)


def stage_of_seed(pipeline: Pipeline, number: int, name: str, target: Any, /, **arguments: Any) -> Stage:
    """A stage below the folder of its seed."""
    return pipeline.stage(f"seed-{number}/{name}", target, **arguments)


def summarize(
    name: str,
    study: Study,
    told: Told,
    figures: dict[int, dict[str, Any]],
    stages: list[Stage],
    settings: StudySettings,
    model: str,
    *,
    seconds: float,
) -> dict[str, Any]:
    """`summary.json` of a study (schema 1): everything its page and the documentation are made from."""
    return {
        "schema": 1,
        "study": name,
        "title": study.title,
        "question": study.question,
        "controls": study.controls,
        "model": model,
        "seeds": list(figures),
        "measured_on": measured_on(study, figures, settings, model),
        "claims": f"{CLAIMS} {study.changed}".strip(),
        "seconds": seconds,
        "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
        "settings": {key: value for key, value in to_dict(settings).items() if key in study.reads},
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
            }
            for stage in stages
        ],
    }


def bar_lines(summary: dict[str, Any]) -> list[str]:
    return [f"held in {bar['held']} of {bar['of']} seeds: {bar['claim']}" for bar in summary["bars"]]


def page_of(
    study: Study, told: Told, found: dict[int, dict[str, RunInfo]], summary: dict[str, Any], home: Path
) -> dict[str, Any]:
    """What the page's template wants."""
    runs = {f"seed {number}: {key}": info for number, infos in found.items() for key, info in infos.items()}
    claims = {
        "title": "What was claimed, and in how many seeds it held",
        "table": {
            "heads": ["claim", "held"],
            "rows": [[bar["claim"], f"{bar['held']} of {bar['of']}"] for bar in summary["bars"]],
            "note": summary["claims"],
        },
    }
    return {
        "title": study.title,
        "lead": [study.question, *told.conclusion],
        "provenance": f"{summary['measured_on']} {summary['seconds']:.0f} s on "
        f"{summary['machine']['cores']} cores, runs that were there already not counted.",
        "sections": [{"text": [], "charts": []} | dict(section) for section in (*told.sections, claims)],
        "glossary": (("controls", study.controls),),
        "stages": stage_rows(runs, home),
    }
