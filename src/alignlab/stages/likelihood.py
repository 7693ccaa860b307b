"""Held-out text under a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..data.split import by_question
from ..errors import DataError, UserError
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
    start, before = names.models.model(model), names.data.run(baseline, "likelihood")
    measured = {"demonstration": demonstrations, "comparison": comparisons, "text": texts}
    read = {
        kind: names.data.read_data(name, kind, seed=seed, count=count)
        for kind, name in measured.items()
        if name
    }
    run = open_run(
        "likelihood", out, settings, seed, resume, uses=[start, *read.values(), before], baseline=baseline
    )
    if run.done:
        return done(run)
    from ..evals import likelihood as method
    from ..models.load import load_policy

    policy = load_policy(start.path, settings.model)
    records = {kind: list(data.records) for kind, data in read.items()}
    answered = [kind for kind in ("demonstration", "comparison") if kind in records]
    if settings.held_out < 1:
        for kind in answered:
            records[kind] = by_question(records[kind], settings.held_out, seed)[1]
        if answered and not any(records[kind] for kind in answered):
            raise DataError("no question of the data is held out", remedy="a larger held_out, or more data")
    summary = method.run(
        run,
        policy,
        records.get("demonstration", []),
        records.get("comparison", []),
        records.get("text", []),
        max_length=within_context(run, settings, policy.model).max_length,
        baseline=baseline,
    )
    run.finish(summary)
    figures = [f"{words} {rate(summary[name])}" for name, words in FIGURES.items() if name in summary]
    return result(run, ", ".join(figures))


FIGURES = {
    "text_loss": "nats per token of a document",
    "loss": "nats per token",
    "chosen_likelier": "chosen likelier",
    "margin": "nats apart",
}
