"""What each principle of a constitution is for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import ConfigError
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
    named_truth = names.judges.maybe_judge(gold)
    run = open_run(
        "ablate",
        out,
        lasting(settings),
        seed,
        resume,
        uses=[*names.models.loaded_here(who.model), pairs, named_truth],
        gold=gold,
        judge=str(who),
        constitution=constitution_digest(who),
    )
    if run.done:
        return done(run)
    from ..evals import judges as method

    judge, truth = ai_judge(run, who, settings, seed), named_truth.load()
    dealt, happened = method.dealt(fitting(run, judge, pairs.records), seed)
    shown = method.judged(run, judge, dealt, chunk=settings.chunk)
    known = happened if truth is None else method.truths(truth, shown)
    answers = list({(c.prompt.id, c.text): c for pair in dealt for c in pair}.values())
    broken = None if truth is None else [score.value <= 0 for score in truth.score(answers)]
    summary = {
        "against": gold or "the data's labels",
        "answers": len(answers),
        **method.ablate(judge, shown, known, standings=judge.standings(answers), harmful=broken),
        "judge": method.tally(shown),
    }
    finish(run, judge, summary)
    lines = ["without each principle:"]
    for name, row in summary["principles"].items():
        lost = rate(_negative(row["labels"]["accuracy_gain"]))
        lines.append(
            f"{name:<24} flips {rate(row['labels']['flips'])}, accuracy lost {lost}, "
            f"fires {rate(row['fires'])}, alone {rate(row['fires_alone'])}"
        )
    return result(run, "\n".join(lines))


def _negative(s: dict[str, Any]) -> dict[str, Any]:
    if s["ci"] is None:
        return s | {"mean": s["mean"] and -s["mean"]}
    low, high = s["ci"]
    return s | {"mean": 0 - s["mean"], "ci": [0 - high, 0 - low]}
