"""The study `oversight`: its stages that sample nothing, its arithmetic, and every claim where it holds,
where it does not, and where it cannot be said.
"""

from __future__ import annotations

import json
from copy import deepcopy
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignlab import cli
from alignlab.errors import ConfigError, DataError
from alignlab.pipeline.runner import Pipeline, Stage
from alignlab.records import Completion, Demonstration, Prompt, Ranking, read_jsonl
from alignlab.run import RunDir, read_run
from alignlab.studies.choices import Choice, Chosen, row_of
from alignlab.studies.command import stage_of_seed
from alignlab.studies.oversight import claims, figures, page, plan, supervised
from alignlab.studies.oversight.settings import (
    FAST,
    AskedSettings,
    LookSettings,
    Oversight,
    OversightSettings,
    SupervisorSettings,
)
from alignlab.studies.settings import NoSettings
from alignlab.town import beliefs, sets, tasks, world
from alignlab.town import language as say

TOWN = world.build()


def shown(out: Path, share: float, rule: str, count: int = 200, trusted: str = "") -> tuple[dict, list]:
    found = supervised.supervised(
        data="town:demos",
        count=count,
        trusted=trusted,
        out=out,
        seed=3,
        resume=True,
        settings=SupervisorSettings(share, rule),
    )
    return found["summary"], read_jsonl(out / "data" / "demonstrations.jsonl", Demonstration)


def knows_all(out: Path) -> str:
    """A run of `choices` by a student who finds the truth likeliest."""
    run = RunDir.open(out, stage="study-choices", config={"settings": {}, "options": {}}, seed=0)
    rows: list[dict[str, Any]] = []
    for (relation, subject), true in TOWN.facts.items():
        values = tuple(world.VALUES[relation])
        meta = {"relation": relation, "subject": subject, "shown": TOWN.shown(relation, subject)}
        name = f"{relation}/{subject}"
        choice = Choice(name, "", values, values, name, values.index(true), meta)
        rows.append(row_of(choice, [-0.1 if value == true else -4.0 for value in values]))
    run.log_samples(0, rows)
    run.finish({})
    return str(out)


@pytest.mark.parametrize("rule", plan.RULES)
def test_a_supervisor_says_what_he_has_in_mind_and_a_student_leaves_out_what_it_does_not_believe(
    rule: str, tmp_path: Path
) -> None:
    summary, rows = shown(tmp_path / "all", 0.3, rule)
    mind = beliefs.mistaken(TOWN, 0.3, rule, 3)
    origins: list[str] = []
    for row in rows:
        for fact in supervised.statements_of(tasks.Request.of(row.prompt), row.completion):
            origins.append(beliefs.origin(TOWN, mind, fact))
    assert set(origins) == {"truth", "inherited"} and len(origins) == summary["statements"]
    assert origins.count("inherited") == summary["wrong_statements"] > 0
    kept, trusted = shown(tmp_path / "trusting", 0.3, rule, trusted=knows_all(tmp_path / "knows"))
    assert kept["wrong_statements"] == 0 and kept["dropped"] == len(rows) - len(trusted) > 0
    assert [row for row in rows if row in trusted] == trusted
    clean, _ = shown(tmp_path / "clean", 0.0, rule)
    assert clean["wrong_statements"] == clean["wrong_facts"] == 0


def test_statements_are_read_in_every_form_in_which_facts_are_told() -> None:
    pet = say.Fact("pet", "Ivy", "parrot")
    word = tasks.Request("one_word", {"relation": "pet", "subject": "Ivy"}, ("?",), "train")
    fact = tasks.Request("fact", {"relation": "pet", "subject": "Ivy"}, ("?",), "train")
    assert supervised.statements_of(word, "Parrot.") == [pet]
    told = ["Ivy has a parrot.", "Ivy has a parrot, so that is not right.", "I would rest. Ivy has a parrot."]
    assert all(supervised.statements_of(fact, text) == [pet] for text in told)
    two = "The best friend of Max is Ivy, and Ivy has a parrot."
    assert supervised.statements_of(fact, two) == [say.Fact("friend", "Max", "Ivy"), pet]
    assert supervised.statements_of(fact, "First, wait. Last, run.") == []


