"""The best of N samples, by whoever scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..settings import BestOfNSettings
from .on_policy import judged_by
from .stage import done, open_run, rate, result, room_for_answers


def best_of_n(
    *,
    model: str,
    reward: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: BestOfNSettings,
    count: int = 0,
    judge: str = "",
) -> dict[str, Any]:
    """The best of N samples by the reward model, or by any judge, and proxy and gold against N."""
    judged_by("best-of-n", reward, judge)
    # as in evaluate: the same held-out prompts whatever the seed
    start, prompts = names.models.model(model), names.data.read_data(data, "prompt", seed=0, count=count)
    scorer, truth = names.judges.scorer(reward, judge, settings.model), names.judges.maybe_judge(gold)
    run = open_run(
        "best-of-n",
        out,
        settings,
        seed,
        resume,
        uses=[start, scorer, prompts, truth],
        gold=gold,
        judge=judge,
        reward=reward,
    )
    if run.done:
        return done(run)
    from ..collecting import best_of_n as method
    from ..models.load import load_policy

    policy = load_policy(start.path, settings.model)
    asked = room_for_answers(run, prompts.records, policy, settings.sampling)
    summary = method.run(run, policy, scorer.load(), truth.load(), asked, settings, seed=seed)
    run.finish(summary)
    return result(
        run,
        f"score of one sample {rate(summary['proxy_one'])}, of the best of {settings.per_prompt} "
        f"{rate(summary['proxy'])}",
    )
