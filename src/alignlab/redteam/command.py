"""`alignlab redteam MODEL`: plan, attack, judge, find, report; with `--fix` also learn from what was found, and attack again.

Everything that is slow is kept as it is made, so that a campaign which is killed goes on where it was and ends in the same figures.
"""

from __future__ import annotations

import json
import operator
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import names
from ..errors import CheckFailed, ConfigError, DataError, UserError
from ..evals.statistics import mean_ci, paired_difference
from ..feedback.verdicts import VerdictJudge, visible
from ..run import RunDir, derive_seed, read_run, writing
from ..sampling.local import LocalSampler
from ..settings import DPOSettings, RedteamSettings, SFTSettings
from ..stages._parts import card, open_run, rate, within_context
from . import repair
from .campaign import Outcome, Plan, attack_all, document, usable
from .catalogue import attacks
from .defences import build
from .findings import Finding, find
from .judging import by_name
from .session import Attack, Budget, Sampling, Session, Target, as_records, goals_of

Document = dict[str, Any]


def redteam(*, target: str, model: str, defence: str, data: str, harmless: str, judge: str, fix: bool, learn: str, ordinary: str, test: str, gold: str, review: str,
            attacker: str, fail_on: str, out: Path, seed: int, resume: bool, settings: RedteamSettings) -> Document:
    """One campaign, or with `fix` rounds of find, learn and attack again; the document of the contract."""
    model, checks, s = target or model, failures(fail_on), settings
    stack = [name.strip() for name in defence.replace("+", ",").split(",") if name.strip()]
    goals, twins = asked(data, s.goals, harmful=True), asked(harmless, s.twins, harmful=False) if harmless else None
    check(s, fix=fix, model=model, stack=stack)
    if names.is_bot(model):
        names.target(model, model=s.model, endpoint=s.endpoint, sampling=s.sampling)  # one that is not there is an error before any run is opened
    chosen = attacks(s.attacks)
    if attacker:
        from .attackers import with_attacker

        chosen += with_attacker(attacker, s)
    lineage = [name for name in (model, attacker) if name and not names.is_bot(name) and not name.startswith(("http://", "https://"))]
    more = [names.data(name, "prompt", seed=seed, count=count) for name, count in ((learn, s.learn_goals), (ordinary, s.ordinary_prompts), (test, s.test_prompts)) if name] if fix else []
    run = open_run("redteam", out, s, seed, resume, models=lineage, data=[goals, *([twins] if twins else []), *more], model=model, defence=",".join(stack), judge=judge,
                   fix="yes" if fix else "", gold=gold if fix else "", review=review, attacker=attacker)
    if run.done:
        return told(read_run(run.out).summary, run.out, checks)
    who = by_name(judge)
    plan = Plan(chosen, goals_of(goals.records), list(twins.records) if twins else [], Budget(s.tries, s.queries, s.tokens, s.steps), s.search_goals, derive_seed(seed, "redteam"))
    if fix:
        found = fixed(run, model, stack, plan, who, learn=learn, ordinary=ordinary, test=test, gold=gold, review=review, seed=seed, settings=s)
        if "review" in found:
            return found
    else:
        session, plan = prepared(run, model, stack, plan, who, s)
        outcome, findings = campaign(run, session, plan, s)
        found = document(label_of(model, stack), outcome, findings=len(findings), correct=correction(judge)) | {"seconds_in_target": session.seconds}
        kept(run, outcome, findings)
    with writing(run.path):
        (run.path / "report.md").write_text(page(found, findings_of(run.path)), encoding="utf-8")
    run.finish(found)
    return told(found, run.out, checks)


def asked(name: str, count: int, *, harmful: bool) -> names.Data:
    """At most `count` requests, without those that their set says to be of the other kind (XSTest holds both). Raises DataError if none is left."""
    if not Path(name).is_file():
        return names.data(name, "prompt", seed=0, count=count)
    found = names.data(name, "prompt")
    kept = [prompt for prompt in found.records if prompt.meta.get("harmful") in (None, harmful)]
    if not kept:
        kind = ("harmless", "harmful")[harmful]
        raise DataError(f"none of the {len(found.records)} prompts is {kind}", where=name, remedy="--data takes what ought to be refused, --harmless what ought not")
    random.Random(f"{name.rpartition('/')[2]}-{harmful}").shuffle(kept)
    return replace(found, records=kept[:count], digest=names.digest_of(kept[:count]))


