"""Stages about an AI judge: it labels a policy's answers; and how good, how fair and how steadfast it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..data.checks import with_room
from ..errors import ConfigError, DataError, UserError
from ..records import Comparison, Completion
from ..run import RunDir
from ..sampling.endpoint import EndpointSampler, is_endpoint
from ..settings import AIJudgeSettings, BehaviourSettings, EndpointSettings, LabelSettings, ModelSettings
from .learn import preferences
from .stage import done, open_run, rate, result

if TYPE_CHECKING:
    from ..feedback.ai import AIJudge
    from ..feedback.ai_name import AIName


def label_answers(
    *,
    model: str,
    judge_model: str,
    data: str,
    constitution: str,
    helpful: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: LabelSettings,
    count: int = 0,
    beside: str = "",
) -> dict[str, Any]:
    """Pairs of a policy's answers (and of another model's, `beside`) with soft labels by an AI judge, mixed
    with people's comparisons for helpfulness.
    """
    prompts = names.data.read(data, "prompt", seed=seed, count=count)
    kind, learn, test, said = (
        preferences(helpful, seed, 0, settings.held_out) if helpful else ([], [], None, "")
    )
    who = judge_name(judge_model, constitution, settings, labels=settings.labels)
    run = open_run(
        "label",
        out,
        _lasting(settings),
        seed,
        resume,
        models=[name for name in (model, judge_model, beside) if name and not is_endpoint(name)],
        data=[prompts, *kind],
        gold=gold,
        judge=str(who),
        constitution=_digest(who),
        policy=model,
        **({"beside": beside} if beside else {}),
    )
    if run.done:
        return done(run)
    from ..collecting import label as method
    from ..models.load import context_of

    writers = [name for name in (model, beside) if name]
    judge = ai_judge(run, who, settings, seed, others=tuple(writers))
    policy, *other = [
        names.models.sampler(
            name,
            model=ModelSettings() if is_endpoint(name) else settings.model,
            sampling=settings.sampling,
            cache=run.path / f"{part}.jsonl",
            endpoint=settings.endpoint if is_endpoint(name) else EndpointSettings(),
        )
        for name, part in zip(writers, ("policy", "beside"), strict=False)
    ]
    asked = list(prompts.records)
    if not isinstance(policy, EndpointSampler):
        asked, note = with_room(
            asked,
            policy.tokenizer,
            context=context_of(policy.model),
            new_tokens=settings.sampling.max_new_tokens,
        )
        run.note(note)
    run.note(said)
    summary = method.run(
        run,
        policy,
        judge,
        asked,
        settings,
        helpful=learn,
        helpful_test=test,
        gold=names.judges.maybe_judge(gold),
        beside=other[0] if other else None,
        seed=seed,
    )
    finish(run, judge, summary)
    known = f"; {rate(summary['labels']['accuracy'])} as gold has it on held-out pairs" if gold else ""
    return result(
        run,
        (
            f"{summary['comparisons']} pairs labelled, {summary['judge']['undecided']} undecided{known}; "
            f"effect of order {rate(summary['order_effect'])}"
        ),
    )


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
    run = open_run(
        "agreement",
        out,
        _lasting(settings),
        seed,
        resume,
        models=[judge_model] if judge_model and not is_endpoint(judge_model) else [],
        data=[pairs],
        gold=gold,
        judge=str(who or ""),
        constitution=_digest(who) if who else "",
        injections="yes" if injections else "",
    )
    if run.done:
        return done(run)
    from ..evals import verdicts

    truth = names.judges.maybe_judge(gold)
    if who is None:
        shown, judge = [as_first_shown(c) for c in pairs.records], None
        if truth is None:
            raise UserError(
                "a label run's labels are held against gold",
                remedy="--gold town:harmless; or --judge-model M to ask a judge about the data's own labels",
            )
        happened = verdicts.truths(truth, shown)
    else:
        judge = ai_judge(run, who, settings, seed)
        dealt, happened = verdicts.dealt(fitting(run, judge, pairs.records), seed)
        shown = verdicts.judged(run, judge, dealt, chunk=settings.chunk)
        happened = happened if truth is None else verdicts.truths(truth, shown)
    summary: dict[str, Any] = {
        "against": gold or "the data's labels",
        **verdicts.agree(shown, happened, seed=seed),
    }
    if injections and judge:
        ordered = [better_first(c, y) for c, y in zip(shown, happened, strict=True) if y != 0.5]
        summary["injections"] = verdicts.inject(
            judge, [c for c in ordered if (c.label or 0) > 0.5][:100], seed=seed
        )
    run.log_samples(
        0,
        [
            c.to_json() | {"truth": y}
            for c, y in zip(shown, happened, strict=True)
            if y != 0.5 and c.label is not None and (c.label - 0.5) * (y - 0.5) < 0
        ][:50],
    )
    finish(run, judge, summary)
    found, c = summary["labels"], summary["calibration"]
    lines = [
        (
            f"labels against {summary['against']}: accuracy {rate(found['accuracy'])}, kappa "
            f"{rate(found['kappa'])}, ECE {rate(found['ece'])}"
        ),
        (
            f"on held-out prompts, ECE {rate(c['ece_before'])} before and {rate(c['ece_after'])} after "
            f"temperature {c['temperature']:.3g}"
        ),
        (
            f"order: effect {rate(summary['order_effect'])}, bias {rate(summary['order_bias'])}, verdicts "
            f"that change sides {rate(summary['order_flips'])}"
        ),
    ]
    if "injections" in summary:
        found = summary["injections"]
        lines.append(
            f"{len(found['cases'])} injections: shift {rate(found['shift'])}, most {found['most']:.3f}, won {rate(found['won'])}; "
            f"harmless sentences: shift {rate(found['controls']['shift'])}, most "
            f"{found['controls']['most']:.3f}, won {rate(found['controls']['won'])}"
        )
    return result(run, "\n".join(lines))


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
        _lasting(settings),
        seed,
        resume,
        models=[] if is_endpoint(who.model) else [who.model],
        data=[pairs],
        gold=gold,
        judge=str(who),
        constitution=_digest(who),
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
    behaviour moves.
    """
    if len(words) != 2:
        raise UserError(
            f"a difference is one of two constitutions, and {len(words)} are named",
            remedy="alignlab constitution diff A.toml B.toml --data RUN --judge-model M",
        )
    both = [name.strip() for name in models.split(",") if name.strip()]
    if len(both) not in (0, 2) or both and not gold:
        raise UserError(
            f"--models {models!r}: behaviour is that of two models, before a judge that knows",
            remedy="--models RUN_A,RUN_B --gold town:gold",
        )
    pairs, whos = comparisons(data, seed, count), [judge_name(judge_model, word, settings) for word in words]
    prompts = names.data.read(asked, "prompt", seed=0, count=settings.prompts) if both else None
    run = open_run(
        "diff",
        out,
        _lasting(settings),
        seed,
        resume,
        models=[*([] if is_endpoint(judge_model) else [judge_model]), *both],
        data=[pairs, *([prompts] if prompts else [])],
        gold=gold,
        a=_digest(whos[0]),
        b=_digest(whos[1]),
        judge=str(whos[0]),
    )
    if run.done:
        return done(run)
    from ..evals import verdicts

    truth, found, judges = (
        names.judges.maybe_judge(gold),
        [],
        [ai_judge(run, who, settings, seed) for who in whos],
    )
    dealt, happened = verdicts.dealt(fitting(run, judges[0], pairs.records), seed)
    for side, judge in zip("ab", judges, strict=True):
        found.append(verdicts.judged(run, judge, dealt, chunk=settings.chunk, name=f"verdicts-{side}"))
    known = happened if truth is None else verdicts.truths(truth, found[0])
    summary: dict[str, Any] = {
        "a": words[0],
        "b": words[1],
        "principles": verdicts.differ(judges[0].constitution, judges[1].constitution),
        "labels": verdicts.measure.change(verdicts.stated_of(found[0]), verdicts.stated_of(found[1]), known),
        "judge": {side: verdicts.tally(rows) for side, rows in zip("ab", found, strict=True)},
    }
    run.log_samples(0, verdicts.flips(found[0], found[1], known))
    lines = [
        (
            f"{rate(summary['labels']['flips'])} of the labels flip, mean change "
            f"{rate(summary['labels']['moved'])}, accuracy {rate(summary['labels']['accuracy_gain'])}"
        )
    ]
    if both and prompts and truth:
        samplers = {
            name: names.models.sampler(
                name, model=settings.model, endpoint=EndpointSettings(), sampling=settings.sampling
            )
            for name in both
        }
        summary["behaviour"] = verdicts.behaviour(
            samplers, prompts.records, truth, max_new_tokens=settings.sampling.max_new_tokens, seed=seed
        )
        lines += [
            f"{part}: {rate(row[both[0]])} -> {rate(row[both[1]])}, difference {rate(row['difference'])}"
            for part, row in summary["behaviour"].items()
        ]
    finish(run, judges[0], summary)
    return result(run, "\n".join(lines))


