"""A policy from pairs, with no sampling and no reward model in between: DPO, ORPO, SimPO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import names
from ..records import Unpaired
from ..run import writing
from ..settings import DPOSettings, KTOSettings, ORPOSettings, SimPOSettings
from .rankings import preferences
from .stage import card, done, open_run, outside, rate, result, trainer, within_context


def dpo(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: DPOSettings, count: int = 0
) -> dict[str, Any]:
    """Direct preference optimisation from the same rankings or comparisons."""
    return _from_comparisons(
        "dpo",
        "DPO",
        model=model,
        data=data,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        count=count,
    )


def orpo(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: ORPOSettings, count: int = 0
) -> dict[str, Any]:
    """SFT on the chosen completions with an odds-ratio term against the rejected ones; no reference."""
    return _from_comparisons(
        "orpo",
        "ORPO",
        model=model,
        data=data,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        count=count,
    )


def simpo(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: SimPOSettings, count: int = 0
) -> dict[str, Any]:
    """Preference optimisation on mean log-probabilities; no reference."""
    return _from_comparisons(
        "simpo",
        "SimPO",
        model=model,
        data=data,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        count=count,
    )


def learn_directly(
    stage: str,
    title: str,
    read: Callable[..., Any],
    method: str,
    *,
    model: str,
    data: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: DPOSettings | ORPOSettings | SimPOSettings | KTOSettings,
    count: int,
) -> dict[str, Any]:
    """A policy from what was liked and what was not, with no sampling and no reward model in between."""
    parts, learn, test, said = read(data, seed, count, settings.held_out)
    run = open_run(stage, out, settings, seed, resume, models=[model], data=parts)
    if run.done:
        return done(run)
    from ..models.load import load_policy, save_policy

    policy = load_policy(names.known.model_path(model), settings.model, settings.adapter, trainable=True)
    run.note(said)
    after = outside(
        run,
        policy,
        model,
        (
            c.completion if isinstance(c, Unpaired) else c.completions[c.ranks.index(min(c.ranks))].text
            for c in learn
            if not isinstance(c, Unpaired) or c.label
        ),
    )
    summary = (
        trainer(method)(
            run, policy, learn, within_context(run, settings, policy.model), seed=seed, held_out=test
        )
        | after()
    )
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=card(title, model, data, seed, summary))
    run.finish(summary)
    return result(run, f"held-out accuracy of the implicit reward {rate(summary['accuracy'])}")


def _from_comparisons(stage: str, title: str, **arguments: Any) -> dict[str, Any]:
    return learn_directly(stage, title, preferences, "direct", **arguments)