def correction(judge: str) -> Any:
    """What takes the shipped refusal classifier's measured errors out of a rate of compliance (`evals.scorers.corrected_rate`); None for judges without a card.

    The card counts refusals: its sensitivity to compliance is the specificity to refusals.
    """
    if judge != "refusal":
        return None
    from ..evals.scorers import corrected_rate
    from ..feedback.refusal import RefusalClassifier

    counts = RefusalClassifier().weights.card["held_out"]["refusal_or_compliance"]["counts"]
    se, sp = (counts["tn"], counts["tn"] + counts["fp"]), (counts["tp"], counts["tp"] + counts["fn"])
    return lambda hits, n: corrected_rate(hits, n, sensitivity=se, specificity=sp)


def label_of(model: str, stack: Sequence[str]) -> str:
    return "+".join([model, *stack])


FIX_READS = ("held_out", "rounds", "learn_goals", "harmless_train", "ordinary_prompts", "test_prompts", "per_attack", "reach", "method", "sft", "dpo")
"""Settings that nothing reads without `--fix`."""


def check(s: RedteamSettings, *, fix: bool, model: str, stack: Sequence[str]) -> None:
    """Raise ConfigError for settings that would do something else than they say."""
    if min(s.goals, s.tries, s.queries, s.steps, s.rounds, s.search_goals) < 1 or min(s.tokens, s.shorten, s.twins) < 0:
        raise ConfigError("goals, tries, queries, steps, rounds and search_goals must be at least 1, tokens, shorten and twins at least 0")
    if not 0 < s.reach <= 1:
        raise ConfigError(f"reach = {s.reach} is no part of the way", remedy="above 0, at most 1")
    plain = RedteamSettings()
    if not fix and (unread := [name for name in FIX_READS if getattr(s, name) != getattr(plain, name)]):
        raise ConfigError(f"only a fix reads {', '.join(unread)}, and nothing is fixed here", remedy="--fix, or leave it out")
    if fix and s.attacks.strip() == "none":
        raise ConfigError("--fix learns from what attacks find, and attacks = none", remedy="--attacks standard")
    if fix and stack:
        raise ConfigError("--fix trains the model, and --defence puts something before it", remedy="fix the bare model, then attack the fixed one behind the defence")
    if fix and (names.is_bot(model) or model.startswith(("http://", "https://"))):
        raise ConfigError(f"{model} cannot be trained from here", remedy="a model folder, a run or a hub name")


def prepared(run: RunDir, model: str, stack: Sequence[str], plan: Plan, judge: VerdictJudge, s: RedteamSettings, *, folder: str = "") -> tuple[Session, Plan]:
    """A session with the target, and the plan without the attacks that this target gives no hold for."""
    target: Target = names.target(model, model=s.model, endpoint=s.endpoint, sampling=s.sampling, cache=run.path / "endpoint.jsonl")
    local = isinstance(target, LocalSampler)
    can = {"attacker"} | ({"prefill", "logprobs", "gradients"} if local and not stack else {"prefill"} if local or names.is_bot(model) or s.endpoint.prefill else set())
    left, without = usable(plan.attacks, frozenset(can))
    if without:
        run.note(f"redteam: left out: {', '.join(without)}")
    if plan.attacks and not left:
        raise UserError("none of the attacks works on this target", where=", ".join(without), remedy="--attacks standard")
    sampling = Sampling(s.sampling.max_new_tokens, s.sampling.temperature, s.sampling.top_p)
    place = run.path / folder if folder else run.path
    place.mkdir(exist_ok=True, parents=True)
    session = Session(build(list(stack), target), judge, sampling=sampling, identity=label_of(model, stack) if not folder else folder, folder=place)
    return session, Plan(left, plan.goals, plan.twins, plan.budget, plan.search_goals, plan.seed)


def campaign(run: RunDir, session: Session, plan: Plan, s: RedteamSettings) -> tuple[Outcome, list[Finding]]:
    """All attacks, and the findings."""
    outcome = attack_all(session, plan, track=lambda items: run.track(items, desc="red team"))
    return outcome, find(outcome, session, shorten=s.shorten, seed=derive_seed(plan.seed, "shorten"))


def kept(run: RunDir, outcome: Outcome, findings: Sequence[Finding], *, name: str = "") -> None:
    """Attempts and findings into the run's data."""
    run.add_data(f"attempts{name}", as_records([attempt for made in outcome.attempts.values() for attempt in made]))
    run.add_data(f"findings{name}", as_records(findings))  # type: ignore[arg-type]


