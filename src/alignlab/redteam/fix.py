"""A fix: learn from what attacks find, attack again, and say what that cost. One round after the other, each
from the model of the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import names
from ..errors import ConfigError, DataError
from ..evals.statistics import mean_ci, paired_difference
from ..feedback.safety.verdicts import VerdictJudge
from ..run import RunDir, derive_seed, writing
from ..settings import DPOSettings, RedteamSettings, SFTSettings
from ..stages.stage import train_policy, within_context
from ..text.lines import read_lines
from . import repair
from .attempt import as_records, goals_of
from .campaign import Outcome, Plan, attack_all, document, voids
from .findings import Finding, findings_of
from .session import Attack
from .steps import campaign, correction, kept, prepared


def fixed(
    run: RunDir,
    model: str,
    stack: Sequence[str],
    plan: Plan,
    judge: VerdictJudge,
    *,
    learn: str,
    ordinary: str,
    test: str,
    gold: str,
    review: str,
    seed: int,
    settings: RedteamSettings,
) -> dict[str, Any]:
    """Rounds: 1. attack training goals with the families that are not held out; 2. lessons, checked and
    reviewed; 3. train; 4. attack fresh goals with everything.

    What is held out (families, goals, twins) is never learnt from. Differences are paired by goal, by twin,
    by test prompt. A later round whose attacks reach no training goal has nothing to teach: it is the last,
    and `ended` says so.
    """
    s = settings
    held_out = {name.strip() for name in s.held_out.split(",") if name.strip()}
    attacked = [attack for attack in plan.attacks if not {attack.family, attack.name} & held_out]
    if unknown := held_out - {word for attack in plan.attacks for word in (attack.family, attack.name)}:
        raise ConfigError(
            f"held_out names {', '.join(sorted(unknown))}, which is no attack or family of this campaign",
            remedy="--held_out with families or names among --attacks",
        )
    if not attacked:
        raise ConfigError("every attack is held out: there is nothing to find", remedy="a smaller --held_out")
    prompts = names.data.read_data(test, "prompt", seed=0, count=s.test_prompts).records if test else []
    scorer = names.judges.maybe_judge(gold).load()

    def measured(path: str, folder: str) -> tuple[Outcome, list[dict[str, float]], list[Finding]]:
        session, usable_plan = prepared(run, path, stack, plan, judge, s, folder=folder)
        outcome, findings = campaign(run, session, usable_plan, s)
        answers = session.ask(prompts, seed=derive_seed(seed, "test"), temperature=0.0)
        return (
            outcome,
            [dict(score.parts) for score in scorer.score(answers)] if scorer and prompts else [],
            findings,
        )

    before, parts_before, findings = measured(model, "round-0")
    kept(run, before, findings)
    curve = [row_of(0, before, attacked, parts_before, [])]
    path, after, parts_after = model, before, parts_before
    found: list[repair.Lesson] = []
    ended = ""
    for number in range(1, s.rounds + 1):
        # 1. find, on training goals
        training = goals_of(names.data.read_data(learn, "prompt", seed=seed, count=s.learn_goals).records)
        fresh = {goal.id for goal in plan.goals}
        search = Plan(
            attacked,
            [goal for goal in training if goal.id not in fresh],
            [],
            plan.budget,
            s.search_goals,
            derive_seed(seed, "find", number),
        )
        session, search = prepared(run, path, stack, search, judge, s, folder=f"find-{number}")
        outcome = attack_all(
            session, search, track=lambda items, number=number: run.track(items, desc=f"round {number}: find")
        )
        if number > 1 and not any(repair.learnable(outcome, attack) for attack in attacked):
            ended = (
                f"round {number}: no attack reaches any of the {len(search.goals)} training goals any more: "
                "there is nothing left to learn"
            )
            run.note(ended)
            break

        # 2. lessons of this round and of those before; checked; reviewed
        harmless = (
            names.data.read_data(s.harmless_train, "prompt", seed=seed, count=s.learn_goals).records
            if s.harmless_train
            else []
        )
        rest = (
            names.data.read_data(ordinary, "prompt", seed=seed, count=s.ordinary_prompts).records
            if ordinary
            else []
        )
        new = repair.lessons(
            outcome,
            session,
            harmless,
            [p for p in rest if p.meta.get("kind") != "harmful"],
            per_attack=s.per_attack,
            seed=derive_seed(seed, "lessons", number),
        )
        lessons, report = repair.checked(
            new,
            session,
            forbidden=frozenset(
                {*fresh, *(prompt.id for prompt in plan.twins), *(prompt.id for prompt in prompts)}
            ),
        )
        run.note(
            f"round {number}: {report['kept']} of {report['lessons']} lessons kept"
            + "".join(f"; {count} dropped: {why}" for why, count in report["dropped"].items())
        )
        if review:
            file = Path(review).with_stem(f"{Path(review).stem}-{number}") if s.rounds > 1 else Path(review)
            if not file.exists():
                write_lessons(file, lessons)
                return {
                    "review": str(file),
                    "lessons": report,
                    "text": (
                        f"{file}: {len(lessons)} lessons to review. Set keep, or edit chosen; then the same "
                        "command goes on."
                    ),
                }
            lessons = read_lessons(file)
        found = [lesson for lesson in found if lesson.kind in ("refuse", "recover")] + [
            lesson for lesson in lessons if lesson.keep
        ]
        with writing(run.path):
            (run.path / "data").mkdir(exist_ok=True)
            write_lessons(run.path / "data" / f"lessons-{number}.jsonl", lessons)

        # 3. learn
        path = trained(run, path, found, number, seed=seed, settings=s)

        # 4. attack again
        after, parts_after, findings = measured(path, f"round-{number}")
        kept(run, after, findings, name=f"-after-{number}")
        curve.append(row_of(number, after, attacked, parts_after, best_arms(outcome)) | {"lessons": report})
    families = sorted({attack.family for attack in plan.attacks} - {attack.family for attack in attacked})
    held = [attack.name for attack in before.plan.attacks if attack.name not in {a.name for a in attacked}]
    final, correct = f"{run.out}/models/{len(curve) - 1}", correction(judge.name)
    return {
        "before": document(model, before, findings=len(findings_of(run.path)), correct=correct),
        "after": document(final, after, findings=len(findings), correct=correct),
        "held_out_families": families,
        "held_out_attacks": held,
        "deltas": deltas(before, after, [a.name for a in attacked], held, parts_before, parts_after),
        "rounds": curve,
        "ended": ended,
        "model": final,
    }


def trained(
    run: RunDir,
    model: str,
    lessons: Sequence[repair.Lesson],
    number: int,
    *,
    seed: int,
    settings: RedteamSettings,
) -> str:
    """The model after a round's lessons: a run of its own below this one.

    Of the way from the attacked weights to those that training ends in it goes `reach` (Wortsman et al. 2022,
    "Robust fine-tuning of zero-shot models", equation 1): the last stretch is what makes harmless requests be
    refused. Of an adapter its factors go so far.
    """
    method: SFTSettings | DPOSettings = settings.sft if settings.method == "sft" else settings.dpo

    def train(inner: RunDir, policy: Any) -> dict[str, Any]:
        import torch

        from ..methods import direct, sft

        fitting = within_context(inner, method, policy.model)
        learns = [parameter for parameter in policy.model.parameters() if parameter.requires_grad]
        start = [parameter.detach().clone() for parameter in learns]
        if isinstance(fitting, SFTSettings):
            demonstrations = [lesson.demonstration() for lesson in lessons]
            summary = sft.train(inner, policy, demonstrations, fitting, seed=seed)
        else:
            comparisons = [lesson.comparison() for lesson in lessons if lesson.rejected]
            summary = direct.train(inner, policy, comparisons, fitting, seed=seed)
        with torch.no_grad():
            for parameter, before in zip(learns, start, strict=True):
                parameter.lerp_(before, 1 - settings.reach)
        return summary | {"reach": settings.reach}

    made = train_policy(
        settings.method,
        "red-team fix",
        names.models.model(model),
        train,
        out=run.path / "models" / str(number),
        seed=seed,
        resume=True,
        settings=method,
        uses=[names.data.Data([], "lessons", names.data.digest_of(lessons))],
        said=lambda summary: f"{len(lessons)} lessons",
        learnt=None,
    )
    return made["run"]


def per_goal(outcome: Outcome, attack_names: Sequence[str]) -> dict[str, float]:
    """For each goal the share of these attacks that reached it."""
    chosen = [attack for attack in outcome.plan.attacks if attack.name in attack_names]
    counts: dict[str, list[float]] = {}
    for attack in chosen:
        for goal, hit in zip(outcome.plan.goals_for(attack), outcome.hits(attack), strict=True):
            counts.setdefault(goal.id, []).append(hit)
    return {goal: sum(hits) / len(hits) for goal, hits in counts.items()}


def deltas(
    before: Outcome,
    after: Outcome,
    attacked: Sequence[str],
    held_out: Sequence[str],
    parts_before: Sequence[Mapping[str, float]],
    parts_after: Sequence[Mapping[str, float]],
) -> dict[str, Any]:
    """Paired differences, after less before; None where nothing was measured."""
    found: dict[str, Any] = {}
    for name, chosen in (("asr_attacked", attacked), ("asr_held_out", held_out)):
        was, now = per_goal(before, chosen), per_goal(after, chosen)
        found[name] = paired_difference([now[goal] for goal in was], list(was.values())) if was else None
    pairs = [
        (float(b.label in ("refusal", "partial")), float(a.label in ("refusal", "partial")))
        for (_, b), (_, a) in zip(before.twins, after.twins, strict=True)
        if a.scored and b.scored
    ]
    found["over_refusal"] = paired_difference([a for _, a in pairs], [b for b, _ in pairs]) if pairs else None
    for part in ("helpful", "honest", "gold"):
        both = [
            (b[part], a[part])
            for b, a in zip(parts_before, parts_after, strict=True)
            if part in b and part in a
        ]
        found[part] = paired_difference([a for _, a in both], [b for b, _ in both]) if both else None
    return found


def row_of(
    number: int,
    outcome: Outcome,
    attacked: Sequence[Attack],
    parts: Sequence[Mapping[str, float]],
    arms: Sequence[Any],
) -> dict[str, Any]:
    """One point of the cat-and-mouse curve."""
    known = [attack.name for attack in attacked]
    others = [attack.name for attack in outcome.plan.attacks if attack.name not in known]
    best = max(
        outcome.plan.attacks,
        key=lambda attack: sum(outcome.hits(attack)) / max(1, len(outcome.plan.goals_for(attack))),
    )
    return {
        "round": number,
        "asr_attacked": mean_ci(list(per_goal(outcome, known).values())),
        "asr_held_out": mean_ci(list(per_goal(outcome, others).values())),
        "over_refusal": mean_ci(
            [float(v.label in ("refusal", "partial")) for _, v in outcome.twins if v.scored]
        ),
        "helpful": mean_ci([p["helpful"] for p in parts if "helpful" in p]),
        "best": best.name,
        "best_asr": mean_ci(outcome.hits(best)),
        "found": list(arms),
        "void": voids(outcome),
    }


def best_arms(outcome: Outcome) -> list[dict[str, Any]]:
    """What worked best when lessons were looked for: the five attacks with most goals reached."""
    shares = {
        attack.name: sum(outcome.hits(attack)) / max(1, len(outcome.plan.goals_for(attack)))
        for attack in outcome.plan.attacks
    }
    return [
        {"attack": name, "asr": share}
        for name, share in sorted(shares.items(), key=lambda item: -item[1])[:5]
    ]


def write_lessons(file: Path, lessons: Sequence[repair.Lesson]) -> None:
    """A file that a person can edit, whole or not at all."""
    from ..records import write_jsonl

    with writing(file.parent):
        write_jsonl(file, as_records(lessons))  # type: ignore[arg-type]


def read_lessons(file: Path) -> list[repair.Lesson]:
    """Lessons from a file that a person went through. Raises DataError with file and row."""
    found = []
    for number, row in read_lines(file):
        try:
            found.append(repair.Lesson.from_json(row))
        except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
            raise DataError(
                f"not a lesson: {getattr(error, 'what', error)}",
                where=f"{file}:{number}",
                remedy="edit keep and chosen only, or delete the row",
            ) from error
    return found
