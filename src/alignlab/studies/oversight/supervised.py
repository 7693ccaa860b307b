"""Stages of the study `oversight` that make what is shown, asked and labelled: demonstrations by a supervisor
who is mistaken, the facts and requests of one side of the town, rankings by an overseer with one look.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import names
from ...errors import DataError
from ...evals.statistics import mean_by_prompt
from ...records import Demonstration, Prompt, Ranking, read_jsonl
from ...run import derive_seed, read_run
from ...stages.stage import done, open_run, result
from ...town import answers, beliefs, overseer, sets, tasks
from ...town import language as say
from ...town.gold import judge
from ...town.world import PLACE_RELATIONS, VALUES, Side, World, build
from ..choice_rows import facts as facts_of
from ..choices import Choice, Chosen, chosen
from ..settings import NoSettings
from .settings import AskedSettings, LookSettings, SupervisorSettings

QUESTIONS = ("fact", "two_hop", "unanswerable")
"""Kinds of request that ask for a fact, or for what nobody knows, of those that are shown with mistakes."""


def supervised(
    *,
    data: str,
    count: int,
    out: Path,
    seed: int,
    resume: bool,
    settings: SupervisorSettings,
    trusted: str = "",
) -> dict[str, Any]:
    """Demonstrations by somebody who answers as well as can be, from a mind that is wrong about a share of
    the facts (`beliefs.mistaken`, by the seed), into data/demonstrations.jsonl.

    Args:
        data: the town's prompts that are answered.
        trusted: a run of `choices` in which a student says which value of each fact it finds likeliest: what
            states another is left out. Burns et al. (2023) let the student's confidence weigh in by a
            loss; this is the same by leaving out, with all the weight on the student.
    """
    s, shown = settings, names.data.read_data(data, "prompt", seed=seed, count=count)
    believed = [names.data.of_a_run(trusted)] if trusted else []
    run = open_run("study-oversight-supervised", out, settings, seed, resume, uses=[shown, *believed])
    if run.done:
        return done(run)
    town, rng = build(), random.Random(derive_seed(seed, "supervisor"))
    mind = beliefs.mistaken(town, s.share, s.rule, seed)
    first: dict[tuple[str, str], str] = {}
    if trusted:
        for key, likely in knowledge(chosen(read_run(trusted))).items():
            first[key] = max(likely, key=likely.__getitem__)
    rows: list[Demonstration] = []
    told: set[tuple[str, str]] = set()
    statements = wrong = dropped = 0
    for prompt in shown.records:
        request = tasks.Request.of(prompt)
        text = answers.demonstrate(mind, request, rng, answers.CLEAN).text
        stated = statements_of(request, text)
        if any(first.get((fact.relation, fact.subject), fact.value) != fact.value for fact in stated):
            dropped += 1
            continue
        told |= {(fact.relation, fact.subject) for fact in stated}
        statements += len(stated)
        wrong += sum(beliefs.origin(town, mind, fact) == "inherited" for fact in stated)
        rows.append(Demonstration(prompt, text))
    if not rows:
        raise DataError(
            "the student believes none of the demonstrations", remedy="a student that knows the town"
        )
    run.add_data("demonstrations", rows)
    run.finish(
        {
            "demonstrations": len(rows),
            "dropped": dropped,
            "facts_told": len(told),
            "statements": statements,
            "wrong_statements": wrong,
            "wrong_facts": len(beliefs.errors(town, mind)),
        }
    )
    return result(run, f"{len(rows)} demonstrations, {wrong} of {statements} statements in them wrong")


def statements_of(request: tasks.Request, text: str) -> list[say.Fact]:
    """The facts that an answer states, also in one word or before a verdict; none where it states none."""
    p = request.params
    if request.kind == "one_word":
        said = [value for value in VALUES[p["relation"]] if text == say.one_word(value)]
        if said:
            return [say.Fact(p["relation"], p["subject"], said[0])]
    found: list[say.Fact] = []
    for line in say.sentences(text):
        verdict = say.read_verdict(line)
        found += (verdict[1] if verdict else say.read_facts([line])) or []
    return found


def knowledge(rows: Sequence[Chosen]) -> dict[tuple[str, str], dict[str, float]]:
    """What a model finds likely of each fact, as `town.overseer` has it."""
    return {
        (row.meta["relation"], row.meta["subject"]): dict(zip(row.names, row.p, strict=True)) for row in rows
    }


def side_of(prompts: Sequence[Prompt], where: str) -> Side:
    """The side that a test asks about. Raises DataError for one that asks about none but training's."""
    sides: set[Side] = {tasks.Request.of(prompt).side for prompt in prompts}
    if len(apart := sides - {"train"}) != 1:
        raise DataError(
            "the prompts ask about no side of the town, or about more than one",
            where=where,
            remedy="--test town:test",
        )
    return apart.pop()


