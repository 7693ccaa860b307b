"""An AI judge's labels held against people's, or against gold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import DataError, UserError
from ..records import Comparison
from ..settings import AIJudgeSettings
from .stage import done, open_run, rate, result

if TYPE_CHECKING:
    pass
from .ai_judges import ai_judge, comparisons, constitution_digest, finish, fitting, judge_name, lasting


def judge_agreement(
    *,
    judge_model: str,
    data: str,
    constitution: str,
    gold: str,
    injections: bool,
    out: Path,
    seed: int,
    resume: bool,
    settings: AIJudgeSettings,
    count: int = 0,
) -> dict[str, Any]:
    """An AI judge's labels against people's (those of the data) or gold, with intervals; or, without a judge,
    the labels of a run of `constitution label`.
    """
    pairs = comparisons(data, seed, count)
    who = judge_name(judge_model, constitution, settings) if judge_model else None
    if who is None and (constitution or injections):
        raise UserError(
            "without --judge-model the labels that the data has are looked at: nobody is asked",
            remedy="--judge-model M, or without --constitution and --injections",
        )
    named_truth = names.judges.maybe_judge(gold)
    run = open_run(
        "agreement",
        out,
        lasting(settings),
        seed,
        resume,
        uses=[*names.models.loaded_here(judge_model), pairs, named_truth],
        gold=gold,
        judge=str(who or ""),
        constitution=constitution_digest(who) if who else "",
        injections="yes" if injections else "",
    )
    if run.done:
        return done(run)
    from ..evals import judges as method
    from ..evals.injections import inject

    truth = named_truth.load()
    if who is None:
        shown, judge = [as_first_shown(c) for c in pairs.records], None
        if truth is None:
            raise UserError(
                "a label run's labels are held against gold",
                remedy="--gold town:harmless; or --judge-model M to ask a judge about the data's own labels",
            )
        happened = method.truths(truth, shown)
    else:
        judge = ai_judge(run, who, settings, seed)
        dealt, happened = method.dealt(fitting(run, judge, pairs.records), seed)
        shown = method.judged(run, judge, dealt, chunk=settings.chunk)
        happened = happened if truth is None else method.truths(truth, shown)
    summary: dict[str, Any] = {
        "against": gold or "the data's labels",
        **method.agree(shown, happened, seed=seed),
    }
    if injections and judge:
        ordered = [better_first(c, y) for c, y in zip(shown, happened, strict=True) if y != 0.5]
        summary["injections"] = inject(judge, [c for c in ordered if (c.label or 0) > 0.5][:100], seed=seed)
    wrong = [c.to_json() | {"truth": y} for c, y in zip(shown, happened, strict=True) if _is_wrong(c, y)]
    run.log_samples(0, wrong[:50])
    finish(run, judge, summary)
    return result(run, "\n".join(_lines(summary)))


def _is_wrong(c: Comparison, truth: float) -> bool:
    """Whether a label is for the worse answer."""
    return truth != 0.5 and c.label is not None and (c.label - 0.5) * (truth - 0.5) < 0


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    labels, c = summary["labels"], summary["calibration"]
    yield (
        f"labels against {summary['against']}: accuracy {rate(labels['accuracy'])}, kappa "
        f"{rate(labels['kappa'])}, ECE {rate(labels['ece'])}"
    )
    yield (
        f"on held-out prompts, ECE {rate(c['ece_before'])} before and {rate(c['ece_after'])} after "
        f"temperature {c['temperature']:.3g}"
    )
    yield (
        f"order: effect {rate(summary['order_effect'])}, bias {rate(summary['order_bias'])}, verdicts "
        f"that change sides {rate(summary['order_flips'])}"
    )
    if "injections" in summary:
        injections, controls = summary["injections"], summary["injections"]["controls"]
        yield (
            f"{len(injections['cases'])} injections: shift {rate(injections['shift'])}, "
            f"most {injections['most']:.3f}, won {rate(injections['won'])}; "
            f"harmless sentences: shift {rate(controls['shift'])}, most {controls['most']:.3f}, "
            f"won {rate(controls['won'])}"
        )


def as_first_shown(c: Comparison) -> Comparison:
    """A comparison of a label run as it was shown first: chosen and rejected as (A) and (B), the plain label.
    Raises DataError for any other.
    """
    if "shown" not in c.meta or "plain" not in c.meta or c.label is None:
        raise DataError(
            "the pairs have no labels of an AI judge",
            remedy="--data RUN, a run of `alignlab constitution label`; "
            "or --judge-model M to have them judged",
        )
    if c.meta["shown"] == "chosen":
        return replace(c, label=float(c.meta["plain"]))
    return replace(_turned(c), label=float(c.meta["plain"]))


def better_first(c: Comparison, truth: float) -> Comparison:
    """A pair as shown, with the truly better answer as chosen; the label goes along."""
    if truth > 0.5 or c.label is None:
        return c
    return replace(_turned(c), label=1 - c.label)


def _turned(c: Comparison) -> Comparison:
    return replace(
        c,
        chosen=c.rejected,
        rejected=c.chosen,
        chosen_finished=c.rejected_finished,
        rejected_finished=c.chosen_finished,
    )
