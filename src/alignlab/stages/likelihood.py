"""Held-out text under a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..data.split import by_prompt
from ..errors import DataError, UserError
from ..names import known
from ..settings import LikelihoodSettings
from .stage import done, open_run, rate, result, within_context


def likelihood(
    *,
    model: str,
    demonstrations: str,
    comparisons: str,
    baseline: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: LikelihoodSettings,
    count: int = 0,
    texts: str = "",
) -> dict[str, Any]:
    """Held-out documents, demonstrations and comparisons under a model, and set against a baseline record by
    record.
    """
    if not demonstrations and not comparisons and not texts:
        raise UserError(
            "likelihood needs text to measure",
            remedy="--demonstrations D, --comparisons D, --texts D, or several",
        )
    if baseline:
        known.run_of("likelihood")(baseline)
    shown = (
        names.data.read(demonstrations, "demonstration", seed=seed, count=count) if demonstrations else None
    )
    compared = names.data.read(comparisons, "comparison", seed=seed, count=count) if comparisons else None
    read = names.data.read(texts, "text", seed=seed, count=count) if texts else None
    run = open_run(
        "likelihood",
        out,
        settings,
        seed,
        resume,
        models=[model],
        data=[each for each in (shown, compared, read) if each],
        baseline=baseline,
    )
    if run.done:
        return done(run)
    from ..evals import likelihood as method
    from ..models.load import load_policy

    policy = load_policy(names.known.model_path(model), settings.model)
    measured = [list(each.records) if each else [] for each in (shown, compared)]
    if settings.held_out < 1:
        measured = [by_prompt(records, settings.held_out, seed)[1] for records in measured]
        if (shown or compared) and not any(measured):
            raise DataError("no prompt of the data is held out", remedy="a larger held_out, or more data")
    summary = method.run(
        run,
        policy,
        measured[0],
        measured[1],
        list(read.records) if read else [],
        max_length=within_context(run, settings, policy.model).max_length,
        baseline=baseline,
    )
    run.finish(summary)
    said = [
        f"{words} {rate(summary[name])}"
        for name, words in (
            ("text_loss", "nats a token of a document"),
            ("loss", "nats a token"),
            ("chosen_likelier", "chosen likelier"),
            ("margin", "nats apart"),
        )
        if name in summary
    ]
    return result(run, ", ".join(said))