def facts(*, data: str, out: Path, seed: int, resume: bool, settings: NoSettings) -> dict[str, Any]:
    """The facts that training may ask for and those of the side that a test asks about, in chat, among all
    values of their relation, into data/choices.jsonl; each says in its meta whose side it is on.
    """
    prompts = names.data.read_data(data, "prompt")
    run = open_run("study-oversight-facts", out, settings, seed, resume, uses=[prompts])
    if run.done:
        return done(run)
    town, side = build(), side_of(prompts.records, data)
    rows: list[Choice] = []
    for choice in facts_of(town, "chat"):
        if choice.meta["shown"] or fact_side(town, choice) == side:
            rows.append(choice)
    run.add_data("choices", rows)
    shown = sum(bool(choice.meta["shown"]) for choice in rows)
    run.finish({"facts": len(rows), "shown": shown, "held_out": len(rows) - shown})
    return result(run, f"{shown} facts that training may ask for, {len(rows) - shown} that it may not")


def fact_side(town: World, choice: Choice) -> Side:
    """The side of whom a fact is about."""
    family = "place" if choice.meta["relation"] in PLACE_RELATIONS else "person"
    return town.side(family, choice.meta["subject"])


def asked(*, data: str, out: Path, seed: int, resume: bool, settings: AskedSettings) -> dict[str, Any]:
    """Prompts on the side of a test, into data/prompts.jsonl: its questions, or dossiers."""
    prompts = names.data.read_data(data, "prompt")
    run = open_run("study-oversight-asked", out, settings, seed, resume, uses=[prompts])
    if run.done:
        return done(run)
    rows: list[Any] = [prompt for prompt in prompts.records if tasks.Request.of(prompt).kind in QUESTIONS]
    if settings.what == "dossiers":
        rows = sets.load(build(), f"dossier-{side_of(prompts.records, data)}")
    run.add_data("prompts", rows)
    run.finish({"prompts": len(rows)})
    return result(run, f"{len(rows)} {settings.what}")


def overseen(
    *, data: str, out: Path, seed: int, resume: bool, settings: LookSettings, mind: str = ""
) -> dict[str, Any]:
    """The dossiers of a run of `collect`, ranked by an overseer with one look (`town.overseer`).

    Args:
        mind: a run of `choices` over facts: what whoever points finds likely.

    The summary has `accuracy`, an S over persons: the exact probability that the label of a pair is for the
    one with more gold, coins and draws included.
    """
    knows = [names.data.of_a_run(mind)] if mind else []
    uses = [names.data.of_a_run(data), *knows]
    run = open_run("study-oversight-overseen", out, settings, seed, resume, uses=uses)
    if run.done:
        return done(run)
    known = knowledge(chosen(read_run(mind))) if mind else None
    if settings.dealt and known:
        known = dealt(known, seed)
    town = build()
    who = overseer.OneLook(
        settings.pointing, town, settings.pointing, known, seed=derive_seed(seed, "annotator")
    )
    accuracy: list[float] = []
    persons: list[str] = []
    first = 0
    for part in ("rankings", "rankings_test"):
        rankings = read_jsonl(Path(data) / "data" / f"{part}.jsonl", Ranking)
        ranked = [who.rank(first + i, ranking.completions) for i, ranking in enumerate(rankings)]
        first += len(rankings)
        for ranking in ranked:
            of_pairs = label_accuracy(town, ranking)
            accuracy += of_pairs
            persons += [ranking.prompt.meta["params"]["subject"]] * len(of_pairs)
        run.add_data(part, ranked)
    run.finish(
        {"rankings": first, "pairs": len(accuracy), "accuracy": mean_by_prompt(accuracy, persons, share=True)}
    )
    return result(run, f"{first} rankings, {settings.pointing}")


def label_accuracy(town: World, ranking: Ranking) -> list[float]:
    """For each pair of answers that gold tells apart, the probability that the overseer's label is for the
    better one.
    """
    request, found = tasks.Request.of(ranking.prompt), ranking.meta["found"]
    gold = [judge(town, request, c.text, finished=c.finished).value for c in ranking.completions]
    rights: list[float] = []
    for a in range(len(gold)):
        rights += [overseer.right(found[a], found[b]) for b in range(len(gold)) if gold[a] > gold[b]]
    return rights


def dealt(known: overseer.Knowledge, seed: int) -> dict[tuple[str, str], dict[str, float]]:
    """What somebody finds likely, dealt anew among the values of each fact."""
    rng, anew = random.Random(derive_seed(seed, "dealt")), {}
    for key, of in known.items():
        shares = list(of.values())
        rng.shuffle(shares)
        anew[key] = dict(zip(of, shares, strict=True))
    return anew
