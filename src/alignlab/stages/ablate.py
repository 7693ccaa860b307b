"""What each principle of a constitution is for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import ConfigError
from ..sampling.address import is_endpoint
from ..settings import AIJudgeSettings
from .stage import done, open_run, rate, result

if TYPE_CHECKING:
    pass
from .ai_judges import ai_judge, comparisons, constitution_digest, finish, fitting, judge_name, lasting


def ablate_constitution(
    *,
    judge_model: str,
    data: str,
    constitution: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: AIJudgeSettings,
    count: int = 0,
) -> dict[str, Any]:
    """What each principle is for: the labels and critiques as they are without it."""
    if settings.principles:
        raise ConfigError(
            f"principles = {settings.principles}: an ablation asks every principle about every pair",
            remedy="without --principles",
        )
    pairs, who = comparisons(data, seed, count), judge_name(judge_model, constitution, settings)
    run = open_run(
        "ablate",
        out,
        lasting(settings),
        seed,
        resume,
        models=[] if is_endpoint(who.model) else [who.model],
        data=[pairs],
        gold=gold,
        judge=str(who),
        constitution=constitution_digest(who),
    )
    if run.done:
        return done(run)
    from ..evals import verdicts

    judge, truth = ai_judge(run, who, settings, seed), names.judges.maybe_judge(gold)
    dealt, happened = verdicts.dealt(fitting(run, judge, pairs.records), seed)
    shown = verdicts.judged(run, judge, dealt, chunk=settings.chunk)
    known = happened if truth is None else verdicts.truths(truth, shown)
    answers = list({(c.prompt.id, c.text): c for pair in dealt for c in pair}.values())
    broken = None if truth is None else [score.value <= 0 for score in truth.score(answers)]
    summary = {
        "against": gold or "the data's labels",
        "answers": len(answers),
        **verdicts.ablate(judge, shown, known, standings=judge.standings(answers), harmful=broken),
        "judge": verdicts.tally(shown),
    }
    finish(run, judge, summary)
    rows = [
        f"{name:<24} flips {rate(row['labels']['flips'])}, accuracy lost {rate(_negative(row['labels']['accuracy_gain']))}, fires {rate(row['fires'])}, "
        f"alone {rate(row['fires_alone'])}"
        for name, row in summary["principles"].items()
    ]
    return result(run, "\n".join(["without each principle:", *rows]))


def _negative(s: dict[str, Any]) -> dict[str, Any]:
    return {**s, "mean": 0 - s["mean"], "ci": [0 - x for x in reversed(s["ci"])]}
