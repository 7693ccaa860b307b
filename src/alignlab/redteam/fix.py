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
from ..records import Prompt, question
from ..run import RunDir, derive_seed, writing
from ..settings import DPOSettings, RedteamSettings, SFTSettings
from ..stages.stage import train_policy, within_context
from ..text.lines import read_lines
from ..text.lists import by_comma
from . import repair
from .attempt import goals_of
from .campaign import Outcome, Plan, attack_all, document, voids
from .finding import Finding, findings_of
from .session import Attack
from .steps import campaign, correction, keep_campaign, prepared


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

    What is held out (families; what goals, twins and test ask, in whatever words) is never learned from.
    Differences are paired by goal, by twin, by test prompt. A later round whose attacks reach no training
    goal has nothing to teach: it is the last, and `ended` says so.

    Raises:
        DataError: every training goal is a question of the test; nothing was hit, or refused; lessons that a
            person has broken.
    """
    s = settings
    attacked = attacked_of(plan.attacks, set(by_comma(s.held_out)))
    fresh = {question(goal.prompt) for goal in plan.goals}
    prompts = read_prompts(test, s.test_prompts, seed=0)
    tested = {question(prompt) for prompt in [*plan.twins, *prompts]}
    training = goals_of(read_prompts(learn, s.learn_goals, seed=seed))
    unseen = [goal for goal in training if question(goal.prompt) not in fresh]
    if not unseen:
        raise DataError(
            "every training goal asks, in whatever words, what a goal of the test asks",
            where=f"--learn {learn}",
            remedy="--learn with other requests than --data",
        )
    scorer = names.judges.maybe_judge(gold).load()

    def measured(path: str, folder: str) -> tuple[Outcome, list[dict[str, float]], list[Finding]]:
        session, usable_plan = prepared(run, path, stack, plan, judge, s, folder=folder)
        outcome, findings = campaign(run, session, usable_plan, s)
        answers = session.ask(prompts, seed=derive_seed(seed, "test"), temperature=0.0)
        parts = []
        if scorer and prompts:
            parts = [dict(score.parts) for score in scorer.score(answers)]
        return outcome, parts, findings

    before, parts_before, findings = measured(model, "round-0")
    keep_campaign(run, before, findings)
    curve = [row_of(0, before, attacked, parts_before, [])]
    path, correct = model, correction(judge.name)
    names_attacked = [attack.name for attack in attacked]
    held = others_of(before, names_attacked)
    ends: dict[str, Any] = {}
    taught: list[repair.Lesson] = []
    ended = ""
    for number in range(1, s.rounds + 1):
        # 1. find, on training goals
        find_seed = derive_seed(seed, "find", number)
        search = Plan(attacked, unseen, [], plan.budget, s.search_goals, find_seed)
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
        rest = read_prompts(ordinary, s.ordinary_prompts, seed=seed)
        new = repair.lessons(
            outcome,
            session,
            read_prompts(s.harmless_train, s.learn_goals, seed=seed),
            [prompt for prompt in rest if prompt.meta.get("kind") != "harmful"],
            per_attack=s.per_attack,
            seed=derive_seed(seed, "lessons", number),
        )
        lessons, report = repair.checked(new, session, forbidden=frozenset(fresh | tested))
        note = f"round {number}: {report['kept']} of {report['lessons']} lessons kept"
        for why, count in report["dropped"].items():
            note += f"; {count} dropped: {why}"
        run.note(note)
        if review:
            file = Path(review)
            if s.rounds > 1:
                file = file.with_stem(f"{file.stem}-{number}")
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
        taught = [lesson for lesson in taught if lesson.refuses]
        taught += [lesson for lesson in lessons if lesson.keep]
        with writing(run.path):
            (run.path / "data").mkdir(exist_ok=True)
            write_lessons(run.path / "data" / f"lessons-{number}.jsonl", lessons)

        # 3. learn
        path = trained(run, path, taught, number, seed=seed, settings=s)

        # 4. attack again
        after, parts_after, findings = measured(path, f"round-{number}")
        keep_campaign(run, after, findings, name=f"-after-{number}")
        label = f"{run.out}/models/{number}"
        ends = {
            "after": document(label, after, findings=len(findings), correct=correct),
            "deltas": deltas(before, after, names_attacked, held, parts_before, parts_after),
        }
        row = row_of(number, after, attacked, parts_after, best_arms(outcome))
        curve.append(row | {"lessons": report} | ends)
    families = sorted({attack.family for attack in plan.attacks} - {attack.family for attack in attacked})
    return {
        "before": document(model, before, findings=len(findings_of(run.path)), correct=correct),
        **ends,
        "held_out_families": families,
        "held_out_attacks": held,
        "rounds": curve,
        "ended": ended,
        "model": f"{run.out}/models/{len(curve) - 1}",
    }


def attacked_of(attacks: Sequence[Attack], held_out: set[str]) -> list[Attack]:
    """The attacks that are learned from: those that are not held out by name or family. Raises ConfigError
    for a name that none has, and where none is left.
    """
    known: set[str] = set()
    for attack in attacks:
        known |= {attack.family, attack.name}
    if unknown := held_out - known:
        raise ConfigError(
            f"held_out names {', '.join(sorted(unknown))}, which is no attack or family of this campaign",
            remedy="--held_out with families or names among --attacks",
        )
    attacked = [attack for attack in attacks if not {attack.family, attack.name} & held_out]
    if not attacked:
        raise ConfigError("every attack is held out: there is nothing to find", remedy="a smaller --held_out")
    return attacked


def others_of(outcome: Outcome, attacked: Sequence[str]) -> list[str]:
    """The names of a campaign's attacks beside these."""
    return [attack.name for attack in outcome.plan.attacks if attack.name not in attacked]


