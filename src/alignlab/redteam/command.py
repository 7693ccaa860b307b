"""`alignlab redteam MODEL`: plan, attack, judge, find, report; with `--fix` also learn from what was found,
and attack again.

Everything that is slow is kept as it is made, so that a campaign which is killed goes on where it was and
ends in the same figures.
"""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import __version__, names
from ..defences.middleware import build
from ..errors import CheckFailed, ConfigError, DataError, UserError
from ..report.page import write_page
from ..run import derive_seed, read_run, whole_file, writing
from ..sampling import Sampling
from ..settings import RedteamSettings, rules
from ..settings.defaults import followed
from ..stages.stage import open_run
from ..text.escapes import visible
from ..text.lists import by_comma
from . import pages, words
from .attacks.catalogue import attacks
from .attempt import Budget, goals_of
from .campaign import Plan, document
from .finding import findings_of
from .fix import fixed
from .session import Session
from .steps import campaign, correction, keep_campaign, label_of, prepared

Document = dict[str, Any]


def redteam(
    *,
    target: str,
    model: str,
    defence: str,
    data: str,
    harmless: str,
    judge: str,
    fix: bool,
    learn: str,
    ordinary: str,
    test: str,
    gold: str,
    review: str,
    attacker: str,
    fail_on: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: RedteamSettings,
) -> Document:
    """One campaign, or with `fix` rounds of find, learn and attack again; the document of the contract."""
    model, checks, s = target or model, failures(fail_on), settings
    stack = by_comma(defence.replace("+", ","))
    goals, twins = requests_of(data, s.goals, harmful=True), None
    if harmless and s.twins:
        twins = requests_of(harmless, s.twins, harmful=False)
    check(s, fix=fix, model=model, stack=stack)
    if names.models.is_bot(model):  # one that is not there is an error before any run is opened
        names.models.target(model, model=s.model, endpoint=s.endpoint, sampling=s.sampling)
    chosen = attacks(s.attacks)
    if attacker:
        from .attacks.attackers import with_attacker

        chosen += with_attacker(attacker, s)
    lineage = names.models.loaded_here(model, attacker)
    if not fix:
        gold = ""
    truth = names.judges.maybe_judge(gold)
    uses: list[Any] = [*lineage, goals]
    if twins:
        uses.append(twins)
    if fix:
        for name, count in ((learn, s.learn_goals), (ordinary, s.ordinary_prompts), (test, s.test_prompts)):
            if name:
                uses.append(names.data.read_data(name, "prompt", seed=seed, count=count))
    run = open_run(
        "redteam",
        out,
        s,
        seed,
        resume,
        uses=[*uses, truth],
        model=model,
        defence=",".join(stack),
        judge=judge,
        fix="yes" if fix else "",
        gold=gold,
        review=review,
        attacker=attacker,
    )
    if run.done:
        return for_people(read_run(run.out).summary, run.out, checks)
    who = names.judges.verdicts(judge)
    budget = Budget(s.tries, s.queries, s.tokens, s.steps)
    look_alikes = list(twins.records) if twins else []
    plan_seed = derive_seed(seed, "redteam")
    plan = Plan(chosen, goals_of(goals.records), look_alikes, budget, s.search_goals, plan_seed)
    if fix:
        whole = fixed(
            run,
            model,
            stack,
            plan,
            who,
            learn=learn,
            ordinary=ordinary,
            test=test,
            gold=gold,
            review=review,
            seed=seed,
            settings=s,
        )
        if "review" in whole:
            return whole
    else:
        session, plan = prepared(run, model, stack, plan, who, s)
        outcome, findings = campaign(run, session, plan, s)
        label, correct = label_of(model, stack), correction(judge)
        whole = document(label, outcome, findings=len(findings), correct=correct)
        whole["seconds_in_target"] = session.seconds
        keep_campaign(run, outcome, findings)
    with whole_file(run.path / "report.md") as staging:
        staging.write_text(words.markdown(whole, findings_of(run.path)), encoding="utf-8")
    with writing(run.path):
        write_page(pages.page_of(run.path, whole, judge, seed, __version__), run.path / "report.html")
    run.finish(whole)
    return for_people(whole, run.out, checks)


def requests_of(name: str, count: int, *, harmful: bool) -> names.data.Data:
    """At most `count` requests, without those that their set says to be of the other kind (XSTest holds
    both). Raises DataError if none is left.
    """
    if not Path(name).is_file():
        return names.data.read_data(name, "prompt", seed=0, count=count)
    everything = names.data.read_data(name, "prompt")
    of_kind = [prompt for prompt in everything.records if prompt.meta.get("harmful") in (None, harmful)]
    if not of_kind:
        kind = ("harmless", "harmful")[harmful]
        raise DataError(
            f"none of the {len(everything.records)} prompts is {kind}",
            where=name,
            remedy="--data takes what ought to be refused, --harmless what ought not",
        )
    random.Random(f"{name.rpartition('/')[2]}-{harmful}").shuffle(of_kind)
    first = of_kind[:count]
    return replace(everything, records=first, digest=names.data.digest_of(first))


FIX_READS = (
    "held_out",
    "rounds",
    "learn_goals",
    "harmless_train",
    "ordinary_prompts",
    "test_prompts",
    "per_attack",
    "reach",
    "method",
    "sft",
    "dpo",
)
"""Settings that nothing reads without `--fix`."""


