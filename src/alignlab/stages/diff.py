"""Two constitutions beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import UserError
from ..settings import BehaviourSettings, EndpointSettings
from ..text.lists import by_comma
from .stage import done, open_run, rate, result

if TYPE_CHECKING:
    pass
from .ai_judges import ai_judge, comparisons, constitution_digest, finish, fitting, judge_name, lasting


def diff_constitutions(
    *,
    words: Sequence[str],
    judge_model: str,
    data: str,
    gold: str,
    models: str,
    asked: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: BehaviourSettings,
    count: int = 0,
) -> dict[str, Any]:
    """Two constitutions: which labels flip on the same pairs; and of two models, one trained by each, which
    behavior moves.
    """
    if len(words) != 2:
        raise UserError(
            f"a difference is one of two constitutions, and {len(words)} are named",
            remedy="alignlab constitution diff A.toml B.toml --data RUN --judge-model M",
        )
    both = by_comma(models)
    if len(both) not in (0, 2) or both and not gold:
        raise UserError(
            f"--models {models!r}: behaviour is that of two models, before a judge that knows",
            remedy="--models RUN_A,RUN_B --gold town:gold",
        )
    pairs, whos = comparisons(data, seed, count), [judge_name(judge_model, word, settings) for word in words]
    prompts = [names.data.read_data(asked, "prompt", seed=0, count=settings.prompts)] if both else []
    named_truth = names.judges.maybe_judge(gold)
    run = open_run(
        "diff",
        out,
        lasting(settings),
        seed,
        resume,
        uses=[*names.models.loaded_here(judge_model, *both), pairs, *prompts, named_truth],
        gold=gold,
        a=constitution_digest(whos[0]),
        b=constitution_digest(whos[1]),
        judge=str(whos[0]),
    )
    if run.done:
        return done(run)
    from ..evals import judges as method
    from ..evals import labels

    truth, judges = named_truth.load(), [ai_judge(run, who, settings, seed) for who in whos]
    dealt, happened = method.dealt(fitting(run, judges[0], pairs.records), seed)
    first, second = (
        method.judged(run, judge, dealt, chunk=settings.chunk, name=f"verdicts-{side}")
        for side, judge in zip("ab", judges, strict=True)
    )
    known = happened if truth is None else method.truths(truth, first)
    summary: dict[str, Any] = {
        "a": words[0],
        "b": words[1],
        "principles": method.differ(judges[0].constitution, judges[1].constitution),
        "labels": labels.change(
            method.stated_of(first), method.stated_of(second), method.prompts_of(first), known
        ),
        "judge": {"a": method.tally(first), "b": method.tally(second)},
    }
    run.log_samples(0, method.flips(first, second, known))
    lines = [
        f"{rate(summary['labels']['flips'])} of the labels flip, mean change "
        f"{rate(summary['labels']['moved'])}, accuracy {rate(summary['labels']['accuracy_gain'])}"
    ]
    if truth and prompts:
        [loaded] = prompts
        samplers = {
            name: names.models.sampler(
                name, model=settings.model, endpoint=EndpointSettings(), sampling=settings.sampling
            )
            for name in both
        }
        summary["behaviour"] = method.behavior(
            samplers, loaded.records, truth, max_new_tokens=settings.sampling.max_new_tokens, seed=seed
        )
        lines += [
            f"{part}: {rate(row[both[0]])} -> {rate(row[both[1]])}, difference {rate(row['difference'])}"
            for part, row in summary["behaviour"].items()
        ]
    finish(run, judges[0], summary)
    return result(run, "\n".join(lines))