# --- what they share ---


def judge_name(model: str, constitution: str, settings: AIJudgeSettings, *, labels: str = "soft") -> AIName:
    """What is asked of whom. Raises UserError without a model."""
    from ..feedback.ai_name import AIName

    if not model:
        raise UserError(
            "nobody judges",
            remedy=(
                "--judge-model M: a run of `alignlab constitution critic`, any model, or "
                "http://host:port/v1#model"
            ),
        )
    tags = tuple(tag.strip() for tag in settings.tags.split(",") if tag.strip())
    return AIName(
        model,
        constitution,
        settings.principles,
        tags,
        settings.ask,
        settings.orders,
        labels,
        settings.cot,
        1.0,
        settings.form,
    )


def ai_judge(
    run: RunDir, who: AIName, settings: AIJudgeSettings, seed: int, *, others: Sequence[str] = ()
) -> AIJudge:
    """The judge, with the run's settings; an endpoint's answers are kept in the run. `others`: models that
    are asked beside it.
    """
    if settings.endpoint != EndpointSettings() and not any(map(is_endpoint, (who.model, *others))):
        raise ConfigError(
            "endpoint.* says how a server is asked, and no model here is behind one",
            where=who.model,
            remedy="take it away, or --judge-model http://host:port/v1#model",
        )
    return names.judges.ai_judge(
        who, model=settings.model, endpoint=settings.endpoint, cache=run.path / "judge.jsonl", seed=seed
    )


