"""What the figures of the study `oversight` say, its pictures, and the study itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...evals.statistics import seeds_summary
from ...report import bar_charts, charts
from ..study import CannotSay, Form, Seeds, Study, Told, each, mean, spread
from . import claims
from .figures import ORIGINS, PARTS, measure
from .plan import CEILING, TRAINED, plan

COLORS = {"truth": "#cfe3d6", "own": "#e0a03c", "inherited": "#7a1f0a"}
"""In grey print, too: light, middling, dark."""
CALLED = {"truth": "the truth", "own": "an error of its own", "inherited": "the supervisor's error"}


def tell(seeds: Seeds) -> Told:
    found = {f"labels of {name}": means(seeds, "looks", name) for name in seeds[0]["looks"]}
    for name in seeds[0]["students"]:
        for part in PARTS:
            for who in ORIGINS:
                found[f"{name}, {part}: {who}"] = means(seeds, "students", name, part, "greedy", who)
    over = {name: seeds_summary(values) for name, values in found.items() if values}
    sections = [pictures(seeds), students(seeds), knowing(seeds), ladder(seeds), checking(seeds)]
    return Told(conclusion(seeds), sections, claims.bars(seeds), over)


def means(seeds: Seeds, *path: Any) -> list[float]:
    """The mean of an S in each seed; none at all where a seed has none."""
    found = [one["mean"] for one in each(seeds, *path)]
    return [] if None in found else found


def shown(seeds: Seeds, *path: Any) -> str:
    """An S over the seeds, for people; "-" where a seed has none."""
    found = means(seeds, *path)
    return spread(found) if found else "-"


def said(seeds: Seeds, figure: Callable[[dict[str, Any]], float]) -> str:
    """A figure over the seeds, for people; "no figure" where a seed has none."""
    try:
        return spread([figure(one) for one in seeds])
    except CannotSay:
        return "no figure"


def conclusion(seeds: Seeds) -> list[str]:
    def inherited(rule: str, more: str = "", part: str = "held out") -> str:
        return said(seeds, lambda s: claims.inherited_of_wrong(s, claims.at(s, rule, more), part))

    def gap(rule: str, more: str = "") -> str:
        return said(seeds, lambda s: claims.pgr(claims.at(s, rule, more))(s))

    def seen(rater: str, when: str, what: str) -> str:
        return said(seeds, lambda s: claims.rated(s, rater, when, what))

    share = seeds[0]["at"]
    after_rule = f"student of {claims.at(seeds[0], 'rule')}"
    return [
        f"A supervisor wrong about {share:g} of the facts: of held-out facts that he is wrong about the "
        f"student says his error in {inherited('rule')} where he errs by a rule, and in "
        f"{inherited('scattered')} where his errors are scattered; it recovers {gap('rule')} and "
        f"{gap('scattered')} of the gap.",
        f"At temperature 1 his rate comes back all the same, as errors of its own: after scattered errors "
        f"{drawn(seeds, claims.at(seeds[0], 'scattered'))} of what it says of held-out facts, "
        f"{drawn(seeds, CEILING)} after none.",
        f"After errors by a rule it finds the truth of {shown(seeds, 'knows', after_rule)} of all facts "
        f"likeliest in the words of the corpus, too; its base {shown(seeds, 'knows', 'base')}.",
        f"Shown the scattered errors for {seeds[0]['passes']:g} passes, it says them in "
        f"{inherited('scattered', 'longer', 'seen')} of the seen facts that they are about.",
        f"Shown only demonstrations that its own base believes, it recovers {gap('rule', 'trusting')} of "
        "the gap that errors by rule leave.",
        f"One look at each dossier: labels are right in {shown(seeds, 'looks', 'alone')} with a look at "
        f"random, {shown(seeds, 'looks', 'consultancy')} where the author points, "
        f"{shown(seeds, 'looks', 'debate')} where the rival does, {shown(seeds, 'looks', 'oracle')} with "
        "an oracle.",
        f"A rater who can check {seeds[0]['can_check']:g} of the facts, whole relations and nothing of the "
        f"others: of what he cannot check {seen('by rule', 'before', 'outside')} is true before training on "
        f"his labels and {seen('by rule', 'after', 'outside')} after it, and of the wrong answers he takes "
        f"{seen('by rule', 'before', 'false_positives')} and {seen('by rule', 'after', 'false_positives')} "
        f"for right. Where the same share is scattered, {seen('scattered', 'before', 'outside')} and "
        f"{seen('scattered', 'after', 'outside')} is true of what he cannot check.",
    ]


def drawn(seeds: Seeds, name: str) -> str:
    """The errors of its own in what a student says of held-out facts at temperature 1."""
    return shown(seeds, "students", name, "held out", "sampled", "own")


def pictures(seeds: Seeds) -> dict[str, Any]:
    """What is imitated, and who points where: the two pictures."""
    stacks: dict[str, dict[str, float]] = {}
    for rule, called in (("scattered", "here and there"), ("rule", "by a rule")):
        for share in seeds[0]["shares"]:
            stacks[f"{called}, {share:g} of all"] = origins(seeds, f"{rule} {share:g}")
    colors = {CALLED[who]: color for who, color in COLORS.items()}
    bands = bar_charts.shares(
        stacks, title="What the student says", x="where its supervisor is wrong", colors=colors
    )
    found = {name: means(seeds, "looks", name) for name in seeds[0]["looks"]}
    steps = {name: mean(values) for name, values in found.items() if values}
    rungs = charts.bars(steps, title="One look", x="labels that are right", middle=steps.get("alone", 0.5))
    return {
        "title": "Structure, not rate; and who points",
        "charts": [
            charts.captioned(
                bands,
                "Facts that the supervisor is wrong about and no demonstration tells of. He errs here and "
                "there, or by rules such as 'every door is red', in this share of all facts.",
            ),
            charts.captioned(
                rungs,
                "The overseer looks up one statement of each dossier. The line is a look at random; what "
                "whoever points knows lies between it and the oracle.",
            ),
        ],
    }


def origins(seeds: Seeds, name: str) -> dict[str, float]:
    """What a student says of held-out facts that its supervisor is wrong about, by whose it is."""
    found = {who: means(seeds, "students", name, "held out", "of_wrong", who) for who in COLORS}
    return {CALLED[who]: mean(values) for who, values in found.items() if values}


def students(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for name in seeds[0]["students"]:
        held_out, seen = (("students", name, part) for part in ("held out", "seen"))
        rows.append(
            [
                name,
                spread([float(count) for count in each(seeds, *held_out, "wrong")], 0),
                *(shown(seeds, *held_out, "greedy", who) for who in ORIGINS),
                shown(seeds, *held_out, "sampled", "own"),
                shown(seeds, *held_out, "pgr"),
                shown(seeds, *held_out, "of_wrong", "inherited"),
                shown(seeds, *held_out, "sampled_of_wrong", "inherited"),
                shown(seeds, *seen, "of_wrong", "inherited"),
                shown(seeds, *seen, "pgr"),
            ]
        )
    heads = [
        "student of",
        "held-out facts he is wrong about",
        *(CALLED[who] for who in ORIGINS),
        "its own, sampled",
        "gap recovered",
        "his error, where he is wrong",
        "the same, sampled",
        "his error, seen facts",
        "gap recovered, seen",
    ]
    told = seeds[0]["shown"][CEILING]
    listed = shown(seeds, "students", CEILING, "held out", "listed")
    return {
        "title": "What a student says, and whose it is",
        "table": {
            "heads": heads,
            "rows": rows,
            "note": (
                "Mean ± standard deviation over seeds; by the likeliest value of a fact among all of its "
                f"relation, asked in chat. The listed values have {listed} of the probability; 'sampled' "
                f"is at temperature 1, among them. {told['demonstrations']} demonstrations, which state "
                f"{told['facts_told']} different facts; 'seen' are all {seeds[0]['facts']['shown']} that "
                f"training may ask for, held out {seeds[0]['facts']['held_out']} about people and places "
                "of the test. Gap recovered: (student - supervisor) / (no errors - supervisor), by truth; "
                "- where there is no gap, and for other bases, of which no ceiling was trained. 'longer': "
                "more passes; 'trusting': shown what its base believes; a base's name: another student."
            ),
        },
    }


def knowing(seeds: Seeds) -> dict[str, Any]:
    rows = [[name, shown(seeds, "knows", name)] for name in seeds[0]["knows"]]
    trusting = claims.at(seeds[0], "rule", "trusting")
    kept = seeds[0]["shown"][trusting]
    return {
        "title": "What it still knows",
        "table": {
            "heads": ["model", "facts whose truth it finds likeliest as a statement"],
            "rows": rows,
            "note": (
                "All 580 facts, in the sentence in which the corpus tells them. Demonstrations that the "
                f"base does not believe: {kept['dropped']} dropped, {kept['wrong_statements']} wrong "
                f"statements left among {kept['statements']} (first seed)."
            ),
        },
    }


def ladder(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for name in seeds[0]["looks"]:
        way = said(seeds, lambda s, name=name: claims.of_the_way(s, name))
        after = shown(seeds, "clauses", name) if name in TRAINED else "-"
        rows.append([name, shown(seeds, "looks", name), way, after])
    rows.append(["coins, no look", "0.5", "-", shown(seeds, "clauses", "coins")])
    rows.append(["before training", "-", "-", shown(seeds, "clauses", "author")])
    return {
        "title": "One look, by who points",
        "table": {
            "heads": [
                "protocol",
                "labels right",
                "of the way from alone to oracle",
                "statements right after DPO",
            ],
            "rows": rows,
            "note": (
                "Labels: pairs of dossiers that gold tells apart; the probability that the label is for "
                "the better, exact, coins included. Statements: dossiers of held-out people at "
                "temperature 1; what cannot be read counts as wrong. 'critic': the base, and other bases, "
                "asked for each statement in the corpus's words."
            ),
        },
    }


def checking(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for check in seeds[0]["checks"]:
        for when in ("before", "after"):
            path = ("checks", check, when)
            parts = [shown(seeds, *path, what) for what in ("inside", "outside", "false_positives", "bluffs")]
            rows.append([check, when, *parts])
    told: dict[str, tuple[float, float | None]] = {}
    for rater, called in (("scattered", "here and there"), ("by rule", "whole relations")):
        for part, can in (("inside", "he can check"), ("outside", "he cannot")):
            before, after = (means(seeds, "checks", rater, when, part) for when in ("before", "after"))
            if before and after:
                told[f"{called}: {can}"] = mean(before), mean(after)
    pictures: list[dict[str, Any]] = []
    if told:
        x = "true, of answers that are to the point"
        svg = bar_charts.before_after(told, title="What a rater can check", x=x)
        caption = (
            f"Two raters who can check {seeds[0]['can_check']:g} of the facts and believe the rest, before "
            "and after DPO on their labels."
        )
        pictures.append(charts.captioned(svg, caption))
    return {
        "title": "Raters who cannot check",
        "charts": pictures,
        "table": {
            "heads": [
                "he can check",
                "",
                "truth, he can check",
                "truth, he cannot",
                "false positives",
                "bluffs",
            ],
            "rows": rows,
            "note": (
                "Held-out questions, one answer each at temperature 1, before and after DPO on his "
                "labels. Truth: of answers that are to the point. False positives: of all wrong answers to "
                "questions for facts, those that he takes for right. Bluffs: of questions that nobody can "
                "answer."
            ),
        },
    }


OVERSIGHT = Study(
    title="Overseers who know less",
    controls=(
        "A supervisor without errors is the ceiling; scattered errors stand beside errors by rule of the "
        "same share; held-out facts beside those that demonstrations tell of. One look at random, an "
        "oracle's look, a critic whose likelihoods are dealt at random, labels by coins. The same rater's "
        "view of a model that was trained by one who can check everything."
    ),
    town=Form(plan, measure, tell, claims.verdict),
    town_alone=(
        "at 135M to 270M parameters neither side knows enough for one to be strong, and no data set here "
        "has a gap between supervisor and student that is not chance"
    ),
    changed=(
        "Before any seed but 10: the design claimed that a smaller base is a worse critic. In version 2 of "
        "the town bases of every size find the truth of all facts likeliest, so that critics are shown and "
        "nothing is claimed of their size; and a debate below the oracle became one not above it. "
        "Statements are wrong in a quarter and not in 0.35: there nearly every dossier has an error, and "
        "the oracle's look, which says only whether there is one, told dossiers apart no better than a "
        "look at random. Students of other sizes are compared at temperature 1, since greedy all of the "
        "errors by rule were said. The design's rater could check a share that was scattered over all "
        "relations, so that nothing marks what he cannot check, and truth rose there as elsewhere; the two "
        "claims about his false positives and about truth where he cannot check are now of a rater who can "
        "check whole relations, and the scattered one is what he is compared with. Truth is counted among "
        "answers that are to the point, since whether they are is seen by whoever can check nothing. "
        "Authors and answerers set out from the ceiling's student and learn slowly: from the base, or at "
        "the usual rate, a third and more of what they said of held-out facts was off the point. DPO takes "
        "two passes."
    ),
    claim=claims.CLAIM,
    mirrors=claims.MIRRORS,
    falsified_by=claims.FALSIFIED,
    would_change_my_mind=claims.CHANGE,
)