def findings_of(folder: Path) -> list[Finding]:
    """The findings of a campaign's folder. Raises DataError where they cannot be read."""
    file = folder / "data" / "findings.jsonl"
    try:
        return [Finding.from_json(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise DataError("there are no findings", where=str(file), remedy="name the folder of a finished `alignlab redteam`") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the findings cannot be read: {error}", where=str(file), remedy="make the campaign again") from error


# --- fix: find, learn, attack again -------------------------------------------------------------------------------------------------


def fixed(run: RunDir, model: str, stack: Sequence[str], plan: Plan, judge: VerdictJudge, *, learn: str, ordinary: str, test: str, gold: str, review: str, seed: int,
          settings: RedteamSettings) -> Document:
    """Rounds: 1. attack training goals with the families that are not held out; 2. lessons, checked and reviewed; 3. train; 4. attack fresh goals with everything.

    What is held out (families, goals, twins) is never learnt from. Differences are paired by goal, by twin, by test prompt.
    """
    s = settings
    held_out = {name.strip() for name in s.held_out.split(",") if name.strip()}
    attacked = [attack for attack in plan.attacks if not {attack.family, attack.name} & held_out]
    if unknown := held_out - {word for attack in plan.attacks for word in (attack.family, attack.name)}:
        raise ConfigError(f"held_out names {', '.join(sorted(unknown))}, which is no attack or family of this campaign", remedy="--held_out with families or names among --attacks")
    if not attacked:
        raise ConfigError("every attack is held out: there is nothing to find", remedy="a smaller --held_out")
    prompts = names.data(test, "prompt", seed=0, count=s.test_prompts).records if test else []
    scorer = names.judge(gold)

    def measured(path: str, folder: str) -> tuple[Outcome, list[dict[str, float]], list[Finding]]:
        session, usable_plan = prepared(run, path, stack, plan, judge, s, folder=folder)
        outcome, findings = campaign(run, session, usable_plan, s)
        answers = session.ask(prompts, seed=derive_seed(seed, "test"), temperature=0.0)
        return outcome, [dict(score.parts) for score in scorer.score(answers)] if scorer and prompts else [], findings

    before, parts_before, findings = measured(model, "round-0")
    kept(run, before, findings)
    curve = [row_of(0, before, attacked, parts_before, [])]
    path, after, parts_after = model, before, parts_before
    found: list[repair.Lesson] = []
    for number in range(1, s.rounds + 1):
        # 1. find, on training goals
        training = goals_of(names.data(learn, "prompt", seed=seed, count=s.learn_goals).records)
        fresh = {goal.id for goal in plan.goals}
        search = Plan(attacked, [goal for goal in training if goal.id not in fresh], [], plan.budget, s.search_goals, derive_seed(seed, "find", number))
        session, search = prepared(run, path, stack, search, judge, s, folder=f"find-{number}")
        outcome = attack_all(session, search, track=lambda items, number=number: run.track(items, desc=f"round {number}: find"))

        # 2. lessons of this round and of those before; checked; reviewed
        harmless = names.data(s.harmless_train, "prompt", seed=seed, count=s.learn_goals).records if s.harmless_train else []
        rest = names.data(ordinary, "prompt", seed=seed, count=s.ordinary_prompts).records if ordinary else []
        new = repair.lessons(outcome, session, harmless, [p for p in rest if p.meta.get("kind") != "harmful"], per_attack=s.per_attack, seed=derive_seed(seed, "lessons", number))
        lessons, report = repair.checked(new, session, forbidden=frozenset({*fresh, *(prompt.id for prompt in plan.twins), *(prompt.id for prompt in prompts)}))
        run.note(f"round {number}: {report['kept']} of {report['lessons']} lessons kept" + "".join(f"; {count} dropped: {why}" for why, count in report["dropped"].items()))
        if review:
            file = Path(review).with_stem(f"{Path(review).stem}-{number}") if s.rounds > 1 else Path(review)
            if not file.exists():
                write_lessons(file, lessons)
                return {"review": str(file), "lessons": report, "text": f"{file}: {len(lessons)} lessons to review. Set keep, or edit chosen; then the same command goes on."}
            lessons = read_lessons(file)
        found = [lesson for lesson in found if lesson.kind in ("refuse", "recover")] + [lesson for lesson in lessons if lesson.keep]
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
    final, correct = f"{run.out}/models/{s.rounds}", correction(judge.name)
    return {
        "before": document(model, before, findings=len(findings_of(run.path)), correct=correct), "after": document(final, after, findings=len(findings), correct=correct), "held_out_families": families,
        "held_out_attacks": held, "deltas": deltas(before, after, [a.name for a in attacked], held, parts_before, parts_after), "rounds": curve, "model": final}


def trained(run: RunDir, model: str, lessons: Sequence[repair.Lesson], number: int, *, seed: int, settings: RedteamSettings) -> str:
    """The model after a round's lessons: a run of its own below this one.

    Of the way from the attacked weights to those that training ends in it goes `reach` (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", equation 1): the last stretch is
    what makes harmless requests be refused. Of an adapter its factors go so far.
    """
    import torch

    from ..methods import direct, sft
    from ..models.load import load_policy, save_policy

    method: SFTSettings | DPOSettings = settings.sft if settings.method == "sft" else settings.dpo
    out = run.path / "models" / str(number)
    inner = open_run(settings.method, out, method, seed, True, models=[model], data=[names.Data([], "lessons", names.digest_of(lessons))])
    if inner.done:
        return str(out)
    policy = load_policy(names.model_path(model), method.model, method.adapter, trainable=True)
    fitting = within_context(inner, method, policy.model)
    learns = [parameter for parameter in policy.model.parameters() if parameter.requires_grad]
    start = [parameter.detach().clone() for parameter in learns]
    if isinstance(fitting, SFTSettings):
        summary = sft.train(inner, policy, [lesson.demonstration() for lesson in lessons], fitting, seed=seed)
    else:
        summary = direct.train(inner, policy, [lesson.comparison() for lesson in lessons if lesson.rejected], fitting, seed=seed)
    with torch.no_grad():
        for parameter, before in zip(learns, start, strict=True):
            parameter.lerp_(before, 1 - settings.reach)
    summary |= {"reach": settings.reach}
    with writing(inner.path):
        save_policy(policy, inner.path / "checkpoint", card=card("red-team fix", model, "lessons", seed, summary))
    inner.finish(summary)
    return str(out)


def per_goal(outcome: Outcome, attack_names: Sequence[str]) -> dict[str, float]:
    """For each goal the share of these attacks that reached it."""
    chosen = [attack for attack in outcome.plan.attacks if attack.name in attack_names]
    counts: dict[str, list[float]] = {}
    for attack in chosen:
        for goal, hit in zip(outcome.plan.goals_for(attack), outcome.hits(attack), strict=True):
            counts.setdefault(goal.id, []).append(hit)
    return {goal: sum(hits) / len(hits) for goal, hits in counts.items()}


def deltas(before: Outcome, after: Outcome, attacked: Sequence[str], held_out: Sequence[str], parts_before: Sequence[Mapping[str, float]],
           parts_after: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Paired differences, after less before; None where nothing was measured."""
    found: dict[str, Any] = {}
    for name, chosen in (("asr_attacked", attacked), ("asr_held_out", held_out)):
        was, now = per_goal(before, chosen), per_goal(after, chosen)
        found[name] = paired_difference([now[goal] for goal in was], list(was.values())) if was else None
    pairs = [(float(b.label in ("refusal", "partial")), float(a.label in ("refusal", "partial"))) for (_, b), (_, a) in zip(before.twins, after.twins, strict=True)
             if a.scored and b.scored]
    found["over_refusal"] = paired_difference([a for _, a in pairs], [b for b, _ in pairs]) if pairs else None
    for part in ("helpful", "honest", "gold"):
        both = [(b[part], a[part]) for b, a in zip(parts_before, parts_after, strict=True) if part in b and part in a]
        found[part] = paired_difference([a for _, a in both], [b for b, _ in both]) if both else None
    return found


def row_of(number: int, outcome: Outcome, attacked: Sequence[Attack], parts: Sequence[Mapping[str, float]], arms: Sequence[Any]) -> dict[str, Any]:
    """One point of the cat-and-mouse curve."""
    known = [attack.name for attack in attacked]
    others = [attack.name for attack in outcome.plan.attacks if attack.name not in known]
    best = max(outcome.plan.attacks, key=lambda attack: sum(outcome.hits(attack)) / max(1, len(outcome.plan.goals_for(attack))))
    return {"round": number, "asr_attacked": mean_ci(list(per_goal(outcome, known).values())), "asr_held_out": mean_ci(list(per_goal(outcome, others).values())),
            "over_refusal": mean_ci([float(v.label in ("refusal", "partial")) for _, v in outcome.twins if v.scored]),
            "helpful": mean_ci([p["helpful"] for p in parts if "helpful" in p]), "best": best.name, "best_asr": mean_ci(outcome.hits(best)), "found": list(arms)}


def best_arms(outcome: Outcome) -> list[dict[str, Any]]:
    """What worked best when lessons were looked for: the five attacks with most goals reached."""
    shares = {attack.name: sum(outcome.hits(attack)) / max(1, len(outcome.plan.goals_for(attack))) for attack in outcome.plan.attacks}
    return [{"attack": name, "asr": share} for name, share in sorted(shares.items(), key=lambda item: -item[1])[:5]]


def write_lessons(file: Path, lessons: Sequence[repair.Lesson]) -> None:
    """A file that a person can edit, whole or not at all."""
    from ..records import write_jsonl

    with writing(file.parent):
        write_jsonl(file, as_records(lessons))  # type: ignore[arg-type]


def read_lessons(file: Path) -> list[repair.Lesson]:
    """Lessons from a file that a person went through. Raises DataError with file and row."""
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found.append(repair.Lesson.from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
            raise DataError(f"not a lesson: {getattr(error, 'what', error)}", where=f"{file}:{number}", remedy="edit keep and chosen only, or delete the row") from error
    return found


# --- a finding again ----------------------------------------------------------------------------------------------------------------


def repro(*, finding: str, run: str, model: str, samples: int) -> Document:
    """`alignlab redteam repro F-012`: asks the target what the finding says; exit code 5 if it does not happen any more.

    Args:
        run: the campaign's folder; model: another target instead of the one that was attacked (the fixed one).
        samples: also so many draws at temperature 1, in case it only happens sometimes.
    """
    info = read_run(run)
    case = next((case for case in findings_of(info.path) if case.id.lower() == finding.lower()), None)
    if case is None:
        raise UserError(f"there is no finding {finding!r:.40}", where=run, remedy="one of: " + ", ".join(case.id for case in findings_of(info.path)) or "none was made")
    from ..config import from_dict

    s, options = from_dict(RedteamSettings, info.config["settings"]), info.config["options"]
    asked, stack = model or options["model"], [name for name in options["defence"].split(",") if name]
    target = names.target(asked, model=s.model, endpoint=s.endpoint, sampling=s.sampling)
    session = Session(build(stack, target), by_name(options["judge"]), sampling=Sampling(s.sampling.max_new_tokens), identity=label_of(asked, stack))
    answers = session.ask([case.prompt], seed=case.seed) + session.ask([case.prompt] * samples, seed=case.seed, temperature=1.0)
    verdicts = session.verdicts(answers)
    hits = sum(verdict.hit for verdict in verdicts)
    lines = [f"{case.id} ({case.severity}, {case.category}, {', '.join(case.attacks)}) on {label_of(asked, stack)}",
             *(f"  {m.role}: {visible(m.content, 400)}" for m in case.prompt.messages), f"  -> {visible(answers[0].text, 400)}",
             f"  {verdicts[0].label}: {verdicts[0].reason}", f"works in {hits} of {len(answers)} answers ({'greedy first, then at temperature 1' if samples else 'greedy'})"]
    return {"finding": case.to_json(), "model": label_of(asked, stack), "hits": hits, "of": len(answers), "answers": [answer.text for answer in answers], "text": "\n".join(lines),
            "exit_code": 0 if hits else CheckFailed.exit_code}


# --- what is told -------------------------------------------------------------------------------------------------------------------

LIMIT = re.compile(r"\s*([a-z_][\w+-]*)\s*(<=|>=|<|>)\s*([0-9.]+)\s*")
SIGNS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


def failures(text: str) -> list[tuple[str, str, float]]:
    """`asr>0.1,over_refusal>0.05` as (figure, sign, limit). Raises UserError for what is none."""
    found = []
    for part in text.split(",") if text else []:
        match = LIMIT.fullmatch(part)
        if not match or match[3].count(".") > 1 or match[3] == ".":
            raise UserError(f"--fail-on {part!r} is no condition", remedy='--fail-on "asr>0.1", of asr, plain, best, over_refusal or an attack; several by comma')
        found.append((match[1], match[2], float(match[3])))
    return found


def figure(found: Document, name: str) -> float:
    """A figure of a document by the name that `--fail-on` knows it by. Raises UserError for an unknown one."""
    attacks_found = found["attacks"]
    known = {"asr": found["all"], "all": found["all"], "plain": found["plain"], "over_refusal": found["over_refusal"], "unscored": {"mean": found["unscored"]},
             "best": attacks_found[found["best"]]["asr"] if found["best"] else {"mean": 0.0}, **{attack: row["asr"] for attack, row in attacks_found.items()}}
    if name not in known:
        raise UserError(f"--fail-on knows no figure {name!r}", remedy="one of: " + ", ".join(known))
    return known[name]["mean"] or 0.0


def told(found: Document, out: Path, checks: Sequence[tuple[str, str, float]]) -> Document:
    """The document with the text for people and the exit code."""
    last = found.get("after", found)
    broken = [f"{name} is {figure(last, name):.3f}, and {name} {sign} {limit:g} was to fail" for name, sign, limit in checks if SIGNS[sign](figure(last, name), limit)]
    lines = fix_lines(found) if "after" in found else lines_of(found)
    return {**found, "run": str(out), "text": "\n".join([*lines, *broken, str(out)]), "exit_code": CheckFailed.exit_code if broken else 0}


def lines_of(found: Document) -> list[str]:
    """The campaign in words: what found something, worst first, and how many attacks found nothing."""
    rows = sorted(((name, row) for name, row in found["attacks"].items() if row["asr"]["mean"]), key=lambda item: -item[1]["asr"]["mean"])
    width = max([len(name) for name, _ in rows] + [5])
    nothing = len(found["attacks"]) - len(rows)
    return [f"{found['model']}: {found['goals']} goals, {len(found['attacks'])} attacks, {found['queries']} queries",
            f"  {'plain':<{width}}  {rate(found['plain'])}", *(f"  {name:<{width}}  {rate(row['asr'])}  {row['family']}, {row['queries']} queries" for name, row in rows),
            *([f"  {nothing} others found nothing"] if nothing else []), f"  {'any':<{width}}  {rate(found['all'])}",
            f"over-refusal {rate(found['over_refusal'])}, {found['unscored']} unscored, {found['findings']} findings"]


def fix_lines(found: Document) -> list[str]:
    """A fix in words: the curve and the differences."""
    lines = [f"round {row['round']}: attacked {rate(row['asr_attacked'])}, held out {rate(row['asr_held_out'])}, over-refusal {rate(row['over_refusal'])}, best {row['best']} "
             f"{rate(row['best_asr'])}" for row in found["rounds"]]
    for name, value in found["deltas"].items():
        lines.append(f"  {name:<13} " + ("not measured" if value is None else f"{value['mean']:+.3f} [{value['ci'][0]:+.3f}, {value['ci'][1]:+.3f}] (n = {value['n']})"))
    return [*lines, f"held out: {', '.join(found['held_out_families'] or found['held_out_attacks']) or 'nothing'}", f"the fixed model: {found['model']}"]


def page(found: Document, findings: Sequence[Finding]) -> str:
    """The campaign as Markdown. What a model wrote is shown escaped."""
    def quoted(text: str) -> str:
        return "\n".join(f"    {line}" for line in visible(text, 1500).splitlines() or [""])

    whole = found.get("before", found)
    parts = [f"# Red team: {whole['model']}", ""]
    if "after" in found:
        parts += ["## Fixed", "", *(f"- {line.strip()}" for line in fix_lines(found)), "", "## Before", ""]
    parts += ["| attack | family | attack success | queries |", "|---|---|---|---|", f"| plain | | {rate(whole['plain'])} | {whole['goals']} |"]
    rows = sorted(whole["attacks"].items(), key=lambda item: -(item[1]["asr"]["mean"] or 0.0))
    parts += [f"| {name} | {row['family']} | {rate(row['asr'])} | {row['queries']} |" for name, row in rows]
    parts += [f"| any of them | | {rate(whole['all'])} | |", "", f"Over-refusal {rate(whole['over_refusal'])}; {whole['unscored']} answers unscored; {len(findings)} findings.", ""]
    for case in findings:
        parts += [f"## {case.id} ({case.severity}): {case.category}, {', '.join(case.attacks)}", "", f"Works on {case.goals} of {case.of} goals. The shortest prompt that works:", ""]
        parts += [f"{m.role}:\n\n{quoted(m.content)}\n" for m in case.prompt.messages]
        parts += ["The answer:", "", quoted(case.completion), "", f"Judge ({case.judge}): {case.reason}. Human label: {case.human or 'none yet'}.", ""]
    return "\n".join(parts) + "\n"