def read_prompts(name: str, count: int, *, seed: int) -> list[Prompt]:
    """So many prompts of a set; none where none is named."""
    if not name:
        return []
    return list(names.data.read_data(name, "prompt", seed=seed, count=count).records)


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
        from ..methods import direct, sft
        from ..models.blending import move

        fitting = within_context(inner, method, policy.model)
        learns = [parameter for parameter in policy.model.parameters() if parameter.requires_grad]
        start = [parameter.detach().clone() for parameter in learns]
        if isinstance(fitting, SFTSettings):
            demonstrations = [lesson.demonstration() for lesson in lessons]
            summary = sft.train(inner, policy, demonstrations, fitting, seed=seed)
        else:
            comparisons = [lesson.comparison() for lesson in lessons if lesson.rejected]
            summary = direct.train(inner, policy, comparisons, fitting, seed=seed)
        move(learns, start, 1 - settings.reach)
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


def paired_after_less_before(pairs: Sequence[tuple[float, float]]) -> dict[str, Any] | None:
    """Of pairs (before, after); None where there are none."""
    if not pairs:
        return None
    before, after = zip(*pairs, strict=True)
    return paired_difference(after, before)


def deltas(
    before: Outcome,
    after: Outcome,
    attacked: Sequence[str],
    held_out: Sequence[str],
    parts_before: Sequence[Mapping[str, float]],
    parts_after: Sequence[Mapping[str, float]],
) -> dict[str, Any]:
    """Paired differences, after less before; None where nothing was measured."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for name, chosen in (("asr_attacked", attacked), ("asr_held_out", held_out)):
        was, now = per_goal(before, chosen), per_goal(after, chosen)
        pairs[name] = [(was[goal], now[goal]) for goal in was]
    pairs["over_refusal"] = []
    for (_, was), (_, now) in zip(before.twins, after.twins, strict=True):
        if was.scored and now.scored:
            pairs["over_refusal"].append((float(was.refuses), float(now.refuses)))
    for part in ("helpful", "honest", "gold"):
        pairs[part] = []
        for was, now in zip(parts_before, parts_after, strict=True):
            if part in was and part in now:
                pairs[part].append((was[part], now[part]))
    return {name: paired_after_less_before(pairs[name]) for name in pairs}


def row_of(
    number: int,
    outcome: Outcome,
    attacked: Sequence[Attack],
    parts: Sequence[Mapping[str, float]],
    arms: Sequence[Any],
) -> dict[str, Any]:
    """One point of the cat-and-mouse curve."""
    known = [attack.name for attack in attacked]
    best = max(outcome.plan.attacks, key=outcome.success)
    return {
        "round": number,
        "asr_attacked": mean_ci(list(per_goal(outcome, known).values())),
        "asr_held_out": mean_ci(list(per_goal(outcome, others_of(outcome, known)).values())),
        "over_refusal": mean_ci(outcome.refused_twins),
        "helpful": mean_ci([row["helpful"] for row in parts if "helpful" in row]),
        "best": best.name,
        "best_asr": mean_ci(outcome.hits(best)),
        "found": list(arms),
        "void": voids(outcome),
    }


def best_arms(outcome: Outcome) -> list[dict[str, Any]]:
    """What worked best when lessons were looked for: the five attacks with most goals reached."""
    best = sorted(outcome.plan.attacks, key=outcome.success, reverse=True)[:5]
    return [{"attack": attack.name, "asr": outcome.success(attack)} for attack in best]


def write_lessons(file: Path, lessons: Sequence[repair.Lesson]) -> None:
    """A file that a person can edit, whole or not at all."""
    from ..records import write_jsonl

    with writing(file.parent):
        write_jsonl(file, lessons)


def read_lessons(file: Path) -> list[repair.Lesson]:
    """Lessons from a file that a person went through. Raises DataError with file and row."""
    lessons = []
    for number, row in read_lines(file):
        try:
            lessons.append(repair.Lesson.from_json(row))
        except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
            raise DataError(
                f"not a lesson: {getattr(error, 'what', error)}",
                where=f"{file}:{number}",
                remedy="edit keep and chosen only, or delete the row",
            ) from error
    return lessons