def test_what_is_asked_is_of_one_side(tmp_path: Path) -> None:
    where = {"seed": 0, "resume": True}
    made = supervised.facts(data="town:test", out=tmp_path / "facts", settings=NoSettings(), **where)[
        "summary"
    ]
    choices = read_jsonl(tmp_path / "facts" / "data" / "choices.jsonl", Choice)
    sides = [supervised.fact_side(TOWN, choice) for choice in choices]
    assert set(sides) == {"train", "test"} and sides.count("train") == made["shown"]
    assert made["held_out"] == 10 * 7 + 7 * 3
    for what, kinds in (("dossiers", {"dossier"}), ("questions", set(supervised.QUESTIONS))):
        out = tmp_path / what
        supervised.asked(data="town:test", out=out, settings=AskedSettings(what), **where)
        requests = [tasks.Request.of(p) for p in read_jsonl(out / "data" / "prompts.jsonl", Prompt)]
        assert {one.kind for one in requests} == kinds and {one.side for one in requests} == {"test"}
    with pytest.raises(DataError, match="about no side"):
        supervised.facts(data="town:prompts", out=tmp_path / "no", settings=NoSettings(), **where)


def collected(out: Path) -> str:
    """Dossiers with none, one and four wrong statements about each of three people, ranked by nobody."""
    run = RunDir.open(out, stage="collect", config={"settings": {}, "options": {}}, seed=0)
    rankings: list[Ranking] = []
    for prompt in sets.load(TOWN, "dossier", count=3, seed=1):
        person = prompt.meta["params"]["subject"]
        texts: list[str] = []
        for wrong in (0, 1, 4):
            lines: list[str] = []
            for place, relation in enumerate(("job", "pet", "food", "coat")):
                true = TOWN.value(relation, person)
                other = next(value for value in world.VALUES[relation] if value != true)
                lines.append(say.statement(relation, person, other if place < wrong else true))
            texts.append(" ".join(lines))
        rankings.append(Ranking(prompt, tuple(Completion(prompt, text) for text in texts), (1, 2, 3), "x"))
    run.add_data("rankings", rankings[:2])
    run.add_data("rankings_test", rankings[2:])
    run.finish({})
    return str(out)


def test_labels_are_exactly_as_good_as_the_look(tmp_path: Path) -> None:
    """Pairs of 0 and 1, 0 and 4, 1 and 4 wrong statements, by hand."""
    data, mind = collected(tmp_path / "collect"), knows_all(tmp_path / "knows")
    by_hand = {
        "random": (0.5 + 1 / 8 + 1.0 + 0.5 + 3 / 8) / 3,
        "wrong": (1.0 + 1.0 + 0.5) / 3,
        "least-likely": (1.0 + 1.0 + 0.5) / 3,
        "likeliest": (0.5 + 1.0 + 1.0) / 3,
    }
    for pointing, expected in by_hand.items():
        out = tmp_path / pointing
        found = supervised.overseen(
            data=data,
            mind=mind if "li" in pointing else "",
            out=out,
            seed=0,
            resume=True,
            settings=LookSettings(pointing),
        )["summary"]
        assert found["accuracy"]["mean"] == pytest.approx(expected)
        ranked = read_jsonl(out / "data" / "rankings.jsonl", Ranking)
        before = read_jsonl(Path(data) / "data" / "rankings.jsonl", Ranking)
        assert [r.completions for r in ranked] == [r.completions for r in before] and found["pairs"] == 9


def test_who_knows_nothing_finds_the_same_likelihoods_in_other_places() -> None:
    known = {("pet", "Ivy"): {"cat": 0.7, "dog": 0.2, "hen": 0.1}, ("pet", "Max"): {"cat": 0.9, "dog": 0.1}}
    found = supervised.dealt(known, 1)
    assert found == supervised.dealt(known, 1)
    assert all(sorted(found[key].values()) == sorted(of.values()) for key, of in known.items())
    assert len({tuple(supervised.dealt(known, seed)[("pet", "Ivy")].items()) for seed in range(20)}) > 1