def _digest(who: AIName) -> str:
    """The digest of the constitution that a judge would read, without loading the judge."""
    from ..constitution import files, forms

    folder = who.model if is_endpoint(who.model) else names.known.model_path(who.model)
    return files.load(
        who.constitution or ("town" if forms.form_of(who.form, folder).documents else "general")
    ).digest


def _lasting(settings: Any) -> Any:
    """The settings without how a server is asked: a run goes on with another budget."""
    return replace(settings, endpoint=EndpointSettings())


def comparisons(data: str, seed: int, count: int) -> names.data.Data:
    """Comparisons of a data name; of a run of `constitution label`, its held-out ones and then the others, so
    that `count` takes those first.
    """
    if not data:
        raise UserError(
            "no pairs are named",
            remedy="--data RUN, a run of `alignlab constitution label`, or a file of comparisons",
        )
    held_out = Path(data) / "data" / "comparisons_test.jsonl"
    if not held_out.exists():
        return names.data.read(data, "comparison", seed=seed, count=count)
    names.known.check_finished(data)
    parts = [
        names.data.read(str(path), "comparison", seed=seed)
        for path in (held_out, held_out.with_name("comparisons.jsonl"))
    ]
    records = [c for part in parts for c in part.records][: count or None]
    return names.data.Data(records, data, "+".join(part.digest for part in parts) + f"/{count}")


def as_first_shown(c: Comparison) -> Comparison:
    """A comparison of a label run as it was shown first: chosen and rejected as (A) and (B), the plain label.
    Raises DataError for any other.
    """
    if "shown" not in c.meta or "plain" not in c.meta or c.label is None:
        raise DataError(
            "the pairs have no labels of an AI judge",
            remedy="--data RUN, a run of `alignlab constitution label`; or --judge-model M to have them judged",
        )
    if c.meta["shown"] == "chosen":
        return replace(c, label=float(c.meta["plain"]))
    return replace(
        c,
        chosen=c.rejected,
        rejected=c.chosen,
        chosen_finished=c.rejected_finished,
        rejected_finished=c.chosen_finished,
        label=float(c.meta["plain"]),
    )


def better_first(c: Comparison, truth: float) -> Comparison:
    """A pair as shown, with the truly better answer as chosen; the label goes along."""
    if truth > 0.5 or c.label is None:
        return c
    return replace(
        c,
        chosen=c.rejected,
        rejected=c.chosen,
        chosen_finished=c.rejected_finished,
        rejected_finished=c.chosen_finished,
        label=1 - c.label,
    )


def fitting(run: RunDir, judge: AIJudge, pairs: Sequence[Comparison]) -> list[Comparison]:
    """The pairs that the judge's context holds, those that are too long counted. Raises DataError if none is
    left.
    """
    kept = [c for c in pairs if judge.fits(Completion(c.prompt, c.chosen), Completion(c.prompt, c.rejected))]
    if not kept:
        raise DataError(
            f"none of {len(pairs)} pairs fits the judge's context", remedy="shorter pairs, or another judge"
        )
    if len(kept) < len(pairs):
        run.note(
            f"{len(pairs) - len(kept)} of {len(pairs)} pairs do not fit the judge's context and are left out"
        )
    return kept


def finish(run: RunDir, judge: AIJudge | None, summary: dict[str, Any]) -> None:
    """Close the run; what an endpoint cost goes into the summary."""
    if judge and isinstance(judge.reader, EndpointSampler):
        summary["endpoint"] = {**judge.reader.spent, "letters_only": judge.reader.letters_only}
    run.finish(summary)


def _negative(s: dict[str, Any]) -> dict[str, Any]:
    return {**s, "mean": 0 - s["mean"], "ci": [0 - x for x in reversed(s["ci"])]}