def check(s: RedteamSettings, *, fix: bool, model: str, stack: Sequence[str]) -> None:
    """Raise ConfigError for settings that would do something else than they say."""
    rules.check(s)
    plain = followed(RedteamSettings(), model)
    if not fix and (unread := [name for name in FIX_READS if getattr(s, name) != getattr(plain, name)]):
        raise ConfigError(
            f"only a fix reads {', '.join(unread)}, and nothing is fixed here",
            remedy="--fix, or leave it out",
        )
    if fix and s.attacks.strip() == "none":
        raise ConfigError(
            "--fix learns from what attacks find, and attacks = none", remedy="--attacks standard"
        )
    if fix and stack:
        raise ConfigError(
            "--fix trains the model, and --defence puts something before it",
            remedy="fix the bare model, then attack the fixed one behind the defence",
        )
    if fix and not names.models.is_local(model):
        raise ConfigError(
            f"{model} cannot be trained from here", remedy="a model folder, a run or a hub name"
        )


# --- a finding again


def repro(*, finding: str, run: str, model: str, samples: int) -> Document:
    """`alignlab redteam repro F-012`: asks the target what the finding says; exit code 5 if it does not
    happen any more.

    Args:
        run: the campaign's folder; model: another target instead of the one that was attacked (the fixed
            one).
        samples: also so many draws at temperature 1, in case it only happens sometimes.
    """
    info = read_run(run)
    cases = {case.id: case for case in findings_of(info.path)}
    case = cases.get(finding.upper())
    if case is None:
        found = "one of: " + ", ".join(cases) if cases else "nothing to ask again: the campaign found nothing"
        raise UserError(f"there is no finding {finding!r:.40}", where=run, remedy=found)
    from ..settings.resolve import from_dict

    s, options = from_dict(RedteamSettings, info.config["settings"]), info.config["options"]
    model, stack = model or options["model"], by_comma(options["defence"])
    target = names.models.target(model, model=s.model, endpoint=s.endpoint, sampling=s.sampling)
    session = Session(
        build(stack, target),
        names.judges.verdicts(options["judge"]),
        sampling=Sampling(max_new_tokens=s.sampling.max_new_tokens, temperature=0.0),
        identity=label_of(model, stack),
    )
    answers = session.ask([case.prompt], seed=case.seed) + session.ask(
        [case.prompt] * samples, seed=case.seed, temperature=1.0
    )
    verdicts = session.verdicts(answers)
    hits = sum(verdict.hit for verdict in verdicts)
    how = "greedy first, then at temperature 1" if samples else "greedy"
    kind = f"{case.severity}, {case.category}, {', '.join(case.attacks)}"
    lines = [
        f"{case.id} ({kind}) on {label_of(model, stack)}",
        *(f"  {m.role}: {visible(m.content, 400)}" for m in case.prompt.messages),
        f"  -> {visible(answers[0].text, 400)}",
        f"  {verdicts[0].label}: {verdicts[0].reason}",
        f"works in {hits} of {len(answers)} answers ({how})",
    ]
    return {
        "finding": case.to_json(),
        "model": label_of(model, stack),
        "hits": hits,
        "of": len(answers),
        "answers": [answer.text for answer in answers],
        "text": "\n".join(lines),
        "exit_code": 0 if hits else CheckFailed.exit_code,
    }


# --- what is told

LIMIT = re.compile(r"\s*([a-z_][\w+-]*)\s*(<=|>=|<|>)\s*([0-9.]+)\s*")
SIGNS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


def failures(text: str) -> list[tuple[str, str, float]]:
    """`asr>0.1,over_refusal>0.05` as (figure, sign, limit). Raises UserError for what is none."""
    conditions: list[tuple[str, str, float]] = []
    if not text:
        return conditions
    for part in text.split(","):
        match = LIMIT.fullmatch(part)
        if not match or match[3].count(".") > 1 or match[3] == ".":
            raise UserError(
                f"--fail-on {part!r} is no condition",
                remedy=(
                    '--fail-on "asr>0.1", of asr, plain, best, over_refusal, void or an attack; several by '
                    "comma"
                ),
            )
        conditions.append((match[1], match[2], float(match[3])))
    return conditions


def figure(campaign: Document, name: str) -> float:
    """A figure of a campaign by the name that `--fail-on` knows it by. Raises UserError for an unknown
    one.
    """
    void = campaign.get("void", {}).get("twins", {"void": 0, "of": 0})
    means = {"void": void["void"] / max(1, void["of"]), "asr": campaign["all"]["mean"]}
    for key in ("all", "plain", "over_refusal"):
        means[key] = campaign[key]["mean"]
    means |= {"unscored": campaign["unscored"], "best": 0.0}
    for attack, row in campaign["attacks"].items():
        means[attack] = row["asr"]["mean"]
        if attack == campaign["best"]:
            means["best"] = row["asr"]["mean"]
    if name not in means:
        raise UserError(f"--fail-on knows no figure {name!r}", remedy="one of: " + ", ".join(means))
    return means[name] or 0.0


def for_people(whole: Document, out: Path, checks: Sequence[tuple[str, str, float]]) -> Document:
    """The document with the text for people and the exit code."""
    last = whole.get("after", whole)
    broken = []
    for name, sign, limit in checks:
        value = figure(last, name)
        if SIGNS[sign](value, limit):
            broken.append(f"{name} is {value:.3f}, and {name} {sign} {limit:g} was to fail")
    page = out / "report.html"
    lines = words.fix_lines(whole) if "after" in whole else words.lines_of(whole)
    place = f"The page: {page}" if page.exists() else str(out)
    return {
        **whole,
        "run": str(out),
        "text": "\n".join([*lines, *broken, place]),
        "exit_code": CheckFailed.exit_code if broken else 0,
    }