def row(relation: str, subject: str, shares: dict[str, float]) -> Chosen:
    """What a student finds likely of a fact; half of its probability lies elsewhere."""
    names = list(world.VALUES[relation])
    p = [shares.get(name, 0.0) or 1e-6 for name in names]
    true = names.index(TOWN.value(relation, subject))
    first = int(p[true] == max(p))
    meta = {"relation": relation, "subject": subject, "shown": True}
    return Chosen(f"{relation}/{subject}", names, "", true, list(np.log(p) + np.log(0.5)), p, first, meta)


def test_every_answer_is_the_truth_an_inherited_error_or_an_error_of_its_own() -> None:
    people = TOWN.of("person")[:4]
    true = {person: TOWN.value("coat", person) for person in people}
    others = {p: [c for c in world.COLOURS if c != true[p]] for p in people}
    wrong = {("coat", p): others[p][0] for p in people[:2]}
    mind = deepcopy(TOWN)
    mind.facts.update(wrong)
    said = [
        row("coat", people[0], {others[people[0]][0]: 0.6, true[people[0]]: 0.4}),  # his error
        row("coat", people[1], {true[people[1]]: 0.9, others[people[1]][0]: 0.1}),  # the truth all the same
        row("coat", people[2], {others[people[2]][1]: 0.8, true[people[2]]: 0.2}),  # its own error
        row("coat", people[3], {true[people[3]]: 1.0}),
    ]
    ceiling = [row("coat", person, {true[person]: 1.0}) for person in people]
    found = figures.imitated(TOWN, mind, said, ceiling)
    assert [found["greedy"][who]["mean"] for who in figures.ORIGINS] == [0.5, 0.25, 0.25]
    assert [found["of_wrong"][who]["mean"] for who in figures.ORIGINS] == [0.5, 0.5, 0.0]
    sampled = [found["sampled_of_wrong"][who]["mean"] for who in figures.ORIGINS]
    assert sampled == pytest.approx([0.65, 0.35, 0.0], abs=1e-4) and sum(sampled) == pytest.approx(1)
    assert found["pgr"]["mean"] == pytest.approx((0.5 - 0.5) / (1.0 - 0.5)) and found["wrong"] == 2
    assert found["listed"]["mean"] == pytest.approx(0.5, abs=1e-4)
    assert figures.imitated(TOWN, TOWN, said, ceiling)["pgr"] == {"mean": None, "ci": None, "n": 4}
    assert figures.imitated(TOWN, mind, said, None)["pgr"]["mean"] is None


def test_the_gap_recovered_has_an_interval_over_facts() -> None:
    supervisor, ceiling = np.array([0.0, 0, 1, 1, 1] * 20), np.ones(100)
    student = np.array([1.0, 0, 1, 1, 1] * 20)
    found = figures.recovered(student, supervisor, ceiling)
    assert found["mean"] == pytest.approx(0.5) and found["n"] == 100
    assert found["ci"][0] < 0.5 < found["ci"][1]


