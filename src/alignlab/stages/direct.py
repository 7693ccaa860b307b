"""A policy from pairs, with no sampling and no reward model in between: DPO, ORPO, SimPO, or a loss of
yours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..records import Ranking
from ..run import RunDir
from ..settings import PairSettings
from .rankings import preferences
from .stage import Summary, rate, train_policy, within_context


def direct(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: PairSettings, count: int = 0
) -> dict[str, Any]:
    """Preference optimization from rankings or comparisons; the settings say by which loss."""
    pairs = preferences(data, seed, count, settings.held_out)

    def train(run: RunDir, policy: Any) -> Summary:
        from ..methods import direct

        run.note(pairs.note)
        fitting = within_context(run, settings, policy.model)
        return direct.train(run, policy, pairs.train, fitting, seed=seed, held_out=pairs.test)

    return train_policy(
        settings.method,
        settings.title,
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


dpo = orpo = simpo = direct
"""By the names that their settings have."""


def _best(ranking: Ranking) -> str:
    return ranking.completions[ranking.ranks.index(min(ranking.ranks))].text


def implicit_accuracy(summary: Summary) -> str:
    return f"held-out accuracy of the implicit reward {rate(summary['accuracy'])}"
