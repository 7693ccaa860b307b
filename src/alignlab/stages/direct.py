"""A policy from pairs, with no sampling and no reward model in between: DPO, ORPO, SimPO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..records import Ranking
from ..run import RunDir
from ..settings import DPOSettings, ORPOSettings, SimPOSettings
from .rankings import preferences
from .stage import Summary, rate, train_policy, within_context


def dpo(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: DPOSettings, count: int = 0
) -> dict[str, Any]:
    """Direct preference optimization from the same rankings or comparisons."""
    return _direct("dpo", "DPO", model, data, out, seed, resume, settings, count)


def orpo(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: ORPOSettings, count: int = 0
) -> dict[str, Any]:
    """SFT on the chosen completions with an odds-ratio term against the rejected ones; no reference."""
    return _direct("orpo", "ORPO", model, data, out, seed, resume, settings, count)


def simpo(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: SimPOSettings, count: int = 0
) -> dict[str, Any]:
    """Preference optimization on mean log-probabilities; no reference."""
    return _direct("simpo", "SimPO", model, data, out, seed, resume, settings, count)


def _direct(
    stage: str,
    title: str,
    model: str,
    data: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: DPOSettings | ORPOSettings | SimPOSettings,
    count: int,
) -> dict[str, Any]:
    pairs = preferences(data, seed, count, settings.held_out)

    def train(run: RunDir, policy: Any) -> Summary:
        from ..methods import direct

        run.note(pairs.note)
        fitting = within_context(run, settings, policy.model)
        return direct.train(run, policy, pairs.train, fitting, seed=seed, held_out=pairs.test)

    return train_policy(
        stage,
        title,
        names.models.model(model),
        train,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        uses=pairs.parts,
        said=implicit_accuracy,
        learnt=(_best(ranking) for ranking in pairs.train),
    )


def _best(ranking: Ranking) -> str:
    return ranking.completions[ranking.ranks.index(min(ranking.ranks))].text


def implicit_accuracy(summary: Summary) -> str:
    return f"held-out accuracy of the implicit reward {rate(summary['accuracy'])}"
