"""`alignlab sweep METHOD --SETTING A,B,C --seeds 0,1,2`: a run for every combination and seed, an evaluation
of each, one table and one picture.

A sweep is a plan of stages for the pipeline, as recipes and studies are: it goes on where it was, and
finished runs are reused.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import stages
from ..errors import ConfigError, UserError
from ..evals.statistics import t_interval
from ..report import bar_charts, charts
from ..report.words import mean_of
from ..run import read_run, whole_file, write_document
from ..settings import PAIRS, EvalSettings, SamplingSettings
from ..settings.defaults import known
from ..settings.resolve import dotted
from ..stages.figures import FIGURES, SHARES
from ..stages.on_policy import judged_by
from ..text.escapes import one_line
from ..text.figures import with_interval
from .runner import Pipeline, Stage, seeds_of
from .view import table

SHOWN = 4  # figures in the table, the main ones of a run
WRITERS = frozenset(("sft", *PAIRS, "kto", "ppo", "rloo", "grpo", "online-dpo", "rejection"))
"""Commands whose runs write, and can be evaluated by what they write."""


def points(kind: type, flags: Mapping[str, str]) -> tuple[list[dict[str, str]], list[str]]:
    """The flags of each run, one value of each setting, and the names of the settings that have several.

    Values are parted by commas; a setting that is text keeps its commas. What is no value of its setting is
    an error when the flags are read.

    Raises:
        ConfigError: no setting has several values, or one has the same twice.
    """
    settings = dotted(kind)
    varied: dict[str, list[str]] = {}
    for flag, text in flags.items():
        setting = settings.get(flag.replace("-", "_"))
        if setting and setting.type is not str and "," in text:
            varied[flag] = [value.strip() for value in text.split(",")]
    if not varied:
        raise ConfigError(
            "no setting has several values",
            remedy="as --beta 0.03,0.1,0.3; several settings make every combination",
        )
    for flag, values in varied.items():
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise ConfigError(f"{flag} has {twice} twice", remedy="each value once")
    grid: list[dict[str, str]] = []
    for values in itertools.product(*varied.values()):
        grid.append({**flags, **dict(zip(varied, values, strict=True))})
    return grid, list(varied)


def sweep(
    *,
    method: str,
    grid: Sequence[tuple[Mapping[str, str], Any]],
    seeds: str,
    eval_data: str,
    eval_judge: str,
    eval_prompts: int,
    workers: int,
    executor: str,
    out: Path,
    seed: int,
    resume: Any,
    model: str,
    **options: Any,
) -> dict[str, Any]:
    """Run the plan and say what came of it.

    Args:
        method: the command whose runs are made.
        grid: the varied settings of each combination as they were typed, and all its settings.
        eval_data: prompts that every model answers; empty = the town's, for a model of the town, and none for
            any other.
        options: of the method's stage, the same in every run.
    """
    numbers = seeds_of(seeds) or [seed]
    stage = stages.__dict__[method.replace("-", "_")]
    prompts = eval_data or ("town:test" if method in WRITERS and known(model).town else "")
    if eval_data and method not in WRITERS:
        raise UserError(
            f"a run of {method} writes no answers to evaluate",
            remedy="leave --eval-data out: its held-out figures stand in the table",
        )
    if not options["data"]:
        raise UserError(f"no data is named for {method}", remedy="--data RUN, a file, or another data name")
    if method == "ppo" and not options["reward"]:
        raise UserError("ppo needs a reward model", remedy="--reward RUN, a run of `alignlab reward`")
    if method != "ppo" and "reward" in options:
        judged_by(method, options["reward"], options["judge"])
    greedy = SamplingSettings(temperature=0.0)
    pipeline = Pipeline(out, workers=workers, executor=executor, resume=resume)
    planned: dict[str, list[tuple[Stage, Stage | None]]] = {}
    for varied, settings in grid:
        label = ", ".join(f"{key} {value}" for key, value in varied.items())
        place = "_".join(f"{key}-{value}" for key, value in varied.items())
        planned[label] = []
        for number in numbers:
            name = f"{place}/seed-{number}"
            run = pipeline.stage(name, stage, model=model, settings=settings, seed=number, **options)
            judged = None
            if prompts:
                judged = pipeline.stage(
                    f"{name}-eval",
                    stages.evaluate,
                    model=run,
                    data=prompts,
                    judge=eval_judge,
                    baseline="",
                    seed=number,
                    settings=EvalSettings(prompts=eval_prompts, sampling=greedy, model=settings.model),
                )
            planned[label].append((run, judged))
    pipeline.run()
    rows = [row_of(varied, planned[label], label) for label, (varied, _) in zip(planned, grid, strict=True)]
    found = {
        "schema": 1,
        "sweep": method,
        "model": model,
        "options": options,
        "seeds": numbers,
        "evaluated_on": prompts,
        "judge": eval_judge if prompts else "",
        "rows": rows,
    }
    write_document(out / "sweep.json", found)
    with whole_file(out / "sweep.svg") as staging:
        staging.write_text(picture(rows, method), encoding="utf-8")
    return found | {"text": "\n".join(told(found, out))}


def row_of(
    varied: Mapping[str, str], runs: Sequence[tuple[Stage, Stage | None]], label: str
) -> dict[str, Any]:
    """One combination: its runs, and each main figure over the seeds; of a single seed the figure's own
    interval.
    """
    listed: list[dict[str, Any]] = []
    summaries: list[dict[str, Any]] = []
    for run, judged in runs:
        info = read_run(run.out)
        listed.append({"seed": info.seed, "run": str(info.path), "eval": ""})
        summaries.append(info.summary)
        if judged:
            evaluation = read_run(judged.out)
            listed[-1]["eval"] = str(evaluation.path)
            summaries[-1] |= evaluation.summary
    figures: dict[str, Any] = {}
    for key, name in FIGURES.items():
        values = [summary[key] for summary in summaries if mean_of(summary.get(key)) is not None]
        if len(values) < len(summaries) or name in figures:
            continue
        first = values[0]
        if len(values) == 1 and isinstance(first, Mapping):
            figures[name] = {part: first[part] for part in ("mean", "ci", "n")}
        else:
            figures[name] = over_seeds([float(mean_of(value) or 0.0) for value in values], key in SHARES)
    return {"label": label, "settings": dict(varied), "runs": listed, "figures": figures}


def over_seeds(values: list[float], share: bool) -> dict[str, Any]:
    """Mean over seeds with a t interval, which a single seed has not; that of shares ends at 0 and 1."""
    return {"mean": sum(values) / len(values), "ci": t_interval(values, share=share), "n": len(values)}


def told(found: Mapping[str, Any], out: Path) -> list[str]:
    """The table, what its intervals are, and where the rest lies."""
    rows, seeds = found["rows"], found["seeds"]
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(row["figures"])
    shown = list(names)[:SHOWN]
    cells = [["", *shown]]
    for row in rows:
        cells.append([one_line(row["label"]), *(cell(row["figures"].get(name)) for name in shown)])
    if len(seeds) > 1:
        listed = ", ".join(map(str, seeds))
        what = f"Mean over {len(seeds)} seeds ({listed}) with a t interval at 95 %."
    else:
        what = f"Seed {seeds[0]}, with the interval of its own prompts where there is one."
    if found["evaluated_on"]:
        what += f" Answers to {found['evaluated_on']}, by {found['judge']}."
    else:
        what += " Figures of the runs themselves: --eval-data D has their answers judged."
    return [*table(cells), "", what, f"{out / 'sweep.svg'}, {out / 'sweep.json'}"]


def cell(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "-"
    return with_interval(value)


def picture(rows: Sequence[Mapping[str, Any]], method: str) -> str:
    """The first figure of every combination with its interval: over the setting where one number is varied,
    else side by side.
    """
    title, shared = f"alignlab sweep {method}", list(rows[0]["figures"])
    for row in rows:
        shared = [name for name in shared if name in row["figures"]]
    figure = shared[0] if shared else ""
    means: list[float] = []
    low: list[float] = []
    high: list[float] = []
    bars: dict[str, tuple[float, float]] = {}
    for row in rows if figure else ():
        value = row["figures"][figure]
        least, most = value["ci"] or [value["mean"]] * 2
        means.append(value["mean"])
        low.append(least)
        high.append(most)
        bars[row["label"]] = value["mean"], (most - least) / 2
    xs = numbers_of(rows)
    if xs and figure:
        curve = charts.Curve(xs, means, low, high, kind="points")
        return charts.curves({figure: curve}, title=title, x=next(iter(rows[0]["settings"])), y=figure)
    return bar_charts.lengths(bars, title=title, x=figure)


def numbers_of(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The values of the one setting that is varied, if it is one and they are numbers."""
    varied = [list(row["settings"].values()) for row in rows]
    if len(varied[0]) != 1:
        return []
    try:
        return [float(values[0]) for values in varied]
    except ValueError:
        return []
