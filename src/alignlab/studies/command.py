"""`alignlab study NAME`: plan a study's stages for every seed, run them, write summary.json and a page."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ConfigError, ResumeRefused, UserError
from ..pipeline.runner import Pipeline, Stage, seeds_of
from ..report.page import write_page
from ..run import RunInfo, check_file, is_page, is_summary, read_run, write_document
from ..run.files import read_json
from ..run.identity import difference, in_words
from ..settings.defaults import known
from ..settings.resolve import to_dict
from . import catalogue
from .page import bar_lines, page_of, summarize
from .settings import Rewarded, StudySettings
from .study import TOWN, Form, Study, check_own


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

    A seed that fails leaves the others: they are measured, the page says what became of it, and the exit code
    is that of its error.

    Args:
        seeds: comma separated; empty = `seed` alone.
        runs: where the stages' run folders lie; empty = in `out`. Studies that name the same folder share
            what they have in common, also while both are at work.
        fast: the sizes were the small ones, unless settings say otherwise.

    Raises:
        UserError: what cannot be, before anything is run; the first seed's error, if every seed failed.
    """
    study = catalogue.study(name)
    form = form_of(name, study, model)
    check(name, study, form, settings)
    asked = seeds_of(seeds) or [seed]
    check_file(out / "summary.json", ours=partial(is_ours, name))
    check_file(out / "study.html", ours=is_page)
    started = time.perf_counter()
    folder = Path(runs) if runs else out
    pipeline = Pipeline(folder, workers=settings.workers, executor=settings.executor, resume=resume)
    planned = {
        number: form.plan(partial(stage_of_seed, pipeline, number), model, settings, number)
        for number in asked
    }
    check_runs(pipeline)
    pipeline.run(go_on=True)
    found: dict[int, dict[str, RunInfo]] = {}
    figures: dict[int, dict[str, Any]] = {}
    failed: dict[int, Exception] = {}
    for number, stages in planned.items():
        if error := error_of(pipeline, number):
            failed[number] = error
            continue
        try:
            found[number] = {key: read_run(stage.out) for key, stage in stages.items()}
            figures[number] = {"seed": number} | form.measure(found[number], settings)
        except UserError as error:
            failed[number] = error
            continue
        if "held-out" in found[number]:
            figures[number]["held_out"] = found[number]["held-out"].summary
    if not figures:
        raise failed[asked[0]]
    summary, told = summarize(
        name,
        study,
        form,
        figures,
        failed,
        pipeline.stages,
        settings,
        model,
        fast=fast,
        seconds=time.perf_counter() - started,
    )
    write_document(out / "summary.json", summary)
    page = write_page(page_of(study, told, found, summary, out), out / "study.html")
    for error in failed.values():
        if not isinstance(error, UserError):  # our bug, with its traceback
            raise error
    lines = ["", study.title, "", *summary["failures"], *told.conclusion, "", *bar_lines(summary)]
    if summary["verdict"]:
        lines += ["", "{says}: {why}".format(**summary["verdict"])]
    result = summary | {"text": "\n".join((*lines, f"The page: {page}"))}
    codes = [error.exit_code for error in failed.values() if isinstance(error, UserError)]
    return result | {"exit_code": codes[0]} if codes else result


def listing() -> dict[str, Any]:
    """What there is to ask."""
    width = max(map(len, catalogue.STUDIES))
    questions = {name: entry.question for name, entry in catalogue.STUDIES.items()}
    rows = [f"  {name:<{width}}  {question}" for name, question in questions.items()]
    return {"studies": questions, "text": "\n".join(("alignlab study NAME asks one of these:", "", *rows))}


def form_of(name: str, study: Study, model: str) -> Form:
    """The form of a study that a model may take. Raises ConfigError for one that is not the town's, where the
    study has no form for others.
    """
    if known(model).town:
        return study.town
    if study.real is None:
        raise ConfigError(
            f"the study {name} is asked of the town's models alone, and {model} is none of them: "
            f"{study.town_alone}",
            remedy="--model town, town-s, town-l, or what was trained from one of these",
        )
    return study.real


def check(name: str, study: Study, form: Form, settings: StudySettings) -> None:
    """Raise ConfigError where data of one's own stand beside the town's, or where the town's are needed."""
    if isinstance(settings, Rewarded):
        check_own(settings)
        return
    test = getattr(settings, "test", "")
    if test and form is study.town and not test.startswith(TOWN):
        why = study.town_alone or "its form for other data is that for other models"
        raise ConfigError(
            f"the study {name} asks the town what it knows, and test = {test} is not the town's: {why}",
            remedy="--test town:NAME",
        )


def check_runs(pipeline: Pipeline) -> None:
    """Raise ResumeRefused where finished stages lie there that other settings made (`--fast`, say): each
    would be refused when its turn comes, hours later perhaps.
    """
    others: dict[str, list[str]] = {}
    for stage in pipeline.stages:
        if (stage.out / "config.json").exists() and "settings" in stage.arguments:
            was = read_json(stage.out / "config.json").get("settings") or {}
            now = json.loads(json.dumps(to_dict(stage.arguments["settings"]), default=str))
            if found := difference(was, now):
                others[stage.name] = found
    if others:
        first = next(iter(others))
        raise ResumeRefused(
            f"{pipeline.folder} holds {len(others)} of these {len(pipeline.stages)} stages made by other "
            f"settings, {first} the first of them",
            where=in_words(others[first]),
            remedy="another --runs (--fast and the full form need one each), or the settings of then",
        )


def is_ours(name: str, content: bytes) -> bool:
    """Whether a file is the summary of this very study."""
    return is_summary(content) and json.loads(content).get("study") == name


def stage_of_seed(pipeline: Pipeline, number: int, name: str, target: Any, /, **arguments: Any) -> Stage:
    """A stage below the folder of its seed."""
    return pipeline.stage(f"seed-{number}/{name}", target, **arguments)


def error_of(pipeline: Pipeline, number: int) -> Exception | None:
    """What the first stage of a seed that failed, failed with; None where none did."""
    for stage in pipeline.stages:
        if stage.error and stage.name.startswith(f"seed-{number}/"):
            return stage.error
    return None