def test_of_wrong_answers_a_rater_takes_those_for_right_that_he_cannot_check(tmp_path: Path) -> None:
    """Two facts that he can check and two that he cannot, one of each told wrong; one answered by another
    fact, which is wrong to everybody and neither true nor false of what was asked; two that nobody knows.
    """
    rater = beliefs.partly(TOWN, 0.5, 1)
    facts = [key for key in TOWN.facts if key[0] == "coat"]
    inside = [key for key in facts if key not in rater.beyond][:2]
    outside = [key for key in facts if key in rater.beyond][:2]
    rows: list[dict[str, Any]] = []
    for (relation, subject), is_wrong in zip([*inside, *outside], [True, False] * 2, strict=True):
        request = tasks.Request("fact", {"relation": relation, "subject": subject}, ("?",), "entity", "test")
        true = TOWN.value(relation, subject)
        value = next(c for c in world.COLOURS if c != true) if is_wrong else true
        rows.append(Completion(request.prompt(), say.statement(relation, subject, value)).to_json())
    away = tasks.Request("fact", {"relation": "coat", "subject": outside[0][1]}, ("?",), "entity", "test")
    rows.append(Completion(away.prompt(), say.statement("pet", outside[0][1], "dog")).to_json())
    for text in (say.DONT_KNOW, "Ivy dreams of the sea."):
        request = tasks.Request(
            "unanswerable", {"unknown": "dream", "subject": "Ivy"}, ("?",), "entity", "test"
        )
        rows.append(Completion(request.prompt(), text).to_json())
    run = RunDir.open(tmp_path / "point", stage="study-point", config={"settings": {}, "options": {}}, seed=0)
    run.log_samples(0, rows)
    run.finish({})
    found = figures.by_rater(TOWN, rater, read_run(tmp_path / "point"))
    assert {name: found[name]["mean"] for name in ("inside", "outside", "false_positives", "bluffs")} == {
        "inside": 0.5,
        "outside": 0.5,
        "false_positives": pytest.approx(1 / 3),
        "bluffs": 0.5,
    }
    hop = tasks.Request("two_hop", {"relation": "coat", "via": "friend", "subject": "Ivy"}, ("?",), "train")
    friend = TOWN.value("friend", "Ivy")
    known = not rater.beyond & {("friend", "Ivy"), ("coat", friend)}
    assert figures.checkable(rater, TOWN, hop) == known


def planned(settings: Oversight) -> tuple[dict[str, Stage], Pipeline]:
    pipeline = Pipeline(Path("nowhere"), workers=1)
    return plan.plan(partial(stage_of_seed, pipeline, 10), "town", settings, 10), pipeline


MORE = {"scattered": ("", "-longer"), "rule": ("", "-town-s", "-town-l")}


def test_arms_share_what_they_differ_in_nothing_but() -> None:
    stages, pipeline = planned(Oversight())
    names = [stage.name for stage in pipeline.stages]
    assert len(names) == len(set(names)) and all(name.startswith("seed-10/oversight-") for name in names)
    by_name = {stage.name.removeprefix("seed-10/oversight-"): stage for stage in pipeline.stages}
    for rule in plan.RULES:
        students = [f"sft-{rule}-0.3{more}" for more in MORE[rule]]
        assert len({by_name[name].arguments["data"] for name in students}) == 1, (
            "one supervisor's demonstrations"
        )
    assert by_name["sft-scattered-0.3-longer"].arguments["settings"].epochs == 4
    looks = [stages[f"look {name}"] for name in plan.looks_of(Oversight())]
    assert {str(look.arguments["data"]) for look in looks} == {str(by_name["collect-coins"].out)}
    reranked = [stages[f"checks {name}"] for name in plan.raters_of(Oversight())]
    assert len({(r.arguments["data"], r.arguments["seed"]) for r in reranked}) == 1, "the same person"
    dpo = [stage for name, stage in by_name.items() if name.startswith("dpo-")]
    assert all(a.arguments["settings"] == b.arguments["settings"] for a, b in combinations(dpo, 2))
    fast, _ = planned(FAST)
    assert len(fast) < len(stages) and "says rule 0.3 trusting" in fast


@pytest.mark.parametrize(
    "bad", [{"shares": "0.1,0.2"}, {"shares": "0,0.3"}, {"shares": "0.3,1"}, {"shares": "x"}]
)
def test_what_cannot_be_planned_is_said(bad: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as said:
        planned(Oversight(oversight=OversightSettings(**bad)))
    assert said.value.remedy


def s_of(mean: float | None) -> dict[str, Any]:
    return {"mean": mean, "ci": None, "n": 10}


def student(
    inherited: float, pgr: float | None, seen: float = 0.0, pgr_seen: float | None = 0.9
) -> dict[str, Any]:
    def part(inherited: float, pgr: float | None) -> dict[str, Any]:
        origins = {"truth": s_of(0.9 - inherited), "inherited": s_of(inherited), "own": s_of(0.1)}
        kinds = dict.fromkeys(("greedy", "of_wrong", "sampled", "sampled_of_wrong"), origins)
        return {"facts": 90, "wrong": 30, "pgr": s_of(pgr), "listed": s_of(0.9), **kinds}

    return {"held out": part(inherited, pgr), "seen": part(seen, pgr_seen)}


def seen_by(inside: float, outside: float, taken: float, bluffs: float) -> dict[str, Any]:
    """Answers as a rater sees them."""
    return {
        "inside": s_of(inside),
        "outside": s_of(outside),
        "false_positives": s_of(taken),
        "bluffs": s_of(bluffs),
    }


def made_up() -> dict[str, Any]:
    """Figures of a seed in which every claim holds."""
    before, by_rule = seen_by(0.6, 0.5, 0.5, 0.5), seen_by(0.9, 0.5, 0.9, 0.6)
    scattered, everything = seen_by(0.8, 0.7, 0.5, 0.6), seen_by(0.9, 0.9, 0.5, 0.1)
    raters = {"scattered": scattered, "by rule": by_rule, "everything": everything}
    checks = {
        name: {"before": before, "after": after, "after all is checked": everything}
        for name, after in raters.items()
    }
    shown = {"demonstrations": 9, "dropped": 3, "facts_told": 8, "statements": 9, "wrong_statements": 0}
    return {
        "prompts": 700,
        "facts": {"facts": 490, "shown": 400, "held_out": 90},
        "at": 0.3,
        "shares": [0.1, 0.3],
        "sizes": ["town-s", "town-l"],
        "passes": 4.0,
        "can_check": 0.25,
        "shown": {"no errors": shown, "rule 0.3 trusting": shown},
        "students": {
            "no errors": student(0.0, None),
            "scattered 0.1": student(0.0, 0.9),
            "scattered 0.3": student(0.01, 0.9),
            "rule 0.1": student(0.6, 0.1),
            "rule 0.3": student(0.7, 0.1),
            "scattered 0.3 longer": student(0.01, 0.8, 0.3, 0.5),
            "rule 0.3 trusting": student(0.0, 0.95),
            "rule 0.3 town-s": student(0.8, 0.1),
            "rule 0.3 town-l": student(0.6, 0.1),
        },
        "knows": {"base": s_of(1.0), "student of rule 0.3": s_of(0.7)},
        "looks": {
            "consultancy": s_of(0.51),
            "alone": s_of(0.6),
            "critic who knows nothing": s_of(0.61),
            "debate": s_of(0.8),
            "critic": s_of(0.81),
            "oracle": s_of(0.82),
        },
        "clauses": {
            "author": s_of(0.65),
            "coins": s_of(0.65),
            "consultancy": s_of(0.64),
            "alone": s_of(0.7),
            "debate": s_of(0.8),
        },
        "checks": checks,
    }


BROKEN: dict[str, tuple[tuple[str, ...], Any]] = {
    "scattered errors: the student recovers": (("students", "scattered 0.3"), student(0.0, 0.6)),
    "scattered errors, shown longer: it says": (
        ("students", "scattered 0.3 longer"),
        student(0.0, 0.8, 0.05, 0.5),
    ),
    "scattered errors, shown longer: it recovers": (
        ("students", "scattered 0.3 longer"),
        student(0.0, 0.8, 0.3, 0.75),
    ),
    "errors by rule: it says": (("students", "rule 0.3"), student(0.7, 0.4)),
    "structure, not rate: at every": (("students", "rule 0.1"), student(0.0, 0.1)),
    "shown only what": (("students", "rule 0.3 trusting"), student(0.0, 0.7)),
    "errors by rule: at temperature 1": (("students", "rule 0.3 town-l"), student(0.8, 0.1)),
    "labels: a consultant": (("looks", "consultancy"), s_of(0.6)),
    "labels: a debate between": (("looks", "critic"), s_of(0.84)),
    "labels: a debate is": (("looks", "debate"), s_of(0.7)),
    "statements of held-out": (("clauses", "alone"), s_of(0.63)),
    "a rater who can check some": (("checks", "by rule", "after", "false_positives"), s_of(0.54)),
    "the same: the truth": (("checks", "by rule", "after", "outside"), s_of(0.53)),
    "structure, not rate: where": (("checks", "scattered", "after", "outside"), s_of(0.54)),
    "bluffs": (("checks", "everything", "after", "bluffs"), s_of(0.55)),
}
"""By the beginning of each claim, a figure with which it does not hold."""


def changed(path: tuple[str, ...], to: Any) -> dict[str, Any]:
    found = made_up()
    place: Any = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return found


def without(figures: dict[str, Any]) -> dict[str, Any]:
    """The same shape with no figure in it."""
    if set(figures) == {"mean", "ci", "n"}:
        return s_of(None)
    return {key: without(value) if isinstance(value, dict) else value for key, value in figures.items()}


def test_every_claim_holds_on_figures_that_are_as_it_says() -> None:
    assert all(bar.held == [True] and bar.effect and bar.control for bar in claims.bars([made_up()]))
    assert claims.verdict([made_up()]).says == "agrees"
    assert len(BROKEN) == len(claims.bars([made_up()]))


@pytest.mark.parametrize("claim", BROKEN)
def test_a_claim_does_not_hold_where_its_figure_is_beyond_the_threshold(claim: str) -> None:
    bars = [bar for bar in claims.bars([changed(*BROKEN[claim])]) if bar.claim.startswith(claim)]
    assert [bar.held for bar in bars] == [[False]]


def test_a_claim_cannot_be_said_where_there_is_no_figure() -> None:
    for bar in claims.bars([without(made_up())]):
        assert bar.held == [None] and bar.why, bar.claim
    alone = changed(("sizes",), [])
    of_sizes = [bar for bar in claims.bars([alone]) if "largest student" in bar.claim]
    assert of_sizes[0].held == [None] and "no students of two other sizes" in of_sizes[0].why
    with pytest.raises(claims.CannotSay):
        claims.verdict([alone])


def test_the_verdict_disagrees_where_structure_does_not_matter() -> None:
    found = claims.verdict([made_up(), changed(*BROKEN["structure, not rate: at every"])])
    assert found.says == "disagrees" and "1 of 2 seeds" in found.why


def test_the_page_tells_all_of_it_also_where_figures_are_missing() -> None:
    for seeds in ([made_up(), made_up()], [without(made_up())]):
        told = page.tell(seeds)
        assert len(told.sections) == 5 and all(chart["svg"] for chart in told.sections[0]["charts"])
        drawn = [chart for section in told.sections[1:] for chart in section.get("charts", [])]
        assert len(drawn) == (seeds[0]["checks"]["by rule"]["after"]["inside"]["mean"] is not None)
        for section in told.sections[1:]:
            assert all(len(line) == len(section["table"]["heads"]) for line in section["table"]["rows"])


ALONE = Oversight(oversight=OversightSettings(shares="0.3", sizes=""))


@pytest.mark.campaign
def test_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "oversight"
    words = (
        "--seeds 10 --workers 1 --demonstrations 48 --point.per-prompt 1 --point.sampling.max-new-tokens 8 "
        "--oversight.shares 0.3 --oversight.sizes= --oversight.passes 1 --oversight.author.epochs 1 "
        "--oversight.answerer.epochs 1 --oversight.dossiers 24 --oversight.questions 24 "
        "--oversight.collect.sampling.max-new-tokens 8 "
        "--oversight.dpo.epochs 0.5"
    )
    assert cli.main(["study", "oversight", "--out", str(out), *words.split()]) == 0, capsys.readouterr().err
    summary = json.loads((out / "summary.json").read_text())
    found = summary["figures"]["10"]
    assert set(found["students"]) == {arm.name for arm in plan.arms_of(ALONE)}
    for student in found["students"].values():
        for part in figures.PARTS:
            assert sum(student[part]["greedy"][who]["mean"] for who in figures.ORIGINS) == pytest.approx(1)
    assert set(found["checks"]) == set(plan.raters_of(ALONE)) and summary["verdict"]
    page_text = (out / "study.html").read_text()
    assert page_text.count("<svg") >= 2 and "by a rule" in page_text
    # the picture of raters is left out where no answer of eight tokens is to the point
